"""How predictions for graphs in space change when the graphs are moved."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from pyg_setops.lie import SE3
from pyg_setops.transforms import RandomMotion

ANGLES = tuple(range(0, 181, 30))
Predict = Callable[[Sequence[Batch]], Tensor]


@dataclass(frozen=True)
class Tested:
    """What a network does to test graphs, in the unit of the target.

    Attributes:
        mae: The mean absolute error of its predictions.
        moved_mae: That of predictions for the graphs moved at random.
        change: How much predictions change by it, on average.
        by_angle: The same for some graphs turned by each of ``ANGLES``.
    """

    mae: float
    moved_mae: float
    change: float
    by_angle: list[float]


def measure(predict: Predict, batches: Sequence[Batch], few: Sequence[Batch]) -> Tested:
    """Measures predictions for ``batches`` with targets ``y``, and turns ``few``."""
    truth = torch.cat([batch.y for batch in batches])
    at_rest, after = predict(batches), predict(moved(batches))
    angles = [predict(turned(few, angle)) for angle in ANGLES]
    return Tested(
        mean_error(at_rest, truth),
        mean_error(after, truth),
        mean_error(after, at_rest),
        [mean_error(each, angles[0]) for each in angles],
    )


def make_batches(graphs: Sequence[Data], size: int) -> list[Batch]:
    """Batches, in order."""
    return [
        Batch.from_data_list(list(graphs[start : start + size]))
        for start in range(0, len(graphs), size)
    ]


def moved(batches: Sequence[Batch], seed: int = 0) -> list[Batch]:
    """The same graphs, each moved by a motion of its own."""
    move = RandomMotion(0.5, generator=torch.Generator().manual_seed(seed))
    return [move(batch.clone()) for batch in batches]


def turned(batches: Sequence[Batch], angle: float) -> list[Batch]:
    """The same graphs, each turned by an angle (in °) about an axis of its own."""
    generator = torch.Generator().manual_seed(0)
    group, out = SE3(), []
    for batch in batches:
        axis = torch.randn(batch.num_graphs, 3, generator=generator)
        axis = axis / axis.norm(dim=1, keepdim=True) * math.radians(angle)
        motion = group.exp(torch.cat([axis, torch.zeros_like(axis)], dim=1))
        batch = batch.clone()
        batch.pos = group.act(motion[batch.batch], batch.pos)
        out.append(batch)
    return out


def mean_error(one: Tensor, other: Tensor) -> float:
    """The mean absolute difference."""
    return float((one - other).abs().mean())
