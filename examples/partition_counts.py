"""Walks, triangles and cycles of random graphs, and of larger ones than were seen.

    python examples/partition_counts.py
    python examples/partition_counts.py --density --output runs/partition_densities

Graphs of 5 to 12 nodes, Erdős-Rényi and geometric, as tensors of order 2 (the adjacency
matrix of each, one after another, unpadded), and the numbers of their walks of two and
three steps (graph moments), triangles and cycles of four, or with ``--density`` these
divided by a power of the number of nodes. Networks of equivariant linear layers
(https://arxiv.org/abs/1812.09902) that stay at order 2, which cannot count triangles,
and that go through order 3, which can; each with sums over nodes, with means, and with
means times a learned power of the number of nodes; beside PyG's GIN on the same graphs.
All are then asked about graphs of up to 24 nodes.

Writes the table (csv, md) and the picture to ``runs/partition_counts``, or to
``--output``.
"""

from __future__ import annotations

from collections.abc import Callable
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
from readouts import mean_and_deviation, predict
from torch import Tensor
from torch.nn import Module
from torch.utils.data import DataLoader as Batches
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GIN, MLP, global_add_pool

from pyg_setops.datasets import RandomGraphs
from pyg_setops.models import InvariantGraphNetwork, pair_tensor

SEEN, UNSEEN = (5, 12), (13, 24)  # nodes
TYPICAL = 8.0
WIDTHS = {2: 32, 3: 16}  # of hidden tensors, by the highest order: as many weights
WALKS, CYCLES = slice(0, 2), slice(2, 4)  # columns of the targets
EPOCH = 100  # steps between two points of the learning curve


@dataclass(frozen=True)
class Config:
    """Counting walks and cycles with tensors of order 2 and 3."""

    density: bool = False
    """Predict densities: counts by a power of the number of nodes."""
    steps: int = 1000
    """Training steps of each model, a multiple of 100 (or less than 100)."""
    num_test: int = 1024
    """Graphs that all models are measured on, of each range of sizes."""
    seeds: int = 3
    """How often each model is trained, from other weights."""
    threads: int = 1
    """CPU threads."""
    output: Path = Path("runs/partition_counts")
    """Where results and checkpoints go; a killed run resumes from there."""
    smoke: bool = False
    """Run for seconds, to see that everything works."""


class Standardised(Module):
    """A network whose outputs are those of the targets' scale.

    Args:
        network: Maps a batch to ``[B, 4]``.
        mean: The mean of each training target.
        deviation: Its standard deviation.
    """

    def __init__(self, network: Module, mean: Tensor, deviation: Tensor):
        super().__init__()
        self.network = network
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)

    def forward(self, batch: Batch) -> Tensor:
        """Predicts all targets, ``[B, 4]``."""
        return self.mean + self.deviation * self.network(batch)


class OnPairs(Module):
    """A network of tensors on the adjacency matrices of a batch.

    Args:
        **kwargs: Of :class:`~pyg_setops.models.InvariantGraphNetwork`.
    """

    def __init__(self, order: int, **kwargs: object):
        super().__init__()
        orders = (2, order, 2, 0)
        self.network = InvariantGraphNetwork(
            1, 4, WIDTHS[order], orders, typical_size=TYPICAL, **kwargs
        )

    def forward(self, batch: Batch) -> Tensor:
        """Maps graphs to vectors."""
        pairs, tensors = pair_tensor(batch)
        return self.network(pairs, tensors)


class Isomorphism(Module):
    """PyG's GIN from equal nodes, its sum over nodes, and a perceptron."""

    def __init__(self) -> None:
        super().__init__()
        self.gin = GIN(1, 64, num_layers=3)
        self.head = MLP([64, 64, 4], norm=None)

    def forward(self, batch: Batch) -> Tensor:
        """Maps graphs to vectors."""
        x = self.gin(
            batch.edge_index.new_ones(batch.num_nodes, 1).float(), batch.edge_index
        )
        return self.head(global_add_pool(x, batch.batch) / TYPICAL)


