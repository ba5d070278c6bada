r"""Matrix products inside sets, without keeping a matrix per element.

:func:`segment_outer` is :math:`A_s^\top V_s` for every set :math:`s`, and
:func:`segment_matvec` applies a matrix per set to the set's elements. Each is the
other's derivative, so both are differentiable to any order.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .eager import is_eager
from .precision import accumulator
from .segment import gather, segment_sum
from .set_index import SetIndex

Rows = slice | Tensor

# A set of more multiplications than this has a matrix product of its own, which
# takes microseconds to call; smaller ones share calls (benchmarks/bench_ragged.py).
OWN_PRODUCT = 2**14
# The temporary values of one shared call: a cache's worth, or a device's.
SHARED_CPU, SHARED_DEVICE = 2**18, 2**24


def segment_outer(a: Tensor, v: Tensor, sets: SetIndex) -> Tensor:
    r"""Sums outer products over each set: :math:`\sum_{i \in s} a_i v_i^\top`.

    Args:
        a: Elements ``[N, K]``.
        v: Elements ``[N, C]``.
        sets: The layout.

    Returns:
        One matrix per set, ``[B, K, C]``; zero for empty sets.

    Cost:
        :math:`O(NKC)` time. Nothing of size :math:`NKC` is kept or, in eager mode,
        ever made.
    """
    if is_eager():
        return _SegmentOuter.apply(a, v, sets)
    shape = (sets.num_sets, a.size(1), v.size(1))
    return segment_sum((a.unsqueeze(2) * v.unsqueeze(1)).flatten(1), sets).view(shape)


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
    if is_eager():
        return _SegmentMatvec.apply(m, x, sets)
    return (gather(m, sets) * x.unsqueeze(1)).sum(2)


class _SegmentOuter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, v: Tensor, sets: SetIndex) -> Tensor:
        ctx.save_for_backward(a, v)
        ctx.sets = sets
        dtype = torch.promote_types(a.dtype, v.dtype)
        a, v = a.to(accumulator(dtype)), v.to(accumulator(dtype))
        return _outer(a, v, sets).to(dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        a, v = ctx.saved_tensors
        (grad,) = grads
        grad_a = grad_v = None
        if ctx.needs_input_grad[0]:
            grad_a = segment_matvec(grad, v, ctx.sets)
        if ctx.needs_input_grad[1]:
            grad_v = segment_matvec(grad.transpose(1, 2), a, ctx.sets)
        return grad_a, grad_v, None


class _SegmentMatvec(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, m: Tensor, x: Tensor, sets: SetIndex) -> Tensor:
        ctx.save_for_backward(m, x)
        ctx.sets = sets
        dtype = torch.promote_types(m.dtype, x.dtype)
        m, x = m.to(accumulator(dtype)), x.to(accumulator(dtype))
        return _matvec(m, x, sets).to(dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        m, x = ctx.saved_tensors
        (grad,) = grads
        grad_m = grad_x = None
        if ctx.needs_input_grad[0]:
            grad_m = segment_outer(grad, x, ctx.sets)
        if ctx.needs_input_grad[1]:
            grad_x = segment_matvec(m.transpose(1, 2), grad, ctx.sets)
        return grad_m, grad_x, None


def _outer(a: Tensor, v: Tensor, sets: SetIndex) -> Tensor:
    out = v.new_zeros(sets.num_sets, a.size(1), v.size(1))
    own, shared = _calls(sets, out)
    for number, rows in own:
        torch.mm(a[rows].t(), v[rows], out=out[number])
    for index, rows in shared:
        products = a[rows].unsqueeze(2) * v[rows].unsqueeze(1)
        out.flatten(1).index_add_(0, index, products.flatten(1))
    return out


def _matvec(m: Tensor, x: Tensor, sets: SetIndex) -> Tensor:
    out = x.new_empty(x.size(0), m.size(1))
    own, shared = _calls(sets, m)
    for number, rows in own:
        out[rows] = x[rows] @ m[number].t()
    for index, rows in shared:
        out[rows] = (m[index] * x[rows].unsqueeze(1)).sum(2)
    return out


def _calls(
    sets: SetIndex, matrices: Tensor
) -> tuple[list[tuple[int, Rows]], list[tuple[Tensor, Rows]]]:
    """Divides the elements into calls: sets of their own, and shared runs.

    On CPU the size of a set alone decides where it goes, so that its bits do not
    depend on its company. On a device all is shared, as reading sizes would wait.

    Returns:
        ``(set, rows)`` of each large set, and ``(index, rows)`` of runs of the rest.
    """
    on_cpu = matrices.device.type == "cpu"
    work = max(1, matrices.size(1) * matrices.size(2))
    step = max(1, (SHARED_CPU if on_cpu else SHARED_DEVICE) // work)
    large = sets.sizes > OWN_PRODUCT // work
    if not on_cpu or not large.any():
        runs = [slice(i, i + step) for i in range(0, sets.num_elements, step)]
        return [], [(sets.index[rows], rows) for rows in runs]
    ordered, order = sets.sorted()
    own: list[tuple[int, Rows]] = [
        (number, slice(start, end) if order is None else order[start:end])
        for number, start, end in ordered.spans(OWN_PRODUCT // work + 1)
    ]
    rest = (~large)[sets.index].nonzero().squeeze(1)
    return own, [(sets.index[rows], rows) for rows in rest.split(step)]
