"""The course of a training, kept with its checkpoints."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

#: What is recorded of an epoch.
Row = dict[str, Any]


class History(Callback):
    """Records each epoch, and makes an interrupted training go on as if it were not.

    The record is saved in every checkpoint. Every epoch begins with a random state of
    its own, so that a resumed run draws what it would have drawn.

    Args:
        seed: The seed of the run.

    Attributes:
        rows: For each epoch, its number, the training loss, the validation metric,
            and the seconds spent on training steps (validation excluded); ``None``
            for what is no finite number.
    """

    def __init__(self, seed: int):
        self.seed = seed
        self.rows: list[Row] = []
        self._start = 0.0
        self._seconds = 0.0

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Starts the clock."""
        self._start = time.perf_counter()

    def on_train_batch_start(
        self, trainer: Trainer, module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Sets the random state, once the loaders have drawn theirs."""
        if batch_idx == 0:
            words = [self.seed, trainer.current_epoch, trainer.global_rank]
            torch.manual_seed(int(np.random.SeedSequence(words).generate_state(1)[0]))

    def on_validation_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Stops the clock: Lightning validates before the epoch ends."""
        self._seconds = time.perf_counter() - self._start

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Records the epoch."""
        metrics = trainer.callback_metrics
        self.rows.append(
            {
                "epoch": trainer.current_epoch + 1,
                "train_loss": _finite(float(metrics["train_loss"])),
                "val_metric": _finite(float(metrics["val_metric"])),
                "seconds": self._seconds,
            }
        )

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up the record of a checkpoint."""
        self.rows = state_dict["rows"]


def _finite(value: float) -> float | None:
    """The value, or what JSON has for one that is not finite."""
    return value if math.isfinite(value) else None