SCALINGS: dict[str, dict[str, object]] = {
    "sum": {"aggr": "sum"},
    "mean": {"aggr": "mean"},
    "exponent": {"aggr": "mean", "size_exponent": True},
}


def make_models(train: RandomGraphs) -> dict[str, Callable[[], Module]]:
    """The networks by name."""
    targets = torch.cat([data.y for data in train[:2000]])
    scale = targets.mean(0), targets.std(0)
    networks: dict[str, Callable[[], Module]] = {
        f"order {order}, {name}": partial(OnPairs, order, **kwargs)
        for order in (3, 2)
        for name, kwargs in SCALINGS.items()
    }
    networks["PyG's GIN"] = Isomorphism
    return {
        name: lambda make=make: Standardised(make(), *scale)
        for name, make in networks.items()
    }


def loss(network: Module, batch: Batch) -> dict[str, Tensor]:
    """The mean squared error of standardised targets, and its root."""
    error = (network(batch) - batch.y) / network.deviation
    mean = error.square().mean()
    return {"loss": mean, "RMSE": mean.sqrt()}


def make_task(config: Config, train: RandomGraphs) -> Task:
    """Fresh graphs at every step; the learning rate falls to 0 in the second half."""
    num_epochs = max(1, config.steps // EPOCH)
    val = RandomGraphs(SEEN, config.density, "val", config.num_test)
    # Made once for all models: drawing and batching cost as much as a small model.
    batches = list(DataLoader(train, batch_size=32))
    share = len(batches) // num_epochs
    return Task(
        loss,
        lambda epoch: Batches(batches[epoch * share : (epoch + 1) * share], None),
        DataLoader(val, batch_size=128),
        num_epochs,
        schedule=lambda spent: min(1.0, 2 * (1 - spent)),
    )


def errors(network: Module, test: RandomGraphs) -> Tensor:
    """The errors of all test graphs, ``[B, 4]``."""
    return predict(network, test, 64) - targets(test)


def targets(graphs: RandomGraphs) -> Tensor:
    """The true numbers, ``[B, 4]``."""
    return torch.cat([data.y for data in graphs])


def relative(error: Tensor, truth: Tensor, columns: slice) -> float:
    """The error's root mean square by the targets' deviation, mean of some columns."""
    share = error.square().mean(0).sqrt() / truth.std(0)
    return float(share[columns].mean())


def make_report(
    config: Config,
    fits: dict[str, list[Fitted]],
    found: dict[str, list[tuple[Tensor, Tensor]]],
    truths: tuple[Tensor, Tensor],
) -> Report:
    """A row for each model."""
    what = "densities" if config.density else "numbers"
    rows = []
    for name, seeds in fits.items():
        cells = [
            mean_and_deviation(
                [relative(each[at], truths[at], columns) for each in found[name]]
            )
            for at in range(2)
            for columns in (WALKS, CYCLES)
        ]
        seconds = sum(each.seconds for each in seeds) / len(seeds)
        rows.append([name, *cells, f"{seeds[0].num_parameters:,}", f"{seconds:.0f}"])
    sizes = [f"n = {low} to {high}" for low, high in (SEEN, UNSEEN)]
    flags = " --density" if config.density else ""
    return Report(
        config.output.name,
        f"The {what} of walks and cycles in random graphs, relative error",
        f"python examples/partition_counts.py{flags} --steps {config.steps} --seeds "
        f"{config.seeds} --output {config.output}",
        [
            "model",
            *[f"{kind}, {size}" for size in sizes for kind in ("walks", "cycles")],
            "parameters",
            "training [s]",
        ],
        rows,
        [
            "Root mean squared error by the standard deviation of the target among the "
            "graphs asked for: 1 is what their mean would score. Walks: mean of two "
            "and three steps; cycles: of triangles and cycles of four.",
            f"Trained on graphs of {SEEN[0]} to {SEEN[1]} nodes alone: {config.steps} "
            "steps of 32 fresh graphs, Adam at 3e-3 falling to 0 in the second half, "
            f"gradients clipped at 1; {config.seeds} seed(s) of the weights, mean ± "
            f"deviation, on the same batches; {config.num_test} test graphs a column.",
            "Seconds of training on a shared machine: an order of magnitude.",
        ],
    )


def draw(
    fits: dict[str, list[Fitted]],
    found: dict[str, list[tuple[Tensor, Tensor]]],
    tests: tuple[RandomGraphs, RandomGraphs],
    truths: tuple[Tensor, Tensor],
) -> Figure:
    """Errors by size of walks and of cycles, and learning curves."""
    figure, panels = plt.subplots(1, 3, figsize=(17, 4.8), layout="constrained")
    sizes = torch.tensor([data.num_nodes for test in tests for data in test])
    truth = torch.cat(truths)
    for axes, columns, kind in zip(
        panels, (WALKS, CYCLES), ("walks", "triangles and cycles of four"), strict=False
    ):
        _by_size(axes, found, sizes, truth, columns)
        axes.set_title(f"{kind}: relative error by number of nodes")
    curves = {name: each[0] for name, each in fits.items()}
    draw_curves(panels[2], curves, "RMSE", {})
    for number, (name, line) in enumerate(zip(curves, panels[2].lines, strict=True)):
        line.set(**_style(name, number))
    panels[2].set(title="RMSE, validation graphs of 5 to 12 nodes", yscale="log")
    panels[2].get_legend().remove()  # that of the first panel serves
    return figure


def _by_size(
    axes: Axes,
    found: dict[str, list[tuple[Tensor, Tensor]]],
    sizes: Tensor,
    truth: Tensor,
    columns: slice,
) -> None:
    places = range(SEEN[0], UNSEEN[1] + 1)
    for number, (name, seeds) in enumerate(found.items()):
        error = torch.stack([torch.cat(each) for each in seeds]).square().mean(0).sqrt()
        values = [
            relative(error[sizes == size], truth[sizes == size], columns)
            for size in places
        ]
        axes.plot(places, values, label=name, lw=1.8, **_style(name, number))
    axes.axvspan(*SEEN, color="0.9", zorder=0)
    axes.set(yscale="log", xlabel="nodes (grey: seen in training)")
    axes.grid(alpha=0.3, which="both")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)


