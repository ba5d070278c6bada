"""Ethanol: energies and forces of a real molecule.

    python examples/dynamics_ethanol.py

1,000 conformations for training and 1,000 for testing, from molecular dynamics,
with energies and forces by density functional theory (``datasets/ethanol``; not
MD17's numbers). Every network gives an energy; forces are minus its gradient, and the
loss compares both, so that each step differentiates the network twice. LieTransformer,
SE3Transformer, and a network of distances with the readouts SWARM, Equilibrium
Aggregation, Slot Attention and sum, beside an EGNN written for this example and SWARM
on bare coordinates.

Writes a table (csv, md) and a picture to ``runs/dynamics_ethanol``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import torch
import tyro
from dynamics import Budget
from dynamics.forces import ENERGIES, EnergyAndForces
from experiment import (
    Fitted,
    Report,
    draw_curves,
    open_folder,
    save_figure,
)
from matplotlib.figure import Figure
from readouts import mean_and_deviation
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader

from pyg_setops.datasets import MDTrajectory

MEAN = "mean energy, no force"


@dataclass(frozen=True)
class Config(Budget):
    """Energies and forces of ethanol."""

    batch_size: int = 20
    """Conformations a step."""
    num_train: int = 1000
    """Conformations for training, of 1,000."""
    num_test: int = 1000
    """Conformations that all models are measured on, of 1,000."""
    output: Path = Path("runs/dynamics_ethanol")


def loss(network: Module, batch: Batch) -> dict[str, Tensor]:
    """Squared errors of energies [eV] and components of forces [eV/Å], and MAEs."""
    energy, force = network(batch)
    off_energy = energy - (batch.energy - network.offset).float()
    off_force = force - batch.force
    return {
        "loss": off_energy.square().mean() + off_force.square().mean(),
        "energy": 1000 * off_energy.detach().abs().mean(),
        "force": 1000 * off_force.detach().abs().mean(),
    }


def test_errors(network: Module, data: MDTrajectory) -> dict[str, float]:
    """MAE of energies [meV] and of components of forces [meV/Å]."""
    found = [
        (loss(network, batch), batch.num_graphs) for batch in DataLoader(data, 100)
    ]
    return {
        key: sum(float(values[key]) * count for values, count in found) / len(data)
        for key in ("energy", "force")
    }


Errors = dict[str, list[dict[str, float]]]  # by model, of each seed


def make_report(
    config: Config, fits: dict[str, list[Fitted]], errors: Errors
) -> Report:
    """The table."""
    rows = []
    for name, seeds in errors.items():
        row = [name]
        for key in ("energy", "force"):
            row.append(mean_and_deviation([error[key] for error in seeds], 0))
        if name in fits:
            seconds = sum(each.seconds for each in fits[name]) / len(fits[name])
            row += [f"{fits[name][0].num_parameters:,}", f"{config.rate(name):g}"]
            row.append(f"{seconds / 60:.1f}")
        rows.append(row + [""] * (6 - len(row)))
    return Report(
        "dynamics_ethanol",
        "Ethanol: mean absolute error of energies and forces",
        "python examples/dynamics_ethanol.py"
        f" --steps {config.steps} --seeds {config.seeds}",
        ["model", "energy [meV]", "force [meV/Å]", "parameters", "Adam lr", "minutes"],
        rows,
        [
            f"{config.steps:,} steps of {config.batch_size} conformations for every "
            f"model, {config.num_train:,} for training and {config.num_test:,} others "
            "for testing; forces per component; Adam along a cosine; mean ± deviation "
            f"over {config.seeds} seed(s) of the weights. Networks in the literature "
            "are trained for a hundred times as long.",
            "Real data, PBE/def2-SVP on geometries of rMD17 (BOTNet's ethanol); not "
            "comparable with tables of MD17.",
            f"{MEAN}: the mean of the training set, and 0.",
        ],
    )


def draw(fits: dict[str, Fitted], errors: Errors, test: MDTrajectory) -> Figure:
    """Learning curves of first seeds, and the forces of the best against the true."""
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(11, 4.4), layout="constrained", width_ratios=(1.4, 1)
    )
    draw_curves(left, fits, "force", {MEAN: errors[MEAN][0]["force"]})
    left.set(yscale="log", title="MAE of forces [meV/Å], 200 test conformations")
    left.legend(
        frameon=False,
        fontsize=8,
        ncols=3,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.13),
    )
    best = min(fits, key=lambda name: errors[name][0]["force"])
    batch = Batch.from_data_list(list(test[: min(200, len(test))]))
    _, force = fits[best].network(batch)
    heavy = batch.z > 1
    for atoms, label in ((heavy, "C, O"), (~heavy, "H")):
        right.plot(
            batch.force[atoms].flatten(),
            force[atoms].flatten(),
            ".",
            ms=1.5,
            label=label,
        )
    right.axline((0, 0), slope=1, color="black", lw=0.8)
    right.set(aspect="equal", xlabel="true [eV/Å]", ylabel="predicted [eV/Å]")
    right.set_title(f"components of forces, {best}", fontsize=10)
    right.legend(frameon=False, markerscale=6)
    return figure


def main(config: Config) -> None:
    """Trains, measures, writes."""
    folder = open_folder(config)
    torch.set_num_threads(config.threads)
    train = MDTrajectory("ethanol", "train")[: config.num_train]
    test = MDTrajectory("ethanol", "test")[: config.num_test]
    energies = torch.cat([data.energy for data in train])
    offset = float(energies.mean())
    models = {
        name: partial(lambda make: EnergyAndForces(make(), offset), make)
        for name, make in ENERGIES.items()
    }
    # The curve is of 200 test conformations.
    val = DataLoader(test[: min(200, len(test))], 100)
    fits = config.train(models, config.task(loss, train, val, config.steps), folder)
    true = Batch.from_data_list(list(test))
    nothing = {
        "energy": 1000 * float((true.energy - offset).abs().mean()),
        "force": 1000 * float(true.force.abs().mean()),
    }
    errors = {MEAN: [nothing]}
    for name, seeds in fits.items():
        errors[name] = [test_errors(each.network, test) for each in seeds]
    make_report(config, fits, errors).write(folder)
    firsts = {name: seeds[0] for name, seeds in fits.items()}
    save_figure(draw(firsts, errors, test), folder / "dynamics_ethanol.png")


if __name__ == "__main__":
    config = tyro.cli(Config, description=__doc__)
    if config.smoke:
        config = Config(
            steps=2, batch_size=4, num_train=8, num_test=10, seeds=1, smoke=True
        )
    main(config)
