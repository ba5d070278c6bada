"""Which digits are where? A scene's ink pixels to a set of classes and places.

    python examples/slots_digits.py

A scene holds one to six real handwritten digits, 8 x 8 pixels each (scikit-learn), on
a canvas where none touches another; the images of test scenes are never trained on. It
is a point set: the places and ink of its pixels. Two convolutions over the pixels that
are there look at each one's surroundings, a set function makes six vectors of the set,
and a perceptron makes each an answer: a class, a place, and whether there is anything.
Answers are matched to digits at the least loss, Huber's of the place and cross entropy
of the rest; the Slot Attention paper (https://arxiv.org/abs/2006.15055) takes Huber's
of all. The pixels are asked for the class and place of their own digit too, in
training: by the matched answers alone, nobody names digits in such a budget. Slot
Attention beside a Set Transformer with six seeds and the mean.

Writes the table (csv, md) and the picture to ``runs/slots_digits``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
import tyro
from digit_sets import (
    PIXELS,
    THRESHOLDS,
    DigitFinder,
    Mean,
    Seeds,
    Slots,
    connect,
    evaluate,
    make_finder,
    matching_loss,
    pixel_loss,
)
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
from readouts import mean_and_deviation
from torch import Tensor
from torch.nn import Module
from torch.utils.data import DataLoader as Batches
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

from pyg_setops.datasets import DigitScenes

BATCH_SIZE, LEARNING_RATE = 16, 2e-3
EPOCH = 100  # steps between two points of the learning curve
PIXEL_WEIGHT = 5.0  # of what pixels say, beside the answers of a scene
SHOWN = 6  # scenes in the picture


@dataclass(frozen=True)
class Config:
    """Sets of digits predicted by slots and their peers."""

    steps: int = 4000
    """Training steps of each model, a multiple of 100 (or less than 100)."""
    num_train: int = 4000
    """Scenes to learn from."""
    num_test: int = 512
    """Scenes that all models are measured on."""
    seeds: int = 3
    """How often each model is trained, from other weights, in another order."""
    threads: int = 1
    """CPU threads."""
    output: Path = Path("runs/slots_digits")
    """Where results and checkpoints go; a killed run resumes from there."""
    smoke: bool = False
    """Run for seconds, to see that everything works."""


MODELS: dict[str, Callable[[], Module]] = {
    "Slot Attention": Slots,
    "Set Transformer": Seeds,
    "mean": Mean,
}


def loss(network: Module, batch: Batch) -> dict[str, Tensor]:
    """The matching loss and that of the pixels, and in validation the scores."""
    answers, pixels = network(batch)
    matched = matching_loss(answers, batch).mean()
    values = {"loss": matched + PIXEL_WEIGHT * pixel_loss(pixels, batch)}
    if not network.training:
        precision, right = evaluate(answers, batch)
        values["precision"] = torch.tensor(precision[0])
        values["right"] = torch.tensor(right)
    return values


def make_scenes(split: str, number: int) -> list[Data]:
    """Scenes, with edges between pixels that are near each other."""
    scenes = list(DigitScenes(8, split, number))
    connect(scenes)
    return scenes


def make_task(config: Config, seed: int, train: list[Data], test: Batch) -> Task:
    """Scenes in a random order; the learning rate rises for a tenth, and ends at 0."""
    share = min(config.steps, EPOCH) * BATCH_SIZE

    def epoch(number: int) -> DataLoader:
        rng = np.random.default_rng([seed, number])
        order = rng.choice(len(train), share, replace=share > len(train))
        return DataLoader([train[row] for row in order], BATCH_SIZE)

    return Task(
        loss,
        epoch,
        Batches([test], None),
        max(1, config.steps // EPOCH),
        schedule=lambda spent: min(1.0, 10 * spent + 0.01, 2 * (1 - spent)),
    )


def make_report(
    config: Config,
    fits: dict[str, list[Fitted]],
    scores: dict[str, list[tuple[list[float], float]]],
) -> Report:
    """A row for each model."""
    rows = []
    for name, seeds in fits.items():
        precision = np.array([each[0] for each in scores[name]])
        rows.append(
            [
                name,
                *[mean_and_deviation(column.tolist()) for column in precision.T],
                mean_and_deviation([each[1] for each in scores[name]]),
                f"{seeds[0].num_parameters:,}",
                f"{sum(each.seconds for each in seeds) / len(seeds):.0f}",
            ]
        )
    return Report(
        "slots_digits",
        "Sets of digits: average precision on scenes of unseen images",
        f"python examples/slots_digits.py --steps {config.steps} --seeds "
        f"{config.seeds} --num-test {config.num_test}",
        [
            "readout",
            *[f"AP, {'∞' if t == float('inf') else f'{t:g}'}" for t in THRESHOLDS],
            "number right",
            "parameters",
            "training [s]",
        ],
        rows,
        [
            f"{config.steps} steps of {BATCH_SIZE} of {config.num_train} scenes, Adam "
            f"at {LEARNING_RATE:g}, falling to 0 in the second half; {config.seeds} "
            "seed(s) of weights and order, mean ± deviation; measured on "
            f"{config.num_test} scenes of digits that were never trained on. The "
            "learning curve is of the test scenes; nothing is chosen by it.",
            "AP, t: an answer is right if its class is, and its place within t sides "
            "of a digit's image (8 pixels; the canvas has 32), and no surer answer "
            "found the same digit. Number right: as many answers surer than not "
            "as digits.",
            f"Convolutions look {PIXELS} pixels far. Beside the matched answers, each "
            "pixel's guess of its own digit's class and place is trained, for all "
            f"readouts alike, at a weight of {PIXEL_WEIGHT:g}.",
            "Seconds of training on a shared machine: an order of magnitude.",
        ],
    )


def draw(fits: dict[str, list[Fitted]], scores: dict, scenes: list[Data]) -> Figure:
    """Scenes with what was said of them, precision by threshold, and the curves."""
    figure = plt.figure(figsize=(16.5, 7.6), layout="constrained")
    grid = figure.add_gridspec(
        2, SHOWN // 2 + 1, width_ratios=[1] * (SHOWN // 2) + [1.3]
    )
    network = fits["Slot Attention"][0].network
    for number, scene in enumerate(scenes[:SHOWN]):
        axes = figure.add_subplot(grid[number % 2, number // 2])
        _scene(axes, scene, network)
    axes = figure.add_subplot(grid[0, -1])
    names = ["∞", *[f"{t:g}" for t in THRESHOLDS[1:]]]
    for name, seeds in scores.items():
        axes.plot(names, np.mean([s[0] for s in seeds], axis=0), "o-", label=name)
    axes.set(title="average precision by distance allowed", xlabel="sides of an image")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    axes = figure.add_subplot(grid[1, -1])
    firsts = {name: seeds[0] for name, seeds in fits.items()}
    draw_curves(axes, firsts, "precision", {}, "upper left")
    axes.set(title="average precision, any distance")
    return figure


@torch.no_grad()
def _scene(axes: Axes, scene: Data, network: DigitFinder) -> None:
    """Ink, true classes above each digit, and answers where they were given."""
    answers, _ = network(Batch.from_data_list([scene]))
    side = DigitScenes.canvas * 8 - 1
    image = torch.zeros(side + 1, side + 1)
    column, row = (scene.pos * side).round().long().T
    image[row, column] = scene.x[:, 0]
    axes.imshow(image, "gray_r", vmin=0, vmax=1.6)
    for place, label in zip(scene.center * side, scene.label.tolist(), strict=True):
        x, y = place.tolist()
        axes.text(x, y - 4.2, str(label), color="tab:green", ha="center", weight="bold")
    for present, place, label in zip(*(part[0] for part in answers), strict=True):
        if present > 0:
            x, y = (place * side / DigitScenes.canvas).tolist()
            axes.plot(x, y, "+", color="tab:red", ms=9, mew=1.5)
            said = str(int(label.argmax()))
            axes.text(
                x + 0.8, y + 5.2, said, color="tab:red", ha="center", weight="bold"
            )
    axes.set(xticks=[], yticks=[])
    axes.set_title("green: true, red: Slot Attention", fontsize=9)


def main(config: Config) -> None:
    """Trains, measures, writes."""
    folder = open_folder(config)
    torch.set_num_threads(config.threads)
    train = make_scenes("train", config.num_train)
    scenes = make_scenes("test", config.num_test)
    test = Batch.from_data_list(scenes)
    fits: dict[str, list[Fitted]] = {name: [] for name in MODELS}
    for seed in range(config.seeds):
        for name, readout in MODELS.items():
            task = make_task(config, seed, train, test)
            make = partial(make_finder, readout)
            place = folder / f"{name} {seed}"
            fits[name].append(fit(make, task, LEARNING_RATE, place, seed))
    with torch.no_grad():
        scores = {
            name: [evaluate(fitted.network(test)[0], test) for fitted in seeds]
            for name, seeds in fits.items()
        }
    make_report(config, fits, scores).write(folder)
    save_figure(draw(fits, scores, scenes), folder / "slots_digits.png")


if __name__ == "__main__":
    config = tyro.cli(Config, description=__doc__)
    if config.smoke:
        config = Config(steps=2, num_train=40, num_test=16, seeds=1, smoke=True)
    main(config)
