"""What is learned, by which loss, with which optimiser."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.nn import functional as F
from torch_geometric.data import Batch
from torchmetrics import MeanAbsoluteError, Metric
from torchmetrics.classification import MulticlassAccuracy


class DivergedError(FloatingPointError):
    """The loss or the metric is no finite number."""


class GraphPredictor(LightningModule):
    """Predicts one value or one class per graph.

    A value is learned by the absolute error of the standardised target, and judged in
    the target's unit; a class by cross entropy, and judged by accuracy in percent.
    AdamW under a one-cycle schedule, gradients clipped by the trainer.

    Args:
        model: Maps a batch to ``[B, 1]`` or ``[B, num_classes]``.
        num_classes: The number of classes, or ``None`` for a value.
        mean: The mean of the target.
        std: Its standard deviation.
        lr: The peak of the learning rate.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        num_classes: int | None,
        mean: float,
        std: float,
        lr: float,
    ):
        super().__init__()
        self.model = model
        self.num_classes = num_classes
        self.mean, self.std, self.lr = mean, std, lr
        self.val_metric = self._metric()
        self.test_metric = self._metric()

    def _metric(self) -> Metric:
        if self.num_classes is None:
            return MeanAbsoluteError()
        return MulticlassAccuracy(max(self.num_classes, 2), average="micro")

    def loss(self, batch: Batch) -> Tensor:
        """The training loss of a batch."""
        out = self.model(batch)
        if self.num_classes is not None:
            return F.cross_entropy(out, batch.y)
        return F.l1_loss(out.squeeze(-1), (batch.y - self.mean) / self.std)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Takes the loss.

        Raises:
            DivergedError: If it is not finite.
        """
        loss = self.loss(batch)
        # All processes of a distributed training must stop, or some wait for ever.
        finite = bool(torch.isfinite(loss))
        if not self.trainer.strategy.reduce_boolean_decision(finite, all=True):
            raise DivergedError(f"the loss is {loss.item()}")
        self.log(
            "train_loss",
            loss,
            on_step=False,
            on_epoch=True,
            sync_dist=True,
            batch_size=batch.num_graphs,
        )
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Judges a validation batch."""
        self._judge("val_metric", self.val_metric, batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Judges a test batch."""
        self._judge("test_metric", self.test_metric, batch)

    def _judge(self, name: str, metric: Metric, batch: Batch) -> None:
        out = self.model(batch)
        if self.num_classes is None:
            metric.update(out.squeeze(-1) * self.std + self.mean, batch.y)
        else:
            metric.update(out.argmax(dim=-1), batch.y)
        self.log(name, metric, prog_bar=True, batch_size=batch.num_graphs)

    def configure_optimizers(self) -> Any:
        """AdamW, warmed up and annealed over the whole training."""
        optimizer = torch.optim.AdamW(self.parameters(), self.lr)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self.lr, int(self.trainer.estimated_stepping_batches)
        )
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]
