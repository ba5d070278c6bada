r"""Matrix products inside sets, without a matrix per element.

:func:`segment_outer` is :math:`A_s^\top V_s` for every set :math:`s`, and
:func:`segment_matvec` applies a matrix per set to the set's elements. Each is the
other's derivative, so both are differentiable to any order.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from .segment import gather, segment_sum
from .set_index import SetIndex


def segment_outer(a: Tensor, v: Tensor, sets: SetIndex) -> Tensor:
    r"""Sums outer products over each set: :math:`\sum_{i \in s} a_i v_i^\top`.

    Args:
        a: Elements ``[N, K]``.
        v: Elements ``[N, C]``.
        sets: The layout.

    Returns:
        One matrix per set, ``[B, K, C]``; zero for empty sets.

    Cost:
        :math:`O(NKC)` time. Nothing of size :math:`NKC` is kept or, on CPU in eager
        mode with sorted sets, ever made.
    """
    if _by_matrix_products(sets):
        return _SegmentOuter.apply(a, v, sets)
    columns = [segment_sum(column * v, sets) for column in a.split(1, dim=1)]
    if not columns:
        return v.new_zeros(sets.num_sets, 0, v.size(1))
    return torch.stack(columns, dim=1)


def segment_matvec(m: Tensor, x: Tensor, sets: SetIndex) -> Tensor:
    r"""Applies the matrix of each set to its elements: :math:`y_i = M_{s(i)} x_i`.

    Args:
        m: One matrix per set, ``[B, K, C]``.
        x: Elements ``[N, C]``.
        sets: The layout.

    Returns:
        Elements ``[N, K]``.

    Cost:
        As :func:`segment_outer`.
    """
    if _by_matrix_products(sets):
        return _SegmentMatvec.apply(m, x, sets)
    rows = [(gather(row, sets) * x).sum(-1) for row in m.unbind(1)]
    return torch.stack(rows, dim=1) if rows else x.new_zeros(x.size(0), 0)


def _by_matrix_products(sets: SetIndex) -> bool:
    """Whether one matrix product per set is possible and the better way.

    A product costs a few microseconds to call, which sets of a few elements do not
    repay; a device would wait for each.
    """
    return (
        not torch.compiler.is_compiling()
        and sets.sizes.device.type == "cpu"
        and sets.is_sorted
        and sets.num_elements >= 8 * sets.num_sets
    )


def _spans(sets: SetIndex) -> list[tuple[int, int, int]]:
    """``(set, start, end)`` of every set that has elements."""
    ptr = sets.ptr.tolist()
    bounds = enumerate(pairwise(ptr))
    return [(number, start, end) for number, (start, end) in bounds if start < end]


class _SegmentOuter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, v: Tensor, sets: SetIndex) -> Tensor:
        ctx.save_for_backward(a, v)
        ctx.sets = sets
        out = v.new_zeros(sets.num_sets, a.size(1), v.size(1))
        for number, start, end in _spans(sets):
            torch.mm(a[start:end].t(), v[start:end], out=out[number])
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        a, v = ctx.saved_tensors
        (grad,) = grads
        grad_a = segment_matvec(grad, v, ctx.sets)
        grad_v = segment_matvec(grad.transpose(1, 2), a, ctx.sets)
        return grad_a, grad_v, None


class _SegmentMatvec(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, m: Tensor, x: Tensor, sets: SetIndex) -> Tensor:
        ctx.save_for_backward(m, x)
        ctx.sets = sets
        out = x.new_empty(x.size(0), m.size(1))
        for number, start, end in _spans(sets):
            torch.mm(x[start:end], m[number].t(), out=out[start:end])
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        m, x = ctx.saved_tensors
        (grad,) = grads
        grad_m = segment_outer(grad, x, ctx.sets)
        grad_x = segment_matvec(m.transpose(1, 2), grad, ctx.sets)
        return grad_m, grad_x, None
