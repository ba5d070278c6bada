"""What the examples on particles train with, and how."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from experiment import Fitted, Loss, Task, fit
from torch.nn import Module
from torch_geometric.data import Dataset
from torch_geometric.loader import DataLoader

from .batches import repeated


@dataclass(frozen=True)
class Budget:
    """What every model of a comparison is trained with."""

    steps: int = 1000
    """Training steps of each model, a multiple of 100 (or less than 100)."""
    batch_size: int = 50
    """Systems a step."""
    learning_rate: float = 5e-3
    """The highest learning rate."""
    low_learning_rate: float = 2e-3
    """That of LieTransformer, which may learn nothing at the other, and of
    HamiltonianNet, which may diverge."""
    seeds: int = 2
    """How often each model is trained, from other weights."""
    threads: int = 1
    """CPU threads."""
    output: Path = Path("runs")
    """Where results and checkpoints go; a killed run resumes from there."""
    smoke: bool = False
    """Run for seconds, to see that everything works."""

    def rate(self, name: str) -> float:
        """The highest learning rate of a model."""
        low = name.startswith(("LieTransformer", "HamiltonianNet"))
        return self.low_learning_rate if low else self.learning_rate

    def task(self, loss: Loss, train: Dataset, val: DataLoader, steps: int) -> Task:
        """The same batches for every model; rates fall to 0 along a cosine."""
        epoch_steps = min(steps, 100)
        return Task(
            loss,
            lambda epoch: repeated(train, epoch, epoch_steps, self.batch_size),
            val,
            max(1, steps // 100),
            lambda spent: 0.5 * (1 + math.cos(math.pi * spent)),
        )

    def train(
        self,
        models: Mapping[str, Callable[[], Module]],
        task: Task,
        folder: Path,
    ) -> dict[str, list[Fitted]]:
        """Trains each model from each seed."""
        fits: dict[str, list[Fitted]] = {name: [] for name in models}
        for seed in range(self.seeds):
            for name, make in models.items():
                place = folder / f"{name} {seed}"
                fits[name].append(fit(make, task, self.rate(name), place, seed))
        return fits
