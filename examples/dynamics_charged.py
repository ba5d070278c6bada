"""Charged particles: where will they be a time unit later?

    python examples/dynamics_charged.py

The N-body task of the EGNN paper (https://arxiv.org/abs/2102.09844): five charges in
space, positions, velocities and charges known, positions 1,000 steps later asked for;
3,000 / 2,000 / 2,000 systems, the draws of the published code. LieTransformer over
three groups, SE3Transformer, SWARM and HamiltonianNet beside an EGNN written for this
example, all trained on the same batches for the same number of steps. The published
rows are from 10,000 epochs: they are shown and marked.

Writes a table (csv, md) and a picture to ``runs/dynamics_charged``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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
    draw_curves,
    open_folder,
    save_figure,
)
from matplotlib.figure import Figure
from readouts import mean_and_deviation
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader

from pyg_setops.datasets import ChargedNBody

# As the slides and the poster of SEGNN list them.
PUBLISHED = {
    "SE(3)-Transformer": "0.0244",
    "TFN": "0.0155",
    "NMP": "0.0107",
    "Radial Field": "0.0104",
    "EGNN": "0.0070",
    "SEGNN": "0.0043",
}
PUBLISHED_EPOCHS, PUBLISHED_BATCH = 10_000, 100
TIME = 10 * ChargedNBody.step
COSTLY = ("LieTransformer, T(3) with 12 turns",)


@dataclass(frozen=True)
class Config(Budget):
    """Charged particles, by the EGNN protocol."""

    num_particles: int = 5
    """The size of a system."""
    num_train: int = 3000
    """Systems for training."""
    num_test: int = 2000
    """Systems that all models are measured on, and as many that the curves show."""
    output: Path = Path("runs/dynamics_charged")


def load(config: Config, split: str, num_systems: int) -> ChargedNBody:
    """The published systems, or as many more."""
    return ChargedNBody(split, num_systems, config.num_particles, published=True)


def num_steps(config: Config, name: str) -> int:
    """The steps of a model: a tenth where a step takes 30 times as long as others."""
    return max(1, config.steps // 10) if name in COSTLY else config.steps


def train_all(config: Config, folder: Path) -> dict[str, list[Fitted]]:
    """Trains all models, the costly ones from one seed, a tenth as long."""
    train = load(config, "train", config.num_train)
    val = load(config, "val", config.num_test)
    shown = DataLoader(val[: min(500, config.num_test)], 250)
    loss = partial(position_loss, time=TIME)
    costly = {name: MOVERS[name] for name in COSTLY}
    others = {name: make for name, make in MOVERS.items() if name not in costly}
    fits = {}
    for models, seeds in ((others, config.seeds), (costly, 1)):
        steps = num_steps(config, next(iter(models)))
        task = config.task(loss, train, shown, steps)
        fits |= replace(config, seeds=seeds).train(models, task, folder)
    return {name: fits[name] for name in MOVERS}


def make_report(
    config: Config, fits: dict[str, list[Fitted]], errors: dict[str, list[float]]
) -> Report:
    """The table, with the published rows below ours."""
    rows = []
    for name, seeds in errors.items():
        row = [name, mean_and_deviation(seeds, 4)]
        if name in fits:
            own = fits[name]
            minutes = sum(each.seconds for each in own) / len(own) / 60
            row += [
                f"{num_steps(config, name):,}",
                str(len(own)),
                f"{config.rate(name):g}",
            ]
            row += [f"{own[0].num_parameters:,}", f"{minutes:.1f}"]
        rows.append(row + [""] * (7 - len(row)))
    published_steps = PUBLISHED_EPOCHS * 3000 // PUBLISHED_BATCH
    rows += [
        [f"published: {name}", mse, f"{published_steps:,}", *[""] * 4]
        for name, mse in PUBLISHED.items()
    ]
    return Report(
        "dynamics_charged",
        "Charged particles: mean square error of the positions",
        "python examples/dynamics_charged.py"
        f" --steps {config.steps} --seeds {config.seeds}",
        ["model", "test MSE", "steps", "seeds", "Adam lr", "parameters", "minutes"],
        rows,
        [
            f"{config.steps:,} of the {published_steps:,} published steps, of "
            f"{config.batch_size} systems instead of {PUBLISHED_BATCH}; "
            f"{config.num_train:,} training and {config.num_test:,} test systems of "
            f"{config.num_particles} charges, the published draws; weights of the last "
            "step; Adam along a cosine; mean ± deviation over the seeds of the "
            "weights. All networks add to straight motion.",
            "HamiltonianNet takes ten leapfrog steps in a learned pair potential.",
            "Published rows: 10,000 epochs, best epoch by validation, from the slides "
            "and the poster of SEGNN, not run here.",
        ],
    )


def draw(fits: dict[str, Fitted], errors: dict[str, list[float]], data: Data) -> Figure:
    """Learning curves of first seeds, two views of a system and what is said of it."""
    figure, (left, *views) = plt.subplots(
        1, 3, figsize=(14, 4.3), layout="constrained", width_ratios=(1.35, 1, 1)
    )
    straight = {"straight motion": errors["straight motion"][0]}
    draw_curves(left, fits, "loss", straight)
    left.set(yscale="log", title="validation MSE")
    left.legend(
        frameon=False,
        fontsize=8,
        ncols=3,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.13),
    )
    best = min(fits, key=errors.__getitem__)
    with torch.no_grad():
        predicted = fits[best].network(data, TIME)
    for axes, (one, other) in zip(views, ((0, 1), (0, 2)), strict=True):
        for number in range(data.num_nodes):
            colour = "C3" if data.charge[number] > 0 else "C0"
            here, there = data.pos[number], data.y[number]
            axes.annotate(
                "",
                (there[one], there[other]),
                (here[one], here[other]),
                arrowprops={"arrowstyle": "->", "color": colour, "alpha": 0.5},
            )
            axes.plot(here[one], here[other], "o", color=colour, ms=4)
            axes.plot(there[one], there[other], "o", mfc="none", color=colour, ms=9)
            said = predicted[number]
            axes.plot(said[one], said[other], "x", color="black", ms=6)
        axes.set(aspect="equal", xlabel="xyz"[one], ylabel="xyz"[other])
        axes.grid(alpha=0.3)
    views[0].set_title(f"a test system: true (rings), {best} (crosses)", fontsize=10)
    return figure


def main(config: Config) -> None:
    """Trains, measures, writes."""
    folder = open_folder(config)
    torch.set_num_threads(config.threads)
    fits = train_all(config, folder)
    test = load(config, "test", config.num_test)
    errors = {"straight motion": [position_error(Straight(), test, TIME)]}
    for name, seeds in fits.items():
        errors[name] = [position_error(each.network, test, TIME) for each in seeds]
    make_report(config, fits, errors).write(folder)
    firsts = {name: seeds[0] for name, seeds in fits.items()}
    save_figure(draw(firsts, errors, test[0]), folder / "dynamics_charged.png")


if __name__ == "__main__":
    config = tyro.cli(Config, description=__doc__)
    if config.smoke:
        config = Config(
            steps=2, batch_size=4, num_train=8, num_test=10, seeds=1, smoke=True
        )
    main(config)
