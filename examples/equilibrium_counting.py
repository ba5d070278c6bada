"""How many different digits are in a set of handwritten ones?

    python examples/equilibrium_counting.py

The images are real, 8 x 8 pixels (scikit-learn) or with ``--size 14`` 14 x 14 (MNIST),
and those of the test sets are never trained on. A set holds 1 to 10 different digits in
at most 20 images; neither which digits nor which image shows what is told, only their
number. A perceptron embeds each image, a set function makes one vector of the set, and
another perceptron names the number. Equilibrium Aggregation
(https://arxiv.org/abs/2202.12795) with a convex energy that averages over the set or
adds up, with PyG's residual energy and with the paper's, beside PyG's own class, Deep
Sets, a Set Transformer, SWARM and the maximum, trained on the same batches of 32, and
asked one, 32 and 512 sets at a time.

Writes the table (csv, md) and the picture to ``runs/equilibrium_counting``.
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
from readouts import SetNetwork, make_readouts, mean_and_deviation, predict
from torch import Tensor
from torch.nn import Module
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader as Batches
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import MLP, MaxAggregation

from pyg_setops.aggr import EquilibriumAggregation
from pyg_setops.datasets import DigitCounting
from pyg_setops.equilibrium import ConvexEnergy, SquaredResidualEnergy

WIDTH = 64
STAGES = (64, 64, 32)  # of the paper's energy
MOST = 10  # different digits in a set
BATCH_SIZES = (1, 32, 512)
LEARNING_RATE = 1e-3
EPOCH = 100  # steps between two points of the learning curve
SHOWN = 4  # sets in the picture


@dataclass(frozen=True)
class Config:
    """Class counting on digits with Equilibrium Aggregation and its peers."""

    size: int = 8
    """The side of an image: 8 (scikit-learn) or 14 (MNIST)."""
    steps: int = 3000
    """Training steps of each model, a multiple of 100 (or less than 100)."""
    num_test: int = 512
    """Sets that all models are measured on."""
    seeds: int = 3
    """How often each model is trained, from other weights."""
    threads: int = 1
    """CPU threads."""
    output: Path = Path("runs/equilibrium_counting")
    """Where results and checkpoints go; a killed run resumes from there."""
    smoke: bool = False
    """Run for seconds, to see that everything works."""


def make_models(size: int) -> dict[str, Callable[[], Module]]:
    """The networks by name."""

    def make(readout: Callable[[], Module]) -> Module:
        return SetNetwork(
            MLP([size**2, WIDTH, WIDTH], norm=None),
            readout(),
            MLP([WIDTH, WIDTH, MOST], norm=None),
        )

    equilibrium = partial(EquilibriumAggregation, WIDTH, WIDTH)
    readouts = {
        "Equilibrium, convex sum": partial(
            equilibrium, partial(ConvexEnergy, scale="sum")
        ),
        "Equilibrium, paper's": partial(
            equilibrium, partial(SquaredResidualEnergy, num_layers=STAGES)
        ),
        **make_readouts(WIDTH, WIDTH),
        "maximum": MaxAggregation,
    }
    return {name: partial(make, readout) for name, readout in readouts.items()}


def loss(network: Module, batch: Batch) -> dict[str, Tensor]:
    """The cross entropy of the count, and the accuracy."""
    logits = network(batch)
    return {
        "loss": cross_entropy(logits, batch.y - 1),
        "accuracy": (logits.argmax(dim=1) + 1 == batch.y).float().mean(),
    }


def make_task(config: Config, test: DigitCounting) -> Task:
    """Fresh sets at every step; the learning rate falls to 0 in the second half."""
    num_epochs = max(1, config.steps // EPOCH)
    train = DigitCounting(config.size, num_sets=config.steps * 32)
    # Made once for all models: drawing and batching cost as much as a small model.
    batches = list(DataLoader(train, batch_size=32))
    share = len(batches) // num_epochs
    return Task(
        loss,
        lambda epoch: Batches(batches[epoch * share : (epoch + 1) * share], None),
        DataLoader(test, batch_size=len(test)),
        num_epochs,
        schedule=lambda spent: min(1.0, 2 * (1 - spent)),
    )


def counts(network: Module, test: DigitCounting) -> Tensor:
    """What a network says of the test sets at each batch size, ``[3, B]``."""
    return torch.stack(
        [predict(network, test, size).argmax(dim=1) + 1 for size in BATCH_SIZES]
    )


def targets(sets: DigitCounting) -> Tensor:
    """The true counts, ``[B]``."""
    return torch.cat([data.y for data in sets])


def make_report(
    config: Config,
    fits: dict[str, list[Fitted]],
    answers: dict[str, list[Tensor]],
    truth: Tensor,
) -> Report:
    """A row for each model."""
    rows = []
    for name, seeds in fits.items():
        error = torch.stack([answer - truth for answer in answers[name]])
        accuracy = (error == 0).double().mean(dim=2)
        mae = error[:, 1].abs().double().mean(dim=1)
        rows.append(
            [
                name,
                *[mean_and_deviation(column.tolist()) for column in accuracy.T],
                mean_and_deviation(mae.tolist()),
                f"{seeds[0].num_parameters:,}",
                f"{sum(each.seconds for each in seeds) / len(seeds):.0f}",
            ]
        )
    return Report(
        config.output.name,
        f"Counting the classes of {config.size} x {config.size} digits, 1 to 10, by "
        "sets of unseen images",
        f"python examples/equilibrium_counting.py --size {config.size} --steps "
        f"{config.steps} --seeds {config.seeds} --output {config.output}",
        [
            "model",
            *[f"accuracy, B = {size}" for size in BATCH_SIZES],
            "MAE, B = 32",
            "parameters",
            "training [s]",
        ],
        rows,
        [
            f"{config.steps} steps of 32 fresh sets, Adam at {LEARNING_RATE} falling "
            f"to 0 in the second half, gradients clipped at 1; {config.seeds} seed(s) "
            "of the weights, mean ± deviation, on the same batches. The learning curve "
            "is of the test sets; nothing is chosen by it.",
            f"B: how many of the {config.num_test} test sets are asked for at once.",
            "The protocol of the paper's own counting task is not known to us: these "
            "numbers cannot be compared with its.",
            "Seconds of training on a shared machine: an order of magnitude.",
        ],
    )


def draw(
    fits: dict[str, list[Fitted]],
    answers: dict[str, list[Tensor]],
    test: DigitCounting,
) -> Figure:
    """Sets with what was said of them, errors by count, and learning curves."""
    figure = plt.figure(figsize=(17, 5), layout="constrained")
    grid = figure.add_gridspec(SHOWN, 3, width_ratios=[1.7, 1, 1])
    for row in range(SHOWN):
        _set(figure.add_subplot(grid[row, 0]), test[row], row, answers)
    _by_count(figure.add_subplot(grid[:, 1]), answers, targets(test))
    axes = figure.add_subplot(grid[:, 2])
    draw_curves(
        axes,
        {name: each[0] for name, each in fits.items()},
        "accuracy",
        {},
    )
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    axes.set(title="accuracy, sets of unseen images")
    return figure


def _set(axes: Axes, data: Data, number: int, answers: dict[str, list[Tensor]]) -> None:
    """The images of a set, side by side, and the counts of the first seeds."""
    order = data.label.argsort()
    side = int(data.x.size(1) ** 0.5)
    images = torch.nn.functional.pad(data.x[order].view(-1, side, side), (1, 1))
    axes.imshow(torch.cat(list(images), dim=1), "gray_r", vmin=0, vmax=1)
    said = ", ".join(
        f"{name} {int(answers[name][0][1, number])}"
        for name in ("Equilibrium, convex sum", "Deep Sets", "SWARM")
    )
    axes.set_title(f"{int(data.y)} different digits;  {said}", fontsize=10)
    axes.set(xticks=[], yticks=[])


def _by_count(axes: Axes, answers: dict[str, list[Tensor]], truth: Tensor) -> None:
    """The mean absolute error of each model by the true count, 32 sets at a time."""
    places = range(1, MOST + 1)
    for name, seeds in answers.items():
        error = torch.stack([answer[1] - truth for answer in seeds]).abs().double()
        means = [float(error[:, truth == count].mean()) for count in places]
        axes.plot(places, means, "o-", label=name, lw=1.8)
    axes.set(title="mean absolute error by true count", xticks=places)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def main(config: Config) -> None:
    """Trains, measures, writes."""
    folder = open_folder(config)
    torch.set_num_threads(config.threads)
    test = DigitCounting(config.size, "test", config.num_test)
    task = make_task(config, test)
    fits = {
        name: [
            fit(make, task, LEARNING_RATE, folder / f"{name} {seed}", seed)
            for seed in range(config.seeds)
        ]
        for name, make in make_models(config.size).items()
    }
    answers = {
        name: [counts(each.network, test) for each in seeds]
        for name, seeds in fits.items()
    }
    make_report(config, fits, answers, targets(test)).write(folder)
    save_figure(draw(fits, answers, test), folder / f"{config.output.name}.png")


if __name__ == "__main__":
    config = tyro.cli(Config, description=__doc__)
    if config.smoke:
        config = Config(steps=3, num_test=64, seeds=1, smoke=True)
    main(config)
