"""What a trained network says of test sets."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Data, Dataset
from torch_geometric.loader import DataLoader


@torch.no_grad()
def predict(network: Module, sets: Dataset | Sequence[Data], batch_size: int) -> Tensor:
    """The outputs for all sets, asked for ``batch_size`` at a time."""
    return torch.cat([network(batch) for batch in DataLoader(sets, batch_size)])


def mean_and_deviation(values: Sequence[float], digits: int = 3) -> str:
    """How a number over the seeds is printed."""
    numbers = torch.tensor(values, dtype=torch.double)
    mean = f"{numbers.mean():.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {numbers.std():.{digits}f}"
