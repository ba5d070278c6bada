"""Springs: the motion of particles from a learned energy.

    python examples/dynamics_springs.py

The task of the LieConv (https://arxiv.org/abs/2002.12880) and LieTransformer
(https://arxiv.org/abs/2012.10885) papers: six particles in the plane, each pair joined
by a spring, masses and stiffnesses known. A ``HamiltonianNet`` learns the potential
from roll-outs of four steps; ours are potentials by LieTransformer over several groups,
by SWARM, by Equilibrium Aggregation and by pairs, beside Deep Sets. How does the error
fall with the number of training systems, and how does it grow with time?

``--law published --integrator rk4`` takes the data as the published code makes them;
by default they are exact, and centred as was meant. The published figure is from a
larger network, trained longer: its row is shown and marked.

Writes tables (csv, md), a picture and an animation to ``runs/dynamics_springs``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import matplotlib.pyplot as plt
import torch
import tyro
from dynamics import animate, repeated
from dynamics.potentials import FINITE, POTENTIALS, true_potential
from experiment import Fitted, Report, Task, fit, open_folder, save_figure
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

from pyg_setops.datasets import SpringDynamics
from pyg_setops.dynamics import (
    HamiltonianNet,
    Trajectory,
    energy_drift,
    rollout_error,
    rollout_loss,
)

# Read off the figures of the LieTransformer's repository: errors of five steps.
PUBLISHED = {"10": "7.5e-4", "100": "2.5e-5", "1000": "5.8e-6", "3000": "1.2e-6"}
PUBLISHED_STEPS, PUBLISHED_WIDTH = 6000, "841,641"


@dataclass(frozen=True)
class Config:
    """Springs with HamiltonianNet."""

    steps: int = 600
    """Training steps of each model, a multiple of 100 (or less than 100)."""
    batch_size: int = 32
    """Systems a step."""
    num_train: tuple[int, ...] = (10, 100, 1000, 3000)
    """The sizes of the training set."""
    num_test: int = 500
    """Systems that all are measured on, for four steps."""
    num_rollouts: int = 100
    """Systems that are followed for 99 steps."""
    law: Literal["corrected", "published"] = "corrected"
    """Exact data centred over particles, or the published ones."""
    integrator: Literal["leapfrog", "yoshida4", "rk4"] = "leapfrog"
    """The integrator of the networks."""
    learning_rate: float = 3e-3
    """The highest learning rate."""
    finite: bool = False
    """Train over T(2) with four turns too, on 1,000 systems: as long as all others."""
    seed: int = 0
    """Seed of the weights."""
    threads: int = 1
    """CPU threads."""
    output: Path = Path("runs/dynamics_springs")
    """Where results and checkpoints go; a killed run resumes from there."""
    smoke: bool = False
    """Run for seconds, to see that everything works."""


def follow(network: Module, batch: Data, step: float) -> Trajectory:
    """Rolls a batch out over its own times."""
    x = torch.stack([batch.mass, batch.stiffness], dim=1)
    momentum = batch.mass[:, None] * batch.vel
    num_steps = batch.pos_t.size(1) - 1
    index = batch.batch if "batch" in batch else None
    return network(x, batch.pos, momentum, step, num_steps, batch.mass, index)


def truth(batch: Data) -> Trajectory:
    """The states of a batch."""
    return Trajectory(batch.pos_t, batch.mass[:, None, None] * batch.vel_t)


def loss(network: Module, batch: Batch) -> dict[str, Tensor]:
    """The error of the state over the four steps."""
    predicted = follow(network, batch, SpringDynamics.step)
    return {"loss": rollout_loss(predicted, truth(batch))}


@dataclass(frozen=True)
class Rollout:
    """Long roll-outs of the test systems: errors, drift of the true energy, paths."""

    error: Tensor
    drift: Tensor
    paths: Trajectory


@torch.no_grad()
def roll_out(network: HamiltonianNet, data: SpringDynamics) -> Rollout:
    """Follows all systems for as long as they are shown."""
    batch = Batch.from_data_list(list(data))
    paths = follow(network.eval(), batch, data.step)
    energy = data.energy(batch, paths.pos, paths.momentum / batch.mass[:, None, None])
    drift = energy_drift(energy) / energy[:, 0].mean()
    return Rollout(rollout_error(paths, truth(batch)), drift, paths)


def springs(
    config: Config, split: Literal["train", "val", "test"], **kwargs: int
) -> SpringDynamics:
    """Data under the chosen law."""
    published = config.law == "published"
    return SpringDynamics(
        split,
        centre="published" if published else "particles",
        solution="rk4" if published else "exact",
        **kwargs,
    )


def train_all(config: Config, folder: Path) -> dict[tuple[str, int], Fitted]:
    """Trains every model on every size of the training set."""
    epoch_steps = min(config.steps, 100)
    num_epochs = max(1, config.steps // 100)
    train = springs(config, "train", num_systems=max(config.num_train))
    test = springs(config, "test", num_systems=config.num_test)
    fits = {}
    for size in sorted(config.num_train, reverse=True):
        finite = FINITE if config.finite and (size == 1000 or config.smoke) else {}
        for name, make in {**POTENTIALS, **finite}.items():
            task = Task(
                loss,
                lambda epoch, size=size: repeated(
                    train[:size], epoch, epoch_steps, config.batch_size
                ),
                DataLoader(test, 100),
                num_epochs,
                # From the peak to 0 along a cosine, as published.
                lambda spent: 0.5 * (1 + float(torch.tensor(torch.pi * spent).cos())),
            )
            fits[name, size] = fit(
                lambda make=make: HamiltonianNet(make(), integrator=config.integrator),
                task,
                config.learning_rate,
                folder / name / str(size),
                config.seed,
            )
    return fits


def make_report(
    config: Config,
    fits: dict[tuple[str, int], Fitted],
    rollouts: dict[str, Rollout],
) -> Report:
    """The table: errors by size, long roll-outs, cost."""
    sizes = sorted(config.num_train)
    rows = []
    for name in dict.fromkeys(name for name, _ in fits):
        own = {size: fits.get((name, size)) for size in sizes}
        last = own[max(size for size in sizes if own[size])]
        errors = [
            f"{each.curve[-1]['loss']:.1e}" if each else "" for each in own.values()
        ]
        minutes = sum(each.seconds for each in own.values() if each) / 60
        long = _long(rollouts.get(name))
        rows.append(
            [name, *errors, *long, f"{last.num_parameters:,}", f"{minutes:.1f}"]
        )
    bound = rollouts["true potential"]
    four = f"{float(bound.error[1:5].mean()):.1e}"
    rows.append(["true potential", *[four] * len(sizes), *_long(bound), "", ""])
    published = [PUBLISHED.get(str(size), "") for size in sizes]
    cells = [*published, "5.5e-5", "7.4e-4", "", PUBLISHED_WIDTH, ""]
    rows.append(["published: LieTransformer, T(2)", *cells])
    steps = f"{config.steps:,}"
    return Report(
        "dynamics_springs",
        "Springs: error of the state",
        f"python examples/dynamics_springs.py --steps {config.steps}"
        + (" --finite" if config.finite else ""),
        [
            "potential",
            *[f"{size:,} systems" for size in sizes],
            "step 20",
            "step 99",
            "energy drift, step 99",
            "parameters",
            "minutes",
        ],
        rows,
        [
            f"Mean square error of positions and momenta over four steps of "
            f"{SpringDynamics.step:.3f} (the initial state not counted), "
            f"{config.num_test:,} test systems, by the number of training systems; "
            f"then of the models trained on {max(sizes):,}, followed for 99 steps: the "
            "error at a step, and the drift of the true energy relative to its mean.",
            f"{steps} of the {PUBLISHED_STEPS:,} published steps, {config.batch_size} "
            f"of 100 systems a step, for every size; {config.integrator}; "
            f"{config.law} law; Adam from {config.learning_rate:g} along a cosine; "
            f"seed {config.seed}.",
            "true potential: the law itself under the same integrator, the floor of "
            "these numbers.",
            "published: read by eye off the figures of the LieTransformer's "
            "repository (842K parameters; RK4 for data and network; initial state "
            "counted; steps 20 and 100 of 10,000 training systems), not run here.",
        ],
    )


def _long(rollout: Rollout | None) -> list[str]:
    if rollout is None:
        return ["", "", ""]
    at = [
        f"{float(rollout.error[min(t, len(rollout.error) - 1)]):.1e}" for t in (20, 99)
    ]
    return [*at, f"{float(rollout.drift[-1]):.1e}"]


def draw(
    config: Config,
    fits: dict[tuple[str, int], Fitted],
    rollouts: dict[str, Rollout],
    test: SpringDynamics,
) -> Figure:
    """Errors by size and by time above, one system's trajectories below."""
    shown = ["LieTransformer, T(2)", "SWARM", "Deep Sets", "pairs"]
    figure = plt.figure(figsize=(13, 7.2), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=(1.25, 1))
    by_size, by_time, by_energy = top.subplots(1, 3)
    times = range(1, test[0].pos_t.size(1))
    for number, name in enumerate(POTENTIALS):
        sizes = sorted(size for other, size in fits if other == name)
        errors = [fits[name, size].curve[-1]["loss"] for size in sizes]
        by_size.loglog(sizes, errors, "o-", color=f"C{number}", label=name)
    for number, (name, rollout) in enumerate(rollouts.items()):
        colour = "black" if name == "true potential" else f"C{number}"
        line = {
            "color": colour,
            "ls": "--" if colour == "black" else "-",
            "label": name,
        }
        by_time.semilogy(times, rollout.error[1:], **line)
        by_energy.semilogy(times, rollout.drift[1:], **line)
    by_size.set(xlabel="training systems", title="error of four steps")
    by_time.set(xlabel="step", title="error of the state")
    by_energy.set(xlabel="step", title="drift of the true energy")
    for axes in (by_size, by_time, by_energy):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    top.legend(
        *by_time.get_legend_handles_labels(), loc="outside lower center", ncols=7
    )
    system = test[0]
    for axes, name in zip(bottom.subplots(1, len(shown)), shown, strict=True):
        _trajectories(axes, rollouts[name].paths.pos[: system.num_nodes], system.pos_t)
        axes.set_title(name)
    return figure


