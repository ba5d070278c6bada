"""The energies that a set is mapped to, and how solvers descend in them.

    python examples/equilibrium_landscape.py

Sets of points in the plane are mapped to two numbers, the minimum of a learned energy
(https://arxiv.org/abs/2202.12795), trained to be the median of each coordinate. With
two numbers the energy can be drawn: the convex one, minimised by Newton's method, and
the residual one of PyG, trained through five steps of momentum as there. On the
contours are the paths of all solvers, and the network's own answer: with the residual
energy, that is where its five steps end, not where the energy is lowest. Beside them,
the norm of the gradient after each step, over many sets, in double precision.

Writes the table (csv, md) and the picture to ``runs/equilibrium_landscape``.
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
from experiment import Report, Task, fit, open_folder, save_figure
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import Module
from torch.nn.functional import mse_loss
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

from pyg_setops.aggr import EquilibriumAggregation
from pyg_setops.equilibrium import ConvexEnergy
from pyg_setops.ragged import SetIndex
from pyg_setops.solvers import LBFGS, Momentum, Nesterov, Newton, Objective, Solver

TRAINED_STEPS = 5  # of momentum, as PyG takes
TOLERANCE = 1e-6
SIDE = 90  # of the grid under the contours
DRAWN = 20  # steps of a path; later ones hardly move
COLOURS = {"Newton": "C3", "L-BFGS": "C1", "Nesterov": "C2", "momentum": "C4"}

SolverFactory = Callable[[int], Solver]


@dataclass(frozen=True)
class Config:
    """Landscapes of learned energies and the paths of solvers."""

    steps: int = 400
    """Training steps of each energy, a multiple of 100 (or less than 100)."""
    solver_steps: int = 60
    """Steps that the solvers are followed for."""
    num_test: int = 64
    """Sets that the solvers are followed on."""
    seed: int = 0
    """Seed of the weights."""
    threads: int = 1
    """CPU threads."""
    output: Path = Path("runs/equilibrium_landscape")
    """Where results and checkpoints go; a killed run resumes from there."""
    smoke: bool = False
    """Run for seconds, to see that everything works."""


class Medians(Module):
    """An aggregation whose minimum itself is the answer."""

    def __init__(self, aggregation: EquilibriumAggregation):
        super().__init__()
        self.aggregation = aggregation

    def forward(self, batch: Batch) -> Tensor:
        """Maps points to two numbers for each set."""
        return self.aggregation(batch.x, batch.batch)


def make_convex() -> Module:
    """The convex energy, with Newton's method."""
    return Medians(
        EquilibriumAggregation(2, 2, partial(ConvexEnergy, hidden_channels=32))
    )


def make_residual() -> Module:
    """The residual energy of PyG, with momentum."""
    return Medians(EquilibriumAggregation(2, 2, [32, 32], grad_iter=TRAINED_STEPS))


MODELS = {"convex": make_convex, "residual": make_residual}


def draw_sets(number: int, seed: int) -> list[Data]:
    """Sets of 5 to 40 points, skewed in each coordinate, and their medians."""
    rng = np.random.default_rng(seed)
    sets = []
    for size in rng.integers(5, 40, number, endpoint=True):
        spread = rng.choice([-1, 1], 2) * rng.uniform(0.3, 1.2, 2)
        x = torch.from_numpy(rng.exponential(size=(size, 2)) * spread).float()
        sets.append(Data(x=x, y=x.quantile(0.5, dim=0)[None]))
    return sets


