"""PyTorch's own indexed kernels: any device, any layout, compiled or not."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..eager import is_eager
from ..set_index import SetIndex


def sum(x: Tensor, sets: SetIndex) -> Tensor:
    """Adds rows of the same set."""
    if is_eager() and torch.is_grad_enabled():
        return _Sum.apply(x, sets)
    return _add(x, sets)


class _Sum(torch.autograd.Function):
    """The sum with nothing kept for backward; PyTorch's own keeps its input."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, sets: SetIndex) -> Tensor:
        ctx.sets = sets
        return _add(x, sets)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return gather(grads[0], ctx.sets), None


def _add(x: Tensor, sets: SetIndex) -> Tensor:
    return x.new_zeros(sets.num_sets, *x.shape[1:]).index_add(0, sets.index, x)


def max(x: Tensor, sets: SetIndex) -> Tensor:
    """Takes the largest of the rows of the same set."""
    index = sets.index.view(-1, *[1] * (x.dim() - 1)).expand_as(x)
    zeros = x.new_zeros(sets.num_sets, *x.shape[1:])
    return zeros.scatter_reduce(0, index, x, "amax", include_self=False)


def gather(x: Tensor, sets: SetIndex) -> Tensor:
    """Repeats the row of a set for each of its elements."""
    return x.index_select(0, sets.index)
