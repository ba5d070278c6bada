"""Training batches for a budget of steps, whatever the size of the data."""

from __future__ import annotations

import torch
from torch_geometric.data import Dataset
from torch_geometric.loader import DataLoader


def repeated(data: Dataset, epoch: int, num_steps: int, batch_size: int) -> DataLoader:
    """Batches of one epoch: shuffled, again and again where the data are few.

    Args:
        data: Graphs.
        epoch: Its number, which the order follows from.
        num_steps: The number of batches.
        batch_size: The graphs of a batch, or all if they are fewer.
    """
    generator = torch.Generator().manual_seed(epoch)
    size = min(batch_size, len(data))
    needed = num_steps * size
    rounds = -(-needed // len(data))
    order = torch.cat(
        [torch.randperm(len(data), generator=generator) for _ in range(rounds)]
    )
    return DataLoader(data[order[:needed].tolist()], size)