def _trajectories(axes: plt.Axes, predicted: Tensor, true: Tensor) -> None:
    for number, (here, there) in enumerate(zip(predicted, true, strict=True)):
        axes.plot(*there.T, color=f"C{number}", lw=4, alpha=0.25)
        axes.plot(*here.T, color=f"C{number}", lw=1.2)
    axes.set(xticks=[], yticks=[], aspect="equal")
    axes.set_xlabel("wide and pale: true; thin: predicted", fontsize=8)


def main(config: Config) -> None:
    """Trains, measures, writes."""
    folder = open_folder(config)
    torch.set_num_threads(config.threads)
    fits = train_all(config, folder)
    largest = max(config.num_train)
    test = springs(config, "test", num_systems=config.num_rollouts, num_frames=100)
    networks = {name: fits[name, largest].network for name in POTENTIALS}
    networks["true potential"] = HamiltonianNet(
        true_potential, integrator=config.integrator
    )
    rollouts = {name: roll_out(network, test) for name, network in networks.items()}
    make_report(config, fits, rollouts).write(folder)
    save_figure(draw(config, fits, rollouts, test), folder / "dynamics_springs.png")
    system = test[0]
    paths = {"true": system.pos_t} | {
        name: rollouts[name].paths.pos[: system.num_nodes]
        for name in ("LieTransformer, T(2)", "SWARM", "Deep Sets")
    }
    animate(paths, folder / "dynamics_springs.gif", system.mass.tolist(), every=2)


if __name__ == "__main__":
    config = tyro.cli(Config, description=__doc__)
    if config.smoke:
        config = Config(
            steps=2,
            batch_size=4,
            num_train=(10,),
            num_test=10,
            num_rollouts=2,
            finite=True,
            smoke=True,
        )
    main(config)
