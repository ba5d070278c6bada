"""Medians and quantiles of sets of numbers, by the minimum of a learned energy.

    python examples/equilibrium_quantiles.py
    python examples/equilibrium_quantiles.py --levels 0.1 0.5 0.9 --seeds 1 \
        --output runs/equilibrium_quantiles

A set holds 5 to 100 numbers from a normal, a gamma or a uniform distribution, and a
network is to say its quantiles. A set function maps the numbers to 16 channels, which a
small perceptron reads. Equilibrium Aggregation (https://arxiv.org/abs/2202.12795) with
a convex energy, of the numbers or of what a perceptron makes of each, and with PyG's
residual one, beside PyG's own class, Deep Sets, a Set Transformer and SWARM, trained on
the same batches of 32. All are asked for the test sets one at a time, 32 and 512 at a
time, which should make no difference, and for sets of 500.

Writes the table (csv, md) and the picture to ``runs/equilibrium_median``, or to
``--output``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

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
from torch.nn import Identity, Module
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader as Batches
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader
from torch_geometric.nn import MLP

from pyg_setops.aggr import EquilibriumAggregation
from pyg_setops.datasets import ScalarSets

CHANNELS = 16
LIFT = 32
BATCH_SIZES = (1, 32, 512)
LARGE = 500  # elements of the sets that test extrapolation
EPOCH = 100  # steps between two points of the learning curve


@dataclass(frozen=True)
class Config:
    """Quantiles of ragged sets with Equilibrium Aggregation and its peers."""

    levels: tuple[float, ...] = (0.5,)
    """The quantiles, all by one network."""
    steps: int = 800
    """Training steps of each model, a multiple of 100 (or less than 100)."""
    num_test: int = 512
    """Sets that all models are measured on."""
    seeds: int = 3
    """How often each model is trained, from other weights."""
    threads: int = 1
    """CPU threads."""
    output: Path = Path("runs/equilibrium_median")
    """Where results and checkpoints go; a killed run resumes from there."""
    smoke: bool = False
    """Run for seconds, to see that everything works."""


class Errors(NamedTuple):
    """Of one trained network.

    Attributes:
        by_batch_size: RMSE at each batch size and level, ``[3, Q]``.
        large: RMSE on the large sets, ``[Q]``.
        change: The largest change of an output by the batch size, ``[Q]``.
        single: The outputs for the test sets, one set at a time, ``[B, Q]``.
    """

    by_batch_size: Tensor
    large: Tensor
    change: Tensor
    single: Tensor


def make_models(num_levels: int) -> dict[str, Callable[[], Module]]:
    """The networks by name."""

    def make(
        readout: Callable[[], Module], on_elements: Callable[[], Module] = Identity
    ) -> Module:
        on_sets = MLP([CHANNELS, 64, num_levels], norm=None)
        return SetNetwork(on_elements(), readout(), on_sets)

    readouts = make_readouts(1, CHANNELS)
    models = {name: partial(make, readout) for name, readout in readouts.items()}
    # Its potential sees x through one layer of sigmoids, the others' through more.
    lifted = partial(EquilibriumAggregation, LIFT, CHANNELS)
    perceptron = partial(MLP, [1, LIFT, LIFT], norm=None)
    return {"Equilibrium, convex, on MLP": partial(make, lifted, perceptron), **models}


def loss(network: Module, batch: Batch) -> dict[str, Tensor]:
    """The mean squared error, and its root."""
    error = mse_loss(network(batch), batch.y)
    return {"loss": error, "RMSE": error.sqrt()}


def make_task(config: Config) -> Task:
    """Fresh sets at every step; the learning rate falls to 0 in the second half."""
    num_epochs = max(1, config.steps // EPOCH)
    num_train = config.steps * 32
    train = ScalarSets(config.levels, num_sets=num_train)
    val = ScalarSets(config.levels, split="val", num_sets=config.num_test)
    # Made once for all models: drawing and batching cost as much as a small model.
    batches = list(DataLoader(train, batch_size=32))
    share = len(batches) // num_epochs
    return Task(
        loss,
        lambda epoch: Batches(batches[epoch * share : (epoch + 1) * share], None),
        DataLoader(val, batch_size=len(val)),
        num_epochs,
        schedule=lambda spent: min(1.0, 2 * (1 - spent)),
    )


def measure(network: Module, test: ScalarSets, large: ScalarSets) -> Errors:
    """Asks for the same sets at all batch sizes, and for large ones."""
    outputs = torch.stack([predict(network, test, size) for size in BATCH_SIZES])
    spread = outputs.amax(dim=0) - outputs.amin(dim=0)
    return Errors(
        torch.stack([rmse(output, test) for output in outputs]),
        rmse(predict(network, large, 32), large),
        spread.amax(dim=0),
        outputs[0],
    )


def rmse(output: Tensor, sets: ScalarSets) -> Tensor:
    """The root mean squared error at each level, ``[Q]``."""
    return (output - targets(sets)).square().mean(dim=0).sqrt()


def targets(sets: ScalarSets) -> Tensor:
    """The true quantiles, ``[B, Q]``."""
    return torch.cat([data.y for data in sets])


def make_report(
    config: Config,
    fits: dict[str, list[Fitted]],
    errors: dict[str, list[Errors]],
    test: ScalarSets,
) -> Report:
    """A row for each model and level."""
    rows = [
        _row(name, config.levels, level, fits[name], errors[name])
        for level in range(len(config.levels))
        for name in fits
    ]
    deviation = targets(test).std(dim=0)
    constants = [
        ["best constant", f"{level:g}", f"{value:.3f}", *[""] * 6]
        for level, value in zip(config.levels, deviation, strict=True)
    ]
    levels = " ".join(f"{level:g}" for level in config.levels)
    return Report(
        config.output.name,
        "Quantiles of sets of 5 to 100 numbers, RMSE on other sets",
        f"python examples/equilibrium_quantiles.py --levels {levels} --steps "
        f"{config.steps} --seeds {config.seeds} --output {config.output}",
        [
            "model",
            "level",
            *[f"B = {size}" for size in BATCH_SIZES],
            "largest change",
            f"n = {LARGE}",
            "parameters",
            "training [s]",
        ],
        [*rows, *constants],
        [
            f"{config.steps} steps of 32 fresh sets, Adam at 2e-3 falling to 0 in the "
            f"second half, gradients clipped at 1; {config.seeds} seed(s) of the "
            "weights, mean ± deviation, on the same batches.",
            f"B: how many of the {config.num_test} test sets are asked for at once. "
            "Largest change: of any output by B, over all seeds.",
            f"n = {LARGE}: as many other sets of {LARGE} numbers each, 32 at a time.",
            "Seconds of training on a shared machine: an order of magnitude.",
        ],
    )


def _row(
    name: str,
    levels: tuple[float, ...],
    level: int,
    fits: list[Fitted],
    errors: list[Errors],
) -> list[str]:
    def over_seeds(pick: Callable[[Errors], Tensor]) -> str:
        return mean_and_deviation([float(pick(each)[level]) for each in errors])

    change = max(float(each.change[level]) for each in errors)
    return [
        name,
        f"{levels[level]:g}",
        *[
            over_seeds(lambda each, at=at: each.by_batch_size[at])
            for at in range(len(BATCH_SIZES))
        ],
        f"{change:.0e}",
        over_seeds(lambda each: each.large),
        f"{fits[0].num_parameters:,}",
        f"{sum(each.seconds for each in fits) / len(fits):.0f}",
    ]


def draw(
    fits: dict[str, list[Fitted]], errors: dict[str, list[Errors]], test: ScalarSets
) -> Figure:
    """Errors by batch size, outputs against the truth, and learning curves."""
    figure, panels = plt.subplots(1, 4, figsize=(18, 4.6), layout="constrained")
    _by_batch_size(panels[0], errors)
    for axes, name in zip(
        panels[1:3], ("PyG's Equilibrium", "Equilibrium, convex, on MLP"), strict=True
    ):
        _against_truth(axes, errors[name][0].single, targets(test))
        axes.set_title(f"{name}, sets one at a time")
    draw_curves(panels[3], {name: each[0] for name, each in fits.items()}, "RMSE", {})
    panels[3].set(title="RMSE, validation sets (512 at once)", yscale="log")
    panels[3].get_legend().remove()  # that of the first panel serves
    return figure


def _by_batch_size(axes: Axes, errors: dict[str, list[Errors]]) -> None:
    places = torch.arange(len(BATCH_SIZES) + 1)
    for number, (name, seeds) in enumerate(errors.items()):
        table = torch.stack(
            [torch.cat([each.by_batch_size, each.large[None]]) for each in seeds]
        )
        values = table.square().mean(dim=(0, 2)).sqrt()  # over levels and seeds
        # Side by side, as some are equal.
        at = places + 0.06 * (number - len(errors) / 2)
        (line,) = axes.plot(at[:-1], values[:-1], "o-", ms=5, label=name)
        axes.plot(at[-1], values[-1], "s", color=line.get_color())
    axes.set_xticks(places, [*[f"B = {size}" for size in BATCH_SIZES], f"n = {LARGE}"])
    axes.set(title="RMSE, by sets in a batch; large sets", yscale="log")
    axes.grid(alpha=0.3, which="both")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)


def _against_truth(axes: Axes, output: Tensor, truth: Tensor) -> None:
    axes.plot(truth.flatten(), output.flatten(), ".", alpha=0.4)
    ends = [float(truth.min()), float(truth.max())]
    axes.plot(ends, ends, color="black", lw=1)
    axes.set(xlabel="true quantile", ylabel="output")
    axes.spines[["top", "right"]].set_visible(False)


def main(config: Config) -> None:
    """Trains, measures, writes."""
    folder = open_folder(config)
    torch.set_num_threads(config.threads)
    task = make_task(config)
    test = ScalarSets(config.levels, split="test", num_sets=config.num_test)
    large = ScalarSets(
        config.levels, (LARGE, LARGE), split="test", num_sets=config.num_test
    )
    fits = {
        name: [
            fit(make, task, 2e-3, folder / f"{name} {seed}", seed)
            for seed in range(config.seeds)
        ]
        for name, make in make_models(len(config.levels)).items()
    }
    errors = {
        name: [measure(each.network, test, large) for each in seeds]
        for name, seeds in fits.items()
    }
    make_report(config, fits, errors, test).write(folder)
    save_figure(draw(fits, errors, test), folder / f"{config.output.name}.png")


if __name__ == "__main__":
    config = tyro.cli(Config, description=__doc__)
    if config.smoke:
        config = Config(steps=3, num_test=20, seeds=1, smoke=True)
    main(config)
