"""The course of a training, kept with its checkpoints."""

from __future__ import annotations

import time
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer


class History(Callback):
    """Records each epoch, and what an exact continuation needs.

    It is saved in every checkpoint, so that a resumed run goes on with the whole
    record and with the random state that it would have had.

    Attributes:
        rows: For each epoch, its number, the training loss, the validation metric,
            and the seconds spent on training steps (validation excluded).
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        self._random_state: torch.Tensor | None = None
        self._start = 0.0
        self._seconds = 0.0

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Starts the clock, and goes on from the random state of the checkpoint."""
        if self._random_state is not None:
            torch.set_rng_state(self._random_state)
            self._random_state = None
        self._start = time.perf_counter()

    def on_validation_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Stops the clock: Lightning validates before the epoch ends."""
        self._seconds = time.perf_counter() - self._start

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Records the epoch."""
        metrics = trainer.callback_metrics
        self.rows.append(
            {
                "epoch": trainer.current_epoch + 1,
                "train_loss": float(metrics["train_loss"]),
                "val_metric": float(metrics["val_metric"]),
                "seconds": self._seconds,
            }
        )

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"rows": self.rows, "random_state": torch.get_rng_state()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up the record of a checkpoint."""
        self.rows = state_dict["rows"]
        self._random_state = state_dict["random_state"]
