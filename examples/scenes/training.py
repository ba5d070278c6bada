"""Ways to train a slot autoencoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from experiment import Fitted, Task, fit
from torch import Tensor
from torch.utils.data import DataLoader as Batches
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

from pyg_setops import SlotAttention
from pyg_setops.ragged import segment_sum

from .autoencoder import Decoded, SlotAutoencoder
from .measure import largest, score

CHANNELS = 64
LEARNING_RATE = 2e-3
EPOCH = 100  # steps between two points of the learning curve


@dataclass(frozen=True)
class Variant:
    """A way to train slots.

    Attributes:
        layer: Arguments of :class:`~pyg_setops.SlotAttention`.
        spread: The weight of the entropy of how masks divide a scene among slots.
        kept: The weight of the part of the slots that is kept.
        count_given: Whether a scene has as many slots as objects in training.
        costly: Whether it is so slow that it is trained once only.
    """

    layer: dict[str, Any] = field(default_factory=dict)
    spread: float = 0.0
    kept: float = 0.0
    count_given: bool = False
    costly: bool = False


@dataclass(frozen=True)
class Budget:
    """What all variants have in common."""

    num_slots: int
    steps: int
    batch_size: int


def make_network(variant: Variant, budget: Budget) -> SlotAutoencoder:
    """An autoencoder, untrained; the noise of learned queries ends at two thirds."""
    layer = SlotAttention(CHANNELS, CHANNELS, budget.num_slots, **variant.layer)
    return SlotAutoencoder(layer, CHANNELS, anneal=max(1, budget.steps * 2 // 3))


def loss(
    network: SlotAutoencoder, batch: Batch, variant: Variant, budget: Budget
) -> dict[str, Tensor]:
    """The square error of the colours and a penalty; in validation also the scores."""
    given = network.training and variant.count_given
    decoded = network(batch, batch.count if given else budget.num_slots)
    error = (decoded.colour - batch.x).square().mean()
    # Slots first learn what an object is: with a penalty before that, all collapse into
    # one, and stay so.
    ramp = min(1.0, max(0.0, 10 * (int(network.steps) / budget.steps - 0.6)))
    values = {"loss": error + ramp * penalty(decoded, variant), "error": error}
    if not network.training:
        for name in ("mask", "attention"):
            clusters = largest(decoded, getattr(decoded, name))
            values[name] = score(batch, clusters).mean()
    return values


def penalty(decoded: Decoded, variant: Variant) -> Tensor:
    """What slots in use cost, on average over scenes."""
    share = decoded.share.clamp(min=1e-6)
    entropy = segment_sum(-share * share.log(), decoded.scenes)
    return variant.spread * entropy.mean() + variant.kept * decoded.kept.mean()


def make_task(
    variant: Variant, budget: Budget, seed: int, train: list[Data], val: Batch
) -> Task:
    """Scenes in a random order; the learning rate rises for a tenth, and ends at 0."""
    share = min(budget.steps, EPOCH) * budget.batch_size

    def epoch(number: int) -> DataLoader:
        rng = np.random.default_rng([seed, number])
        order = rng.choice(len(train), share, replace=share > len(train))
        return DataLoader([train[row] for row in order], budget.batch_size)

    return Task(
        partial(loss, variant=variant, budget=budget),
        epoch,
        Batches([val], None),
        max(1, budget.steps // EPOCH),
        schedule=lambda spent: min(1.0, 10 * spent + 0.01, 2 * (1 - spent)),
    )


def train_all(
    variants: Mapping[str, Variant],
    budget: Budget,
    seeds: int,
    folder: Path,
    train: list[Data],
    val: Batch,
) -> dict[str, list[Fitted]]:
    """All variants, seed by seed; the costly ones with the first seed alone."""
    fits: dict[str, list[Fitted]] = {name: [] for name in variants}
    for seed in range(seeds):
        for name, variant in variants.items():
            if variant.costly and seed > 0:
                continue
            make: Callable[[], SlotAutoencoder] = partial(make_network, variant, budget)
            task = make_task(variant, budget, seed, train, val)
            place = folder / f"{name} {seed}"
            fits[name].append(fit(make, task, LEARNING_RATE, place, seed))
    return fits


def describe(budget: Budget, num_train: int, num_test: int, seeds: int) -> str:
    """What was run, in a sentence."""
    return (
        f"{budget.steps} steps of {budget.batch_size} of {num_train} scenes, Adam at "
        f"{LEARNING_RATE:g}, falling to 0 in the second half; {seeds} seed(s) of "
        f"weights and order, mean ± deviation; measured on {num_test} other scenes."
    )
