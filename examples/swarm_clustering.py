"""Amortised clustering: label the points of a mixture that was never seen before.

    python examples/swarm_clustering.py --steps 1000

A set holds 100 to 1000 points of 3 to 10 Gaussians in the plane, and a network gives
each point 10 logits. Cluster names mean nothing, so the loss is the cross entropy
under the best matching of labels to outputs. SWARM in its published setting (one
layer, 128 channels, 10 iterations, Adam at 0.01; https://arxiv.org/abs/1906.09400)
beside a Set Transformer and equivariant Deep Sets, trained on the same sets; the
Bayes row knows the true parameters of every mixture.

Writes the table (csv, md) and the picture to ``runs/swarm_clustering``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import cos, log, pi
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
import tyro
from experiment import (
    Fitted,
    Report,
    Task,
    draw_curves,
    fit,
    open_folder,
    save_figure,
)
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.distributions import MultivariateNormal
from torch.nn import Module
from torch.nn.functional import one_hot
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

from pyg_setops import SwarmLayer
from pyg_setops.datasets import GaussianMixtures
from pyg_setops.models.set_networks import EquivariantDeepSets, InducedSetTransformer
from pyg_setops.ragged import SetIndex, segment_outer

Extent = tuple[float, float, float, float]

NUM_LABELS = 10
SIDE = 60  # of the grid of points that the pictures are shaded on


@dataclass(frozen=True)
class Config:
    """Amortised clustering with SWARM and its peers."""

    steps: int = 1000
    """Training steps of each model, a multiple of 100 (or less than 100)."""
    batch_size: int = 10
    """Sets a step; the published runs took 100."""
    num_test: int = 300
    """Sets that all models are measured on."""
    seed: int = 0
    """Seed of the weights."""
    threads: int = 1
    """CPU threads."""
    output: Path = Path("runs/swarm_clustering")
    """Where results and checkpoints go; a killed run resumes from there."""
    smoke: bool = False
    """Run for seconds, to see that everything works."""


MODELS: dict[str, tuple[float, Callable[[], Module]]] = {
    "SWARM": (1e-2, partial(SwarmLayer, 2, NUM_LABELS, 128, 10)),
    "Set Transformer": (1e-3, partial(InducedSetTransformer, 2, NUM_LABELS, 128)),
    "Deep Sets": (1e-3, partial(EquivariantDeepSets, 2, NUM_LABELS, 128)),
}


def match(logits: Tensor, y: Tensor, ptr: Tensor) -> tuple[Tensor, Tensor]:
    """Finds the output that stands for each label, set by set.

    Args:
        logits: ``[N, 10]``.
        y: True labels ``[N]``.
        ptr: The boundaries of the sets.

    Returns:
        The cross entropy of each set's points, summed, ``[B]``, and the output of
        each label, ``[B, 10]``.
    """
    sets = SetIndex.build(ptr=ptr)
    label = one_hot(y, NUM_LABELS).to(logits.dtype)
    # cost[s, k, l]: what it costs in set s to call the points of label k by output l
    cost = -segment_outer(label, logits.log_softmax(dim=1), sets)
    outputs = [linear_sum_assignment(c)[1] for c in cost.detach().cpu().numpy()]
    output = torch.from_numpy(np.stack(outputs)).to(y.device)
    return cost.gather(2, output.unsqueeze(2)).sum(dim=(1, 2)), output


def loss(network: Module, batch: Batch) -> dict[str, Tensor]:
    """Cross entropy per point under the best matching, and accuracy."""
    logits = network(batch.pos, ptr=batch.ptr)
    total, output = match(logits, batch.y, batch.ptr)
    expected = output[batch.batch, batch.y]
    return {
        "loss": total.sum() / batch.num_nodes,
        "accuracy": (logits.argmax(dim=1) == expected).float().mean(),
    }


def log_posterior(data: Data, pos: Tensor) -> Tensor:
    """The logarithm of each component's share in points, by the true mixture."""
    components = MultivariateNormal(data.mean, data.covariance)
    joint = components.log_prob(pos.unsqueeze(1)) + data.weight.log()
    return joint.log_softmax(dim=1)


def bayes(test: GaussianMixtures) -> dict[str, float]:
    """What the true parameters give, per point."""
    posteriors = [log_posterior(data, data.pos) for data in test]
    labels = torch.cat([data.y for data in test])
    chosen = [p.gather(1, d.y[:, None]) for p, d in zip(posteriors, test, strict=True)]
    guess = torch.cat([posterior.argmax(dim=1) for posterior in posteriors])
    return {
        "loss": -float(torch.cat(chosen).mean()),
        "accuracy": float((guess == labels).float().mean()),
    }


