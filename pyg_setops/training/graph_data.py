"""Batches of a task, in an order that depends on seed and epoch alone."""

from __future__ import annotations

from lightning.pytorch import LightningDataModule
from torch.utils.data import DistributedSampler
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader

from .task import GraphTask


class GraphData(LightningDataModule):
    """The loaders of a task.

    Args:
        task: The graphs.
        batch_size: How many make a batch, on each device.
        seed: Tells, with the epoch, the order of the training graphs.
    """

    def __init__(self, task: GraphTask, batch_size: int, seed: int):
        super().__init__()
        self.task = task
        self.batch_size = batch_size
        self.seed = seed

    def train_dataloader(self) -> DataLoader:
        """Shuffled; Lightning tells the sampler the epoch, also after a resume."""
        trainer = self.trainer
        sampler: DistributedSampler[Data] = DistributedSampler(
            self.task.train,  # type: ignore[arg-type]
            num_replicas=trainer.world_size if trainer else 1,
            rank=trainer.global_rank if trainer else 0,
            seed=self.seed,
        )
        return DataLoader(self.task.train, self.batch_size, sampler=sampler)

    def val_dataloader(self) -> DataLoader:
        """In order."""
        return DataLoader(self.task.val, self.batch_size)

    def test_dataloader(self) -> DataLoader:
        """In order."""
        return DataLoader(self.task.test, self.batch_size)