def _style(name: str, number: int) -> dict[str, str]:
    """The colour tells how a network scales, the line its highest order."""
    lines = {"2": "--", "3": "-"}
    order = name.split(",")[0][-1]
    if order not in lines:
        return {"linestyle": ":", "color": "black"}
    return {"linestyle": lines[order], "color": f"C{number % len(SCALINGS)}"}


def main(config: Config) -> None:
    """Trains, measures, writes."""
    folder = open_folder(config)
    torch.set_num_threads(config.threads)
    train = RandomGraphs(SEEN, config.density, num_sets=config.steps * 32)
    tests = tuple(
        RandomGraphs(sizes, config.density, "test", config.num_test)
        for sizes in (SEEN, UNSEEN)
    )
    task = make_task(config, train)
    fits = {
        name: [
            fit(make, task, 3e-3, folder / f"{name} {seed}", seed)
            for seed in range(config.seeds)
        ]
        for name, make in make_models(train).items()
    }
    found = {
        name: [tuple(errors(each.network, test) for test in tests) for each in seeds]
        for name, seeds in fits.items()
    }
    truths = tuple(targets(test) for test in tests)
    make_report(config, fits, found, truths).write(folder)
    save_figure(draw(fits, found, tests, truths), folder / f"{config.output.name}.png")


if __name__ == "__main__":
    config = tyro.cli(Config, description=__doc__)
    if config.smoke:
        config = Config(steps=3, num_test=60, seeds=1, smoke=True)
    main(config)
