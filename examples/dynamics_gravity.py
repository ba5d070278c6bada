"""Gravity: do networks that saw small systems know larger ones?

    python examples/dynamics_gravity.py

Masses in space that attract each other, positions, velocities and masses known,
positions a time unit later asked for. Systems of three to eight bodies are mixed in
every training batch, without padding; the test systems have 5, 8, 12 and 20. An error
is relative to that of straight motion on the same systems, as larger systems pull
harder. LieTransformer, SE3Transformer, SWARM and HamiltonianNet beside an EGNN written
for these examples, all trained on the same batches for the same number of steps.

Writes a table (csv, md) and a picture to ``runs/dynamics_gravity``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import torch
import tyro
from dynamics import Budget, position_error, position_loss
from dynamics.movers import MOVERS, Straight
from experiment import (
    Fitted,
    Report,
    Task,
    draw_curves,
    open_folder,
    save_figure,
)
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from readouts import mean_and_deviation
from torch_geometric.loader import DataLoader

from pyg_setops.datasets import GravityNBody

TRAINED_SIZES = (3, 4, 5, 6, 7, 8)
TEST_SIZES = (5, 8, 12, 20)
TIME = 10 * GravityNBody.step
# A step over finite turns takes thirty times as long as the others.
MODELS = {name: make for name, make in MOVERS.items() if "turns" not in name}


@dataclass(frozen=True)
class Config(Budget):
    """Bodies under gravity, in systems of several sizes."""

    num_train: int = 3000
    """Systems for training."""
    num_test: int = 500
    """Test systems of each size, and as many for the curves."""
    output: Path = Path("runs/dynamics_gravity")


def make_task(config: Config) -> Task:
    """The same batches for every model; the curve is of the sizes of training."""
    train = GravityNBody("train", config.num_train, TRAINED_SIZES)
    val = GravityNBody("val", config.num_test, TRAINED_SIZES)
    loss = partial(position_loss, time=TIME)
    return config.task(loss, train, DataLoader(val, 250), config.steps)


Errors = dict[str, list[list[float]]]  # by model, of each seed and size


def make_report(
    config: Config, fits: dict[str, list[Fitted]], errors: Errors
) -> Report:
    """The table: errors relative to straight motion, by size."""
    rows = [
        [
            "straight motion, square error",
            *[f"{error:.4f}" for error in errors["straight motion"][0]],
            *[""] * 3,
        ]
    ]
    for name, seeds in fits.items():
        by_size = zip(*relative(errors, name), strict=True)
        minutes = sum(each.seconds for each in seeds) / len(seeds) / 60
        row = [name, *[mean_and_deviation(each) for each in by_size]]
        row += [
            f"{seeds[0].num_parameters:,}",
            f"{config.rate(name):g}",
            f"{minutes:.1f}",
        ]
        rows.append(row)
    return Report(
        "dynamics_gravity",
        "Gravity: error of the positions, relative to straight motion",
        f"python examples/dynamics_gravity.py --steps {config.steps} --seeds "
        f"{config.seeds}",
        [
            "model",
            *[f"{size} bodies" for size in TEST_SIZES],
            "parameters",
            "Adam lr",
            "minutes",
        ],
        rows,
        [
            f"Square error of the positions after a time of {TIME:g}, over that of "
            f"straight motion (first row, absolute), on {config.num_test:,} other "
            f"systems of each size. Trained on {config.num_train:,} systems of "
            f"{TRAINED_SIZES[0]} to {TRAINED_SIZES[-1]} bodies, mixed in every batch: "
            "12 and 20 were never seen.",
            f"{config.steps:,} steps of {config.batch_size} systems for every model; "
            "Adam along a cosine; weights of the last step; mean ± deviation over "
            f"{config.seeds} seed(s) of the weights. All networks add to straight "
            "motion; HamiltonianNet takes ten leapfrog steps in a learned pair "
            "potential.",
        ],
    )


def relative(errors: Errors, name: str) -> list[list[float]]:
    """Errors of each seed and size, over those of straight motion."""
    (straight,) = errors["straight motion"]
    return [
        [error / base for error, base in zip(own, straight, strict=True)]
        for own in errors[name]
    ]


def draw(fits: dict[str, list[Fitted]], errors: Errors) -> Figure:
    """Learning curves of first seeds, and errors by the number of bodies."""
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(12.5, 4.4), layout="constrained"
    )
    draw_curves(left, {name: seeds[0] for name, seeds in fits.items()}, "loss", {})
    left.get_legend().remove()
    left.set(yscale="log", title="validation MSE, 3 to 8 bodies")
    _by_size(right, fits, errors)
    handles = right.get_legend_handles_labels()
    figure.legend(*handles, frameon=False, ncols=4, loc="outside lower center")
    return figure


def _by_size(axes: Axes, fits: dict[str, list[Fitted]], errors: Errors) -> None:
    axes.axvspan(TEST_SIZES[0] - 0.5, TRAINED_SIZES[-1] + 0.5, color="0.93")
    for name in fits:
        mean = torch.tensor(relative(errors, name)).mean(dim=0)
        axes.plot(TEST_SIZES, mean, "o-", label=name)
    axes.axhline(1, color="black", ls="--", lw=1.2)
    axes.set(yscale="log", xlabel="bodies (grey: trained on)", xticks=TEST_SIZES)
    axes.set_title("error relative to straight motion")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def main(config: Config) -> None:
    """Trains, measures, writes."""
    folder = open_folder(config)
    torch.set_num_threads(config.threads)
    fits = config.train(MODELS, make_task(config), folder)
    tests = [GravityNBody("test", config.num_test, size) for size in TEST_SIZES]
    straight = [position_error(Straight(), test, TIME) for test in tests]
    errors = {"straight motion": [straight]}
    for name, seeds in fits.items():
        errors[name] = [
            [position_error(each.network, test, TIME) for test in tests]
            for each in seeds
        ]
    make_report(config, fits, errors).write(folder)
    save_figure(draw(fits, errors), folder / "dynamics_gravity.png")


if __name__ == "__main__":
    config = tyro.cli(Config, description=__doc__)
    if config.smoke:
        config = Config(
            steps=2, batch_size=4, num_train=8, num_test=8, seeds=1, smoke=True
        )
    main(config)
