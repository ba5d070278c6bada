"""torch-scatter's kernels, with derivatives of our own.

Its sorted kernels are silently wrong at second order, so each is wrapped in a
function whose derivative is again one of the functions here.
"""

from __future__ import annotations

from typing import Any

import torch
import torch_scatter
from torch import Tensor

from ..set_index import SetIndex


def sum(x: Tensor, sets: SetIndex) -> Tensor:
    """Adds rows of the same set."""
    return _Sum.apply(x, sets)


def max(x: Tensor, sets: SetIndex) -> Tensor:
    """Takes the largest of the rows of the same set."""
    return _Max.apply(x, sets)


def gather(x: Tensor, sets: SetIndex) -> Tensor:
    """Repeats the row of a set for each of its elements."""
    return _Gather.apply(x, sets)


def _reduce(x: Tensor, sets: SetIndex, reduce: str) -> Tensor:
    if sets.has_ptr:
        return torch_scatter.segment_csr(x.contiguous(), sets.ptr, reduce=reduce)
    return torch_scatter.scatter(
        x, sets.index, dim=0, dim_size=sets.num_sets, reduce=reduce
    )


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, sets: SetIndex) -> Tensor:
        ctx.sets = sets
        return _reduce(x, sets, "sum")

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


class _Max(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, sets: SetIndex) -> Tensor:
        ctx.sets = sets
        largest = _reduce(x, sets, "max")
        chosen = (x == largest.index_select(0, sets.index)).to(x.dtype)
        ties = _reduce(chosen, sets, "sum")
        ctx.save_for_backward(chosen / ties.index_select(0, sets.index))
        return largest

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (share,) = ctx.saved_tensors
        return gather(grads[0], ctx.sets) * share, None