def make_task(config: Config, test: GaussianMixtures) -> Task:
    """Fresh sets at every step; the learning rate falls along a half cosine."""
    epoch = min(config.steps, 100) * config.batch_size
    num_epochs = max(1, config.steps // 100)
    train = GaussianMixtures("clustering", "train", num_epochs * epoch)
    return Task(
        loss,
        lambda e: DataLoader(train[e * epoch : (e + 1) * epoch], config.batch_size),
        DataLoader(test, batch_size=50),
        num_epochs,
        schedule=lambda spent: 0.5 * (1 + cos(pi * spent)),
    )


def make_report(config: Config, fits: dict[str, Fitted], best: dict) -> Report:
    """The table."""
    rows = [
        [
            name,
            f"{fitted.curve[-1]['loss']:.4f}",
            f"{fitted.curve[-1]['accuracy']:.3f}",
            f"{fitted.num_parameters:,}",
            f"{MODELS[name][0]:g}",
            f"{fitted.seconds / 60:.1f}",
        ]
        for name, fitted in fits.items()
    ]
    bound = f"{best['loss']:.4f}", f"{best['accuracy']:.3f}"
    return Report(
        "swarm_clustering",
        "Amortised clustering, cross entropy in nats per point",
        f"python examples/swarm_clustering.py --steps {config.steps}",
        ["model", "cross entropy", "accuracy", "parameters", "Adam lr", "minutes"],
        [
            *rows,
            ["Bayes (true parameters)", *bound, "", "", ""],
            ["uniform", f"{log(NUM_LABELS):.4f}", "", "", "", ""],
        ],
        [
            f"{config.steps:,} steps of {config.batch_size} fresh sets, seed "
            f"{config.seed}; measured on {config.num_test} other sets.",
            "The published runs took 60 minutes with 100 sets a step from a pool of "
            "9,000; their number of steps and their scores are not known to us.",
        ],
    )


def draw(fits: dict[str, Fitted], test: GaussianMixtures) -> Figure:
    """Three test sets as the models see them, and the learning curves."""
    figure = plt.figure(figsize=(16, 8.4), layout="constrained")
    grid = figure.add_gridspec(
        3, len(fits) + 2, width_ratios=[1] * (len(fits) + 1) + [1.5]
    )
    for row, number in enumerate(_examples(test)):
        data = test[number]
        plane, extent = _plane(data.pos)
        truth = log_posterior(data, plane).exp().amax(dim=1)
        panels = {"true labels": (data.y, truth)}
        for name, fitted in fits.items():
            panels[name] = _ask(fitted.network, data, plane)
        for column, (name, (colour, confidence)) in enumerate(panels.items()):
            axes = figure.add_subplot(grid[row, column])
            _panel(axes, data.pos, colour, confidence.view(SIDE, SIDE), extent)
            if row == 0:
                axes.set_title(name)
    axes = figure.add_subplot(grid[:, -1])
    draw_curves(axes, fits, "loss", {"Bayes": bayes(test)["loss"]}, "center right")
    axes.set(title="cross entropy, test sets")
    axes.set_ylim(bottom=0)
    return figure


def _panel(
    axes: Axes, pos: Tensor, colour: Tensor, confidence: Tensor, extent: Extent
) -> None:
    """Points by colour on a plane that is the darker the less is certain."""
    axes.imshow(
        confidence,
        "gray",
        vmin=-0.3,
        vmax=1,
        extent=extent,
        origin="lower",
        interpolation="bilinear",
    )
    x, y = pos.T
    axes.scatter(x, y, c=colour, cmap="tab10", vmin=0, vmax=9, s=5)
    axes.set(xticks=[], yticks=[], xlim=extent[:2], ylim=extent[2:])


def _examples(test: GaussianMixtures) -> list[int]:
    """The first sets with 4, 6 and 8 components, or about as many."""
    counts = np.array([len(data.weight) for data in test])
    return [int(np.abs(counts - number).argmin()) for number in (4, 6, 8)]


def _plane(pos: Tensor) -> tuple[Tensor, Extent]:
    """A square of grid points around all but the outermost points, and its extent."""
    low, high = pos.quantile(0.005, dim=0), pos.quantile(0.995, dim=0)
    middle, half = (low + high) / 2, (high - low).max() * 0.56
    ticks = torch.linspace(-1, 1, SIDE) * half
    y, x = torch.meshgrid(middle[1] + ticks, middle[0] + ticks, indexing="ij")
    x_ends, y_ends = (middle[:, None] + half * torch.tensor([-1, 1])).tolist()
    return torch.stack([x.flatten(), y.flatten()], dim=1), (*x_ends, *y_ends)


@torch.no_grad()
def _ask(network: Module, data: Data, plane: Tensor) -> tuple[Tensor, Tensor]:
    """What a network says of the points, as labels, and how sure it is of the plane.

    The plane's points join copies of the set, a few to each, to disturb it little.
    """
    few = plane.view(-1, SIDE, 2)
    copies = torch.cat([data.pos.expand(len(few), -1, -1), few], dim=1)
    num_copies, size, _ = copies.shape
    ptr = torch.arange(num_copies + 1) * size
    answers = network(copies.flatten(0, 1), ptr=ptr).unflatten(0, (num_copies, size))
    confidence = answers[:, data.num_nodes :].softmax(dim=2).amax(dim=2)
    logits = network(data.pos)
    _, output = match(logits, data.y, torch.tensor([0, data.num_nodes]))
    # Columns in the order of the labels, so that colours mean the same everywhere.
    return logits[:, output[0]].argmax(dim=1), confidence


def main(config: Config) -> None:
    """Trains, measures, writes."""
    folder = open_folder(config)
    torch.set_num_threads(config.threads)
    test = GaussianMixtures("clustering", "test", config.num_test)
    task = make_task(config, test)
    fits = {
        name: fit(make, task, rate, folder / name, config.seed)
        for name, (rate, make) in MODELS.items()
    }
    make_report(config, fits, bayes(test)).write(folder)
    save_figure(draw(fits, test), folder / "swarm_clustering.png")


if __name__ == "__main__":
    config = tyro.cli(Config, description=__doc__)
    if config.smoke:
        config = Config(steps=3, batch_size=4, num_test=20, smoke=True)
    main(config)
