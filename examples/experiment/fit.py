"""Training under a fixed budget of steps, resumable at every epoch."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, Timer
from torch import Tensor
from torch.nn import Module
from torch.optim.lr_scheduler import LambdaLR
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader

Loss = Callable[[Module, Batch], dict[str, Tensor]]
Schedule = Callable[[float], float]


@dataclass(frozen=True)
class Task:
    """What every model of a comparison is trained and measured on.

    Attributes:
        loss: Maps a network and a batch to what is reported; ``'loss'`` is minimised.
        train: The training batches of an epoch, by its number: the same whenever they
            are asked for or gone through, or a resumed run would differ.
        val: The batches that the learning curve and the final numbers come from.
        num_epochs: How often ``train`` is asked.
        schedule: The factor of the learning rate, by the share of the budget spent.
    """

    loss: Loss
    train: Callable[[int], DataLoader]
    val: DataLoader
    num_epochs: int
    schedule: Schedule


@dataclass(frozen=True)
class Fitted:
    """A trained network, its curve (a row of metrics per epoch) and its cost."""

    network: Module
    curve: list[dict[str, float]]
    seconds: float

    @property
    def num_parameters(self) -> int:
        """The number of trained weights."""
        return sum(parameter.numel() for parameter in self.network.parameters())


class _Curve(Callback):
    """Keeps the metrics of every epoch, in the checkpoint too."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def on_validation_epoch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule
    ) -> None:
        values = {name: float(x) for name, x in trainer.callback_metrics.items()}
        self.rows.append({"step": trainer.global_step, **values})

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = state_dict["rows"]


class _Module(lightning.LightningModule):
    def __init__(self, network: Module, task: Task, learning_rate: float):
        super().__init__()
        self.network, self.task, self.learning_rate = network, task, learning_rate

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = self.task.loss(self.network, batch)["loss"]
        self.log("train_loss", loss, prog_bar=True, batch_size=batch.num_graphs)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        values = self.task.loss(self.network, batch)
        # Batches are averaged by their elements: every metric is one per element.
        self.log_dict(values, prog_bar=True, batch_size=batch.num_nodes)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.network.parameters(), lr=self.learning_rate)
        total = self.trainer.estimated_stepping_batches
        factor = LambdaLR(optimizer, lambda step: self.task.schedule(step / total))
        return [optimizer], [{"scheduler": factor, "interval": "step"}]


class _Loaders(lightning.LightningDataModule):
    def __init__(self, task: Task):
        super().__init__()
        self.task = task

    def train_dataloader(self) -> DataLoader:
        assert self.trainer is not None
        return self.task.train(self.trainer.current_epoch)

    def val_dataloader(self) -> DataLoader:
        return self.task.val


def fit(
    make: Callable[[], Module],
    task: Task,
    learning_rate: float,
    folder: Path,
    seed: int,
) -> Fitted:
    """Trains a network with Adam, from its last checkpoint if there is one.

    Args:
        make: Makes the network; called after seeding.
        task: The task and its budget.
        learning_rate: The highest learning rate.
        folder: Where the checkpoint is kept.
        seed: The seed of the weights.

    Returns:
        The network at the end of the budget.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    lightning.seed_everything(seed, verbose=False)
    module = _Module(make(), task, learning_rate)
    curve, timer = _Curve(), Timer()
    last = ModelCheckpoint(
        folder,
        filename="last",
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    trainer = lightning.Trainer(
        max_epochs=task.num_epochs,
        gradient_clip_val=1.0,
        callbacks=[curve, timer, last],
        default_root_dir=folder,
        logger=False,
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
        enable_model_summary=False,
    )
    path = folder / "last.ckpt"
    with warnings.catch_warnings():
        # Batches are made in microseconds; workers would only compete for the cores.
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        warnings.filterwarnings("ignore", ".*Checkpoint directory.*")
        warnings.filterwarnings("ignore", ".*LeafSpec.*")
        trainer.fit(
            module, datamodule=_Loaders(task), ckpt_path=path if path.exists() else None
        )
    return Fitted(module.network.eval(), curve.rows, timer.time_elapsed("train"))
