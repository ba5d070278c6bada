"""Slots as clusters: whose point is it, in a mixture that was never seen before?

    python examples/slots_clustering.py

The amortised clustering of ``swarm_clustering.py``: 100 to 1000 points of 3 to 10
Gaussians in the plane, cross entropy under the best matching of outputs to labels. The
outputs of Slot Attention (https://arxiv.org/abs/2006.15055) are the shares of its last
iteration: each slot is a cluster, and its layer never knew which slot is which. So it
can be given another number of slots than in training, here the true number of each set;
SWARM and a Set Transformer of the same width have their ten outputs for good. All are
trained on the same sets and scored by the adjusted Rand index; the Bayes row knows the
true parameters of every mixture.

Writes the table (csv, md) and the picture to ``runs/slots_clustering``.
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
    draw_curves,
    fit,
    open_folder,
    save_figure,
)
from matplotlib.figure import Figure
from readouts import mean_and_deviation
from scenes import merge_slots, recolour
from swarm_clustering import NUM_LABELS, bayes, log_posterior, make_task
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Batch, Data
from torch_geometric.nn import MLP

from pyg_setops import SlotAttention, SwarmLayer
from pyg_setops.datasets import GaussianMixtures
from pyg_setops.metrics import adjusted_rand_index
from pyg_setops.models import InducedSetTransformer
from pyg_setops.ragged import SetIndex

WIDTH = 64
THRESHOLD = 0.5  # of the overlap of slots that are merged, as for the sprites
LEAST = 1e-6  # of a share, so that its logarithm is finite


@dataclass(frozen=True)
class Config:
    """Amortised clustering with slots and their peers."""

    steps: int = 600
    """Training steps of each model, a multiple of 100 (or less than 100)."""
    batch_size: int = 10
    """Sets a step."""
    num_test: int = 300
    """Sets that all models are measured on."""
    seeds: int = 3
    """How often each model is trained, from other weights."""
    threads: int = 1
    """CPU threads."""
    output: Path = Path("runs/slots_clustering")
    """Where results and checkpoints go; a killed run resumes from there."""
    smoke: bool = False
    """Run for seconds, to see that everything works."""


class SlotClusters(Module):
    """The logarithms of how slots share points.

    Args:
        arguments: Those of :class:`~pyg_setops.SlotAttention`.
    """

    def __init__(self, **arguments: object):
        super().__init__()
        self.encoder = MLP([2, WIDTH, WIDTH, WIDTH], norm=None)
        self.slots = SlotAttention(WIDTH, WIDTH, NUM_LABELS, **arguments)

    def forward(
        self, x: Tensor, ptr: Tensor | None = None, num_slots: Tensor | None = None
    ) -> Tensor:
        """Maps points ``[N, 2]`` to ``[N, 10]``; a slot that is not there has little.

        Args:
            x: Points.
            ptr: The boundaries of the sets.
            num_slots: The slots of each set, at most ten (default: ten).
        """
        sets = SetIndex.build(ptr=ptr, num_elements=x.size(0))
        if num_slots is None:
            num_slots = torch.full_like(sets.sizes, NUM_LABELS)
        *_, shares = self.slots(
            self.encoder(x), ptr=sets.ptr, num_slots=num_slots, return_attention=True
        )
        points = SetIndex.build(ptr=shares.ptr)
        out = x.new_full((x.size(0), NUM_LABELS), LEAST)
        place = points.index, points.position
        return out.index_put(place, shares.values.clamp(min=LEAST)).log()


MODELS: dict[str, tuple[float, Callable[[], Module]]] = {
    "Slot Attention, 5 iterations": (2e-3, partial(SlotClusters, num_iterations=5)),
    "Slot Attention, implicit, 9": (
        2e-3,
        partial(SlotClusters, num_iterations=9, grad="implicit"),
    ),
    "SWARM": (1e-2, partial(SwarmLayer, 2, NUM_LABELS, WIDTH, 10)),
    "Set Transformer": (1e-3, partial(InducedSetTransformer, 2, NUM_LABELS, WIDTH)),
}


@torch.no_grad()
def clusters(network: Module, batch: Batch) -> dict[str, Tensor]:
    """The cluster of each point ``[N]``, by rule: slots have three, others one."""
    logits = network(batch.pos, ptr=batch.ptr)
    found = {"ten": logits.argmax(dim=1)}
    if isinstance(network, SlotClusters):
        sets = SetIndex.build(ptr=batch.ptr)
        objects = merge_slots(logits.exp(), sets, THRESHOLD)
        found["merged"] = objects[sets.index, found["ten"]]
        given = network(batch.pos, batch.ptr, components(batch))
        found["given"] = given.argmax(dim=1)
    return found


def components(batch: Batch) -> Tensor:
    """The number of components of each mixture, ``[B]``."""
    return torch.tensor([len(data.weight) for data in batch.to_data_list()])


def rand(batch: Batch, found: Tensor) -> float:
    """The mean adjusted Rand index."""
    sets = SetIndex.build(ptr=batch.ptr)
    return float(adjusted_rand_index(batch.y, found, sets).mean())


def posterior_clusters(batch: Batch) -> Tensor:
    """The likeliest component of each point, by the true mixture."""
    sets = batch.to_data_list()
    return torch.cat([log_posterior(data, data.pos).argmax(dim=1) for data in sets])


def make_report(
    config: Config, fits: dict[str, list[Fitted]], test: GaussianMixtures
) -> Report:
    """A row for each model, and the bound."""
    batch = Batch.from_data_list(list(test))
    rows = []
    for name, seeds in fits.items():
        found = [clusters(each.network, batch) for each in seeds]
        scores = [
            mean_and_deviation([rand(batch, each[rule]) for each in found])
            if rule in found[0]
            else ""
            for rule in ("ten", "merged", "given")
        ]
        last = [each.curve[-1] for each in seeds]
        rows.append(
            [
                name,
                *scores,
                mean_and_deviation([each["loss"] for each in last]),
                mean_and_deviation([each["accuracy"] for each in last]),
                f"{seeds[0].num_parameters:,}",
                f"{MODELS[name][0]:g}",
                f"{sum(each.seconds for each in seeds) / len(seeds):.0f}",
            ]
        )
    best = bayes(test)
    bound = rand(batch, posterior_clusters(batch))
    numbers = [f"{best['loss']:.3f}", f"{best['accuracy']:.3f}"]
    return Report(
        "slots_clustering",
        "Amortised clustering by slots: adjusted Rand index of test sets",
        f"python examples/slots_clustering.py --steps {config.steps} --seeds "
        f"{config.seeds} --num-test {config.num_test}",
        [
            "model",
            "ARI, K = 10",
            "merged, K = 10",
            "ARI, K given",
            "cross entropy",
            "accuracy",
            "parameters",
            "Adam lr",
            "training [s]",
        ],
        [
            *rows,
            ["Bayes (true parameters)", f"{bound:.3f}", "", "", *numbers, *[""] * 3],
        ],
        [
            f"{config.steps} steps of {config.batch_size} fresh sets, {config.seeds} "
            f"seed(s) of the weights, mean ± deviation, on the same sets; measured on "
            f"{config.num_test} other sets. All models are {WIDTH} wide; "
            "swarm_clustering.md has SWARM and the Set Transformer at 128 and 1,000 "
            "steps.",
            "Bayes knows the true parameters of each mixture.",
            "K given: the same weights, with as many slots as the mixture has "
            "components. merged: slots whose shares overlap by "
            f"{THRESHOLD} or more are one cluster.",
            "Seconds of training on a shared machine: an order of magnitude.",
        ],
    )


def draw(fits: dict[str, list[Fitted]], test: GaussianMixtures) -> Figure:
    """Three sets as the models divide them, and the learning curves."""
    shown = _examples(test)
    figure = plt.figure(figsize=(17, 8), layout="constrained")
    widths = [1] * (len(fits) + 2) + [1.7]
    grid = figure.add_gridspec(len(shown), len(widths), width_ratios=widths)
    for row, data in enumerate(shown):
        batch = Batch.from_data_list([data])
        panels = {"true labels": data.y}
        for name, seeds in fits.items():
            found = clusters(seeds[0].network, batch)
            panels[name] = recolour(found["ten"], data.y)
            if name == next(iter(fits)):
                panels["the same, K given"] = recolour(found["given"], data.y)
        for column, (name, label) in enumerate(panels.items()):
            axes = figure.add_subplot(grid[row, column])
            low, high = data.pos.quantile(0.005, dim=0), data.pos.quantile(0.995, dim=0)
            axes.scatter(*data.pos.T, c=label % 10, cmap="tab10", vmin=0, vmax=9, s=5)
            axes.set(xticks=[], yticks=[])
            axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
            if row == 0:
                axes.set_title(name, fontsize=9)
    axes = figure.add_subplot(grid[:, -1])
    firsts = {name: seeds[0] for name, seeds in fits.items()}
    draw_curves(axes, firsts, "loss", {"Bayes": bayes(test)["loss"]}, "center right")
    axes.set(title="cross entropy, test sets")
    axes.set_ylim(bottom=0)
    return figure


def _examples(test: GaussianMixtures) -> list[Data]:
    """The first sets with 4, 6 and 8 components, or about as many."""
    sets = list(test)
    return [
        min(sets, key=lambda data: abs(len(data.weight) - number))
        for number in (4, 6, 8)
    ]


def main(config: Config) -> None:
    """Trains, measures, writes."""
    folder = open_folder(config)
    torch.set_num_threads(config.threads)
    test = GaussianMixtures("clustering", "test", config.num_test)
    task = make_task(config, test)
    fits = {
        name: [
            fit(make, task, rate, folder / f"{name} {seed}", seed)
            for seed in range(config.seeds)
        ]
        for name, (rate, make) in MODELS.items()
    }
    make_report(config, fits, test).write(folder)
    save_figure(draw(fits, test), folder / "slots_clustering.png")


if __name__ == "__main__":
    config = tyro.cli(Config, description=__doc__)
    if config.smoke:
        config = Config(steps=2, batch_size=2, num_test=12, seeds=1, smoke=True)
    main(config)
