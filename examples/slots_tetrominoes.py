"""Which pixels are one piece? Slots find three tetrominoes without labels.

    python examples/slots_tetrominoes.py

A scene is a point set: the 300 pixels of three tetrominoes on a plane of 35 x 35, in
six colours, so that touching pieces may look like one. The autoencoder of
``slots_sprites.py`` (Slot Attention, https://arxiv.org/abs/2006.15055) squeezes it into
four slots, through all its iterations or with the gradient of the last alone, or into
three, and is scored by the adjusted Rand index of test scenes.

Writes the table (csv, md) and the picture to ``runs/slots_tetrominoes``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import torch
import tyro
from experiment import (
    Fitted,
    Report,
    draw_curves,
    open_folder,
    save_figure,
)
from matplotlib.figure import Figure
from readouts import mean_and_deviation
from scenes import (
    Budget,
    Scores,
    Variant,
    describe,
    draw_scene,
    measure,
    train_all,
    views,
)
from torch_geometric.data import Batch, Data

from pyg_setops.datasets import Tetrominoes

NUM_SLOTS, BATCH_SIZE = 4, 8
THRESHOLD = 0.5  # of the overlap of slots that are merged, as for the sprites
SHOWN = 4  # scenes in the picture


@dataclass(frozen=True)
class Config:
    """Tetrominoes found by slots."""

    steps: int = 400
    """Training steps of each model, a multiple of 100 (or less than 100)."""
    num_train: int = 4000
    """Scenes to learn from."""
    num_test: int = 256
    """Scenes that all models are measured on."""
    seeds: int = 3
    """How often each model is trained, from other weights, in another order."""
    threads: int = 1
    """CPU threads."""
    output: Path = Path("runs/slots_tetrominoes")
    """Where results and checkpoints go; a killed run resumes from there."""
    smoke: bool = False
    """Run for seconds, to see that everything works."""


VARIANTS = {
    "unrolled": Variant(),
    "implicit, 7 iterations": Variant({"grad": "implicit", "num_iterations": 7}),
    "number given in training": Variant(count_given=True),
}

RULES = {
    "masks": "masks, K = 4",
    "attention": "attention, K = 4",
    "merged": "merged, K = 4",
    "masks, given": "masks, K = 3",
    "attention, given": "attention, K = 3",
    "merged, given": "merged to 3",
}


def make_report(
    config: Config, fits: dict[str, list[Fitted]], scores: dict[str, list[Scores]]
) -> Report:
    """A row for each variant."""
    rows = []
    for name, seeds in scores.items():
        means = [[float(s.rand[rule].mean()) for s in seeds] for rule in RULES]
        seconds = [fitted.seconds for fitted in fits[name]]
        rows.append(
            [
                name,
                *[mean_and_deviation(values) for values in means],
                mean_and_deviation([s.error for s in seeds], 4),
                f"{sum(seconds) / len(seconds):.0f}",
            ]
        )
    return Report(
        "slots_tetrominoes",
        "Tetrominoes found without labels: adjusted Rand index of test scenes",
        command(config),
        ["slots", *RULES.values(), "square error", "training [s]"],
        rows,
        [
            describe(budget(config), config.num_train, config.num_test, config.seeds),
            "Our own draw of the data set: 17 orientations of all pieces but the "
            "straight one, anywhere on the plane, colours independent.",
            f"merged: slots whose attention overlaps by {THRESHOLD} or more are "
            "one; merged to 3: until three are left.",
            "Seconds of training on a shared machine: an order of magnitude.",
        ],
    )


def budget(config: Config) -> Budget:
    """What all variants have in common."""
    return Budget(NUM_SLOTS, config.steps, BATCH_SIZE)


def command(config: Config) -> str:
    """What makes the results."""
    return (
        f"python examples/slots_tetrominoes.py --steps {config.steps} --seeds "
        f"{config.seeds} --num-test {config.num_test}"
    )


def draw(fits: dict[str, list[Fitted]], scenes: list[Data]) -> Figure:
    """Scenes as the slots divide them, and the learning curves."""
    figure = plt.figure(figsize=(15.5, 8.2), layout="constrained")
    grid = figure.add_gridspec(SHOWN, 8, width_ratios=[1] * 6 + [1.7, 1.7])
    network = fits["unrolled"][0].network
    for row, scene in enumerate(scenes[:SHOWN]):
        panels = views(network, scene, NUM_SLOTS, THRESHOLD)
        for column, (title, colour) in enumerate(panels.items()):
            axes = figure.add_subplot(grid[row, column])
            draw_scene(axes, scene, colour, 11)
            if row == 0:
                axes.set_title(title.replace("K given", "K = 3"), fontsize=10)
    firsts = {name: seeds[0] for name, seeds in fits.items()}
    for half, rule in enumerate(("mask", "attention")):
        axes = figure.add_subplot(grid[2 * half : 2 * half + 2, 6:])
        draw_curves(axes, firsts, rule, {}, "lower right")
        axes.set(title=f"Rand index of the {rule}, K = 4, validation scenes")
    return figure


def main(config: Config) -> None:
    """Trains, measures, writes."""
    folder = open_folder(config)
    torch.set_num_threads(config.threads)
    train = list(Tetrominoes("train", config.num_train))
    val = Batch.from_data_list(list(Tetrominoes("val", config.num_test)))
    scenes = list(Tetrominoes("test", config.num_test))
    test = Batch.from_data_list(scenes)
    fits = train_all(VARIANTS, budget(config), config.seeds, folder, train, val)
    scores = {
        name: [measure(fitted.network, test, NUM_SLOTS, THRESHOLD) for fitted in seeds]
        for name, seeds in fits.items()
    }
    make_report(config, fits, scores).write(folder)
    save_figure(draw(fits, scenes), folder / "slots_tetrominoes.png")


if __name__ == "__main__":
    config = tyro.cli(Config, description=__doc__)
    if config.smoke:
        config = Config(steps=2, num_train=40, num_test=16, seeds=1, smoke=True)
    main(config)
