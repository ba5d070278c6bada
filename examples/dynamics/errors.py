"""How far predicted positions are off."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Batch, Dataset
from torch_geometric.loader import DataLoader


def position_loss(network: Module, batch: Batch, time: float) -> dict[str, Tensor]:
    """The mean square error of the positions after ``time``, per coordinate."""
    return {"loss": (network(batch, time) - batch.y).square().mean()}


@torch.no_grad()
def position_error(network: Module, data: Dataset, time: float) -> float:
    """The same over all systems."""
    errors = [
        float(position_loss(network, batch, time)["loss"]) * batch.num_nodes
        for batch in DataLoader(data, 200)
    ]
    return sum(errors) / sum(graph.num_nodes for graph in data)
