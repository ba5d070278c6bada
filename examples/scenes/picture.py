"""Pictures of scenes and of the slots that look at them."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.axes import Axes
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch_geometric.data import Batch, Data

from .autoencoder import SlotAutoencoder
from .measure import find_clusters, largest


def draw_scene(
    axes: Axes, scene: Data, colour: Tensor, size: float = 13, **options: object
) -> None:
    """The points of a scene: in their colours ``[n, 3]``, or by clusters ``[n]``."""
    if colour.dim() == 1 and not colour.is_floating_point():
        options = {"cmap": "tab10", "vmin": 0, "vmax": 9, **options}
    x, y = scene.pos.T
    axes.scatter(x, y, c=colour, s=size, marker="s", linewidths=0, **options)
    axes.set(xticks=[], yticks=[], xlim=(-0.03, 1.03), ylim=(1.03, -0.03))
    axes.set_aspect("equal")


@torch.no_grad()
def views(
    network: SlotAutoencoder, scene: Data, num_slots: int, threshold: float
) -> dict[str, Tensor]:
    """Colours of a scene: its own, those of the truth, and those of what was found."""
    batch = Batch.from_data_list([scene])
    found = find_clusters(network, batch, num_slots, threshold)
    given = network(batch, batch.count)
    return {
        "scene": scene.x,
        "truth": scene.y,
        f"masks, K = {num_slots}": recolour(found.mask, scene.y),
        f"attention, K = {num_slots}": recolour(found.attention, scene.y),
        f"merged, K = {num_slots}": recolour(found.merged, scene.y),
        "masks, K given": recolour(largest(given, given.mask), scene.y),
    }


def draw_iterations(rows: np.ndarray, scene: Data, attention: list[Tensor]) -> None:
    """How each iteration shares a scene: slots down ``rows`` of axes, time across."""
    for column, shares in enumerate(attention):
        for row in range(len(rows)):
            axes = rows[row, column]
            draw_scene(
                axes, scene, shares[:, row], 7, cmap="viridis", vmin=0.0, vmax=1.0
            )
            if row == 0:
                axes.set_title(f"iteration {column + 1}", fontsize=9)
            if column == 0:
                axes.set_ylabel(f"slot {row + 1}", fontsize=9)


def recolour(clusters: Tensor, truth: Tensor) -> Tensor:
    """Renames clusters, so that each has the number of the object it covers best."""
    names, cluster = clusters.unique(return_inverse=True)
    common = torch.zeros(len(names), int(truth.max()) + 1)
    common.index_put_((cluster, truth), torch.ones(len(truth)), accumulate=True)
    rows, columns = linear_sum_assignment(common.numpy(), maximize=True)
    name = torch.full((len(names),), -1)
    name[torch.from_numpy(rows)] = torch.from_numpy(columns)
    free = common.size(1) + torch.arange(len(names))
    name[name < 0] = free[: int((name < 0).sum())]
    return name[cluster]