def make_task(config: Config) -> Task:
    """Fresh sets at every step; the learning rate falls to 0 in the second half."""
    epoch = min(config.steps, 100)
    return Task(
        lambda network, batch: {"loss": mse_loss(network(batch), batch.y)},
        lambda number: DataLoader(draw_sets(32 * epoch, 1 + number), batch_size=32),
        DataLoader(draw_sets(config.num_test, 0), batch_size=config.num_test),
        max(1, config.steps // 100),
        schedule=lambda spent: min(1.0, 2 * (1 - spent)),
    )


def make_solvers(aggregation: EquilibriumAggregation) -> dict[str, SolverFactory]:
    """The solvers that suit, by name, for any number of steps."""
    solvers: dict[str, SolverFactory] = {
        "L-BFGS": lambda steps: LBFGS(steps, tol=0),
        "Nesterov": lambda steps: Nesterov(steps, tol=0),
        "momentum": Momentum,
    }
    if aggregation.energy_function.has_curvature:
        return {"Newton": partial(Newton, tol=0), **solvers}
    rate, momentum = (
        float(x.detach()) for x in aggregation.solver.rates(torch.ones(1))
    )
    learned = partial(Momentum, learning_rate=rate, momentum=momentum)
    return {**solvers, "momentum": learned}


@torch.no_grad()
def follow(make: SolverFactory, objective: Objective, steps: int) -> Tensor:
    """Where a solver is after each number of steps, ``[steps + 1, B, Y]``."""
    # Solvers draw nothing at random: one of k steps is where a longer one was.
    places = [make(number)(objective).y for number in range(1, steps + 1)]
    return torch.stack([objective.start(), *places])


def residuals(path: Tensor, objective: Objective) -> Tensor:
    """The norm of the gradient along paths, ``[steps + 1, B]``."""
    return torch.stack([objective.grad(y).norm(dim=1) for y in path]).detach()


def make_report(
    config: Config,
    norms: dict[str, dict[str, Tensor]],
    errors: dict[str, float],
) -> Report:
    """A row for each energy and solver."""
    at = [step for step in (1, 3, 5, 10, 20, 60) if step <= config.solver_steps]
    rows = []
    for energy, by_solver in norms.items():
        for solver, norm in by_solver.items():
            below = norm < TOLERANCE
            rows.append(
                [
                    f"{energy}: {solver}",
                    *[f"{norm[step].median():.0e}" for step in at],
                    f"{below.any(dim=0).double().mean():.0%}",
                ]
            )
    trained = ", ".join(f"{name} {error:.3f}" for name, error in errors.items())
    return Report(
        "equilibrium_landscape",
        "Norm of the energy's gradient after each step, median over sets",
        f"python examples/equilibrium_landscape.py --steps {config.steps}",
        [
            "energy: solver",
            *[f"step {step}" for step in at],
            f"sets that reach {TOLERANCE:g}",
        ],
        rows,
        [
            f"Energies trained for {config.steps} steps of 32 sets, Adam at 5e-3, seed "
            f"{config.seed}: the convex one by the implicit gradient at its minimum, "
            f"the residual one through {TRAINED_STEPS} steps of momentum.",
            f"Root mean squared error of the medians as trained: {trained}.",
            f"{config.num_test} other sets, float64, from zero. A step of L-BFGS and "
            "of Newton is a trial point; momentum has its first rates on the convex "
            "energy and its learned ones on the residual one, Nesterov the paper's.",
        ],
    )


def draw(
    networks: dict[str, Medians],
    data: Data,
    paths: dict[str, dict[str, Tensor]],
    norms: dict[str, dict[str, Tensor]],
) -> Figure:
    """Contours with paths, and residuals by step, an energy each row."""
    figure, panels = plt.subplots(
        len(networks),
        2,
        figsize=(12, 9.6),
        layout="constrained",
        width_ratios=[1.25, 1],
    )
    for (contours, curves), (name, network) in zip(
        panels, networks.items(), strict=True
    ):
        _contours(contours, network.aggregation, data, paths[name])
        contours.set_title(f"{name} energy of one set of {data.num_nodes} points")
        for solver, norm in norms[name].items():
            curves.plot(norm.median(dim=1).values, color=COLOURS[solver], label=solver)
        curves.set(yscale="log", ylim=(1e-15, 10), xlabel="step")
        curves.set_title("norm of the gradient, median over sets")
        curves.grid(alpha=0.3)
        curves.spines[["top", "right"]].set_visible(False)
        curves.legend(frameon=False)
    return figure


def _contours(
    axes: Axes,
    aggregation: EquilibriumAggregation,
    data: Data,
    paths: dict[str, Tensor],
) -> None:
    middle = data.y[0]
    first, second = [float(c) + np.linspace(-1, 1, SIDE) for c in middle]
    plane = torch.cartesian_prod(torch.tensor(second), torch.tensor(first)).flip(1)
    energy = _energy(aggregation, data.x, plane).view(SIDE, SIDE).numpy()
    height = (energy - energy.min()) / np.ptp(energy)
    levels = np.linspace(0, 1, 24) ** 2
    axes.contourf(first, second, height, levels, cmap="Blues_r", alpha=0.45)
    axes.contour(first, second, height, levels, colors="white", linewidths=0.6)
    axes.plot(*data.x.T, ".", color="0.5", ms=4, label="points of the set")
    # The longest paths first, below the others.
    for name, path in reversed(paths.items()):
        axes.plot(*path[:DRAWN].T, "o-", color=COLOURS[name], ms=3, lw=1, label=name)
    answer = aggregation(data.x, ptr=torch.tensor([0, data.num_nodes]))
    axes.plot(*middle, "*", color="black", ms=17, mec="white", label="median")
    axes.plot(*answer.detach().T, "D", color="gold", ms=6, mec="black", label="answer")
    axes.set(xlim=first[[0, -1]], ylim=second[[0, -1]], aspect="equal")
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)


@torch.no_grad()
def _energy(aggregation: EquilibriumAggregation, x: Tensor, y: Tensor) -> Tensor:
    """The energy of one set at many ``y``: as many copies of the set."""
    copies = x.repeat(len(y), 1)
    return aggregation.energy(copies, y, ptr=torch.arange(len(y) + 1) * len(x))


def main(config: Config) -> None:
    """Trains, follows the solvers, writes."""
    folder = open_folder(config)
    torch.set_num_threads(config.threads)
    task = make_task(config)
    fits = {
        name: fit(make, task, 5e-3, folder / name, config.seed)
        for name, make in MODELS.items()
    }
    errors = {name: each.curve[-1]["loss"] ** 0.5 for name, each in fits.items()}
    networks = {name: each.network.double() for name, each in fits.items()}
    sets = [Data(x=d.x.double(), y=d.y.double()) for d in draw_sets(config.num_test, 0)]
    batch = Batch.from_data_list(sets)
    paths: dict[str, dict[str, Tensor]] = {}
    norms: dict[str, dict[str, Tensor]] = {}
    for name, network in networks.items():
        aggregation = network.aggregation
        objective = aggregation.energy_function.bind(
            batch.x, SetIndex.build(ptr=batch.ptr)
        ).detach()
        paths[name] = {
            solver: follow(make, objective, config.solver_steps)
            for solver, make in make_solvers(aggregation).items()
        }
        norms[name] = {
            solver: residuals(path, objective) for solver, path in paths[name].items()
        }
    make_report(config, norms, errors).write(folder)
    first = {
        name: {solver: path[:, 0] for solver, path in by_solver.items()}
        for name, by_solver in paths.items()
    }
    save_figure(
        draw(networks, sets[0], first, norms), folder / "equilibrium_landscape.png"
    )


if __name__ == "__main__":
    config = tyro.cli(Config, description=__doc__)
    if config.smoke:
        config = Config(steps=3, solver_steps=5, num_test=8, smoke=True)
    main(config)
