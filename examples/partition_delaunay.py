"""From a set of points to a graph on them: Delaunay triangulations.

    python examples/partition_delaunay.py

Sets of 20 to 80 points in the unit square; of every pair of points a network is to say
whether the triangulation joins them (https://arxiv.org/abs/2002.08772). Networks of
equivariant linear layers take elements to pairs (order 1 to 2): three that work on
pairs, with means, with sums and with a learned power of the number of points, so that
a pair hears of all others; one that works on elements, as Set2Graph does, and looks at
each pair by itself at the end. Beside them, the longest edge that scores best.

Writes the table (csv, md) and the picture to ``runs/partition_delaunay``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
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
from torch import Tensor
from torch.nn import Module
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import DataLoader as Batches
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

from pyg_setops.datasets import Delaunay
from pyg_setops.models import InvariantGraphNetwork
from pyg_setops.ragged import SetIndex, TensorIndex, segment_sum

SIZES, LARGE = (20, 80), (100, 160)  # points
TYPICAL = 50.0
BATCH_SIZE = 8
EPOCH = 100  # steps between two points of the learning curve
DISTANCE = "longest edge"


@dataclass(frozen=True)
class Config:
    """Delaunay triangulations of ragged sets of points."""

    steps: int = 1000
    """Training steps of each model, a multiple of 100 (or less than 100)."""
    num_test: int = 256
    """Sets that all models are measured on."""
    threads: int = 1
    """CPU threads."""
    output: Path = Path("runs/partition_delaunay")
    """Where results and checkpoints go; a killed run resumes from there."""
    smoke: bool = False
    """Run for seconds, to see that everything works."""


class Pairs:
    """The pairs of different points of a batch, and which of them are edges.

    Args:
        batch: Sets of points with their ``edge_index``.
    """

    def __init__(self, batch: Batch):
        self.tensors = TensorIndex.build(batch.batch, batch.ptr)
        first, second = (
            self.tensors.gather(torch.arange(batch.num_nodes), (axis,), 2)
            for axis in (0, 1)
        )
        # Once each: the graph has no direction.
        self.chosen = (first < second).nonzero().squeeze(1)
        self.ends = torch.stack([first[self.chosen], second[self.chosen]])
        index = self.tensors.rows(2).index[self.chosen]
        self.sets = SetIndex.build(index, dim_size=self.tensors.num_sets)
        truth = torch.zeros(first.numel())
        truth[self.tensors.pair_rows(*batch.edge_index)] = 1
        self.truth = truth[self.chosen]

    def f1(self, predicted: Tensor) -> Tensor:
        """The F1 score of each set, ``[B]``."""
        hits = predicted.float() * self.truth
        counts = torch.stack([hits, predicted.float() + self.truth], dim=1)
        total = segment_sum(counts, self.sets)
        return 2 * total[:, 0] / total[:, 1]


class SetToGraph(Module):
    """A logit for every pair of different points.

    Args:
        hidden_channels: The width.
        orders: Those of the tensors, from 1 to 2.
        **kwargs: Of :class:`~pyg_setops.models.InvariantGraphNetwork`.
    """

    def __init__(self, hidden_channels: int, orders: tuple[int, ...], **kwargs: object):
        super().__init__()
        self.network = InvariantGraphNetwork(
            2, 1, hidden_channels, orders, typical_size=TYPICAL, **kwargs
        )

    def forward(self, batch: Batch, pairs: Pairs) -> Tensor:
        """Logits of ``pairs``."""
        tensors = pairs.tensors
        # Uniform points, of mean 0 and deviation 1.
        out = self.network((batch.pos - 0.5) * 12**0.5, tensors)
        both = out + tensors.gather(out, (1, 0), 2)
        return both[pairs.chosen, 0]


class Distance(Module):
    """Nothing is learned: the shorter, the likelier."""

    def forward(self, batch: Batch, pairs: Pairs) -> Tensor:
        """Logits of ``pairs``."""
        first, second = batch.pos[pairs.ends]
        # By what is usual among as many points.
        density = pairs.tensors.sizes[batch.batch[pairs.ends[0]]].sqrt()
        return -(first - second).norm(dim=1) * density


def make_models() -> dict[str, Callable[[], Module]]:
    """The networks by name."""
    pairs, points = (1, 2, 2, 2), (1, 1, 1, 2)
    return {
        "pairs, mean": partial(SetToGraph, 32, pairs),
        "pairs, sum": partial(SetToGraph, 32, pairs, aggr="sum"),
        "pairs, exponent": partial(SetToGraph, 32, pairs, size_exponent=True),
        "points, then pairs apart": partial(SetToGraph, 64, points),
    }


def loss(network: Module, batch: Batch) -> dict[str, Tensor]:
    """The cross entropy of a pair, and the mean F1 at even odds."""
    pairs = Pairs(batch)
    logits = network(batch, pairs)
    return {
        "loss": binary_cross_entropy_with_logits(logits, pairs.truth),
        "F1": pairs.f1(logits > 0).mean(),
    }


def make_task(config: Config, val: Delaunay) -> Task:
    """Fresh sets at every step; the learning rate falls to 0 in the second half."""
    num_epochs = max(1, config.steps // EPOCH)
    train = Delaunay(SIZES, num_sets=config.steps * BATCH_SIZE)
    # Made once for all models: triangulating costs as much as a small model.
    batches = list(DataLoader(train, BATCH_SIZE))
    share = len(batches) // num_epochs
    return Task(
        loss,
        lambda epoch: Batches(batches[epoch * share : (epoch + 1) * share], None),
        DataLoader(val, 32),
        num_epochs,
        schedule=lambda spent: min(1.0, 2 * (1 - spent)),
    )


@torch.no_grad()
def answers(network: Module, sets: Delaunay) -> Iterator[tuple[Pairs, Tensor]]:
    """The pairs of some sets at a time, and their logits."""
    for batch in DataLoader(sets, 16):
        pairs = Pairs(batch)
        yield pairs, network(batch, pairs)


def best_threshold(network: Module, val: Delaunay) -> float:
    """The logit above which to say yes, for the best mean F1 on validation sets."""
    found = list(answers(network, val))
    logits = torch.cat([each for _, each in found])
    few = logits[:: len(logits) // 2**20 + 1]  # as many as a quantile takes
    tried = few.quantile(torch.linspace(0.8, 0.98, 37))
    scores = [
        torch.cat([pairs.f1(each > threshold) for pairs, each in found]).mean()
        for threshold in tried
    ]
    return float(tried[int(torch.stack(scores).argmax())])


def scores(network: Module, threshold: float, sets: Delaunay) -> Tensor:
    """The F1 score of each set."""
    found = answers(network, sets)
    return torch.cat([pairs.f1(logits > threshold) for pairs, logits in found])


def make_report(
    config: Config, fits: dict[str, Fitted], found: dict[str, tuple[Tensor, Tensor]]
) -> Report:
    """A row for each model."""
    rows = []
    for name, each in found.items():
        cost = ["", ""]
        if name in fits:
            cost = [f"{fits[name].num_parameters:,}", f"{fits[name].seconds:.0f}"]
        rows.append([name, *[f"{float(part.mean()):.3f}" for part in each], *cost])
    return Report(
        config.output.name,
        "Delaunay triangulations of 20 to 80 points, F1 of the edges",
        f"python examples/partition_delaunay.py --steps {config.steps}",
        [
            "model",
            *[f"F1, n = {low} to {high}" for low, high in (SIZES, LARGE)],
            "parameters",
            "training [s]",
        ],
        rows,
        [
            f"{config.steps} steps of {BATCH_SIZE} fresh sets of {SIZES[0]} to "
            f"{SIZES[1]} points, Adam at 3e-3 falling to 0 in the second half, "
            "gradients clipped at 1, cross entropy of each pair, seed 0.",
            f"The mean over {config.num_test} test sets ({config.num_test // 4} larger "
            "ones, never seen in training) of the F1 of a set; the threshold is the "
            "best on validation sets of 20 to 80 points, for each model.",
            f"{DISTANCE}: joins what is nearer than a multiple of the usual distance.",
            "Seconds of training on a shared machine: an order of magnitude.",
        ],
    )


def draw(
    networks: dict[str, tuple[Module, float]],
    fits: dict[str, Fitted],
    found: dict[str, tuple[Tensor, Tensor]],
    tests: tuple[Delaunay, Delaunay],
) -> Figure:
    """One set by two models, F1 by size, and learning curves."""
    figure, panels = plt.subplots(1, 4, figsize=(19, 4.8), layout="constrained")
    shown = min(tests[0], key=lambda data: abs(data.num_nodes - 40))
    for axes, name in zip(panels, ("pairs, exponent", DISTANCE), strict=False):
        _edges(axes, shown, *networks[name])
        axes.set_title(f"{name}: {axes.get_title()}")
    _by_size(panels[2], found, tests)
    draw_curves(panels[3], fits, "F1", {}, "lower right")
    panels[3].set_title("mean F1 at even odds, validation sets")
    return figure


@torch.no_grad()
def _edges(axes: Axes, data: Data, network: Module, threshold: float) -> None:
    """What was found, what was missed (dashed) and what is not there (red)."""
    batch = Batch.from_data_list([data])
    pairs = Pairs(batch)
    said = network(batch, pairs) > threshold
    for (first, second), yes, true in zip(
        pairs.ends.t().tolist(), said.tolist(), pairs.truth.bool().tolist(), strict=True
    ):
        if yes or true:
            ends = data.pos[[first, second]].t()
            color = "0.6" if yes and true else "C3" if yes else "C0"
            axes.plot(*ends, "-" if yes else "--", color=color, lw=1.3)
    axes.plot(*data.pos.t(), "o", color="black", ms=4)
    axes.set(xticks=[], yticks=[], aspect="equal")
    axes.set_title(f"F1 {float(pairs.f1(said)):.2f}")


def _by_size(
    axes: Axes,
    found: dict[str, tuple[Tensor, Tensor]],
    tests: tuple[Delaunay, Delaunay],
) -> None:
    sizes = torch.tensor([data.num_nodes for test in tests for data in test])
    bins = (sizes / 20).round().long()
    for name, each in found.items():
        values = torch.cat(each)
        places = bins.unique().tolist()
        means = [float(values[bins == place].mean()) for place in places]
        style = "--" if name == DISTANCE else "o-"
        axes.plot([20 * place for place in places], means, style, label=name)
    axes.axvspan(*SIZES, color="0.9", zorder=0)
    axes.set(title="mean F1 by size", xlabel="points (grey: seen in training)")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)


def main(config: Config) -> None:
    """Trains, measures, writes."""
    folder = open_folder(config)
    torch.set_num_threads(config.threads)
    val = Delaunay(SIZES, "val", max(config.num_test // 4, 8))
    tests = (
        Delaunay(SIZES, "test", config.num_test),
        Delaunay(LARGE, "test", config.num_test // 4),
    )
    task = make_task(config, val)
    fits = {
        name: fit(make, task, 3e-3, folder / name, seed=0)
        for name, make in make_models().items()
    }
    trained = {name: fitted.network for name, fitted in fits.items()}
    networks = {
        name: (network, best_threshold(network, val))
        for name, network in {**trained, DISTANCE: Distance()}.items()
    }
    found = {
        name: tuple(scores(*network, test) for test in tests)
        for name, network in networks.items()
    }
    make_report(config, fits, found).write(folder)
    save_figure(
        draw(networks, fits, found, tests), folder / f"{config.output.name}.png"
    )


if __name__ == "__main__":
    config = tyro.cli(Config, description=__doc__)
    if config.smoke:
        config = Config(steps=3, num_test=16, smoke=True)
    main(config)
