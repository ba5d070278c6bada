"""What a training step keeps in memory, counted in bytes."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor
from torch_geometric.data import Batch

from .graph_predictor import GraphPredictor


def saved_bytes(predictor: GraphPredictor, batch: Batch) -> int:
    """Counts what one training step keeps for its backward pass.

    Every storage counts once; parameters and the batch itself, which exist anyway, do
    not. The predictor is left as it was.
    """
    predictor = copy.deepcopy(predictor).train()
    batch = batch.cpu()
    given = _storages(predictor.parameters()) | _storages(
        value for _, value in batch if isinstance(value, Tensor)
    )
    saved: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with (
        torch.random.fork_rng(devices=[]),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
    ):
        loss = predictor.loss(batch)
    # Until here: storages freed on the way would leave their addresses to others.
    del loss
    return sum(
        saved[storage].untyped_storage().nbytes() for storage in saved.keys() - given
    )


def _storages(tensors: Iterable[Tensor]) -> set[int]:
    return {tensor.untyped_storage().data_ptr() for tensor in tensors}
