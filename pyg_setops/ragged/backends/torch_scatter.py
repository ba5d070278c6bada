"""torch-scatter's sums, with derivatives of our own.

Its sorted sum is silently wrong at second order, so it is wrapped in a function
whose derivative is again one of the functions here. Its maximum passes over NaN, so
PyTorch's is taken.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..set_index import SetIndex
from .native import max

__all__ = ["gather", "max", "sum"]


def sum(x: Tensor, sets: SetIndex) -> Tensor:
    """Adds rows of the same set."""
    return _Sum.apply(x, sets)


def gather(x: Tensor, sets: SetIndex) -> Tensor:
    """Repeats the row of a set for each of its elements."""
    return _Gather.apply(x, sets)


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, sets: SetIndex) -> Tensor:
        from torch_scatter import scatter, segment_csr

        ctx.sets = sets
        if sets.has_ptr:
            return segment_csr(x.contiguous(), sets.ptr, reduce="sum")
        return scatter(x, sets.index, dim=0, dim_size=sets.num_sets)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return gather(grads[0], ctx.sets), None


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, sets: SetIndex) -> Tensor:
        ctx.sets = sets
        return x.index_select(0, sets.index)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return sum(grads[0], ctx.sets), None
