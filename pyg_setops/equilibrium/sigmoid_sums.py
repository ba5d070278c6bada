r"""The one pass over elements that the convex energy needs: sums of sigmoids.

For elements :math:`p_i` and a row :math:`c_b` for each set, all of width :math:`H`,

.. math::
    m_b = \sum_{i \in b} \sigma(p_i + c_b), \qquad
    d_b = \sum_{i \in b} \sigma(p_i + c_b) (1 - \sigma(p_i + c_b)) .

On CPU, sets of equal size are taken together and :math:`\sigma` is computed again in
the backward pass, so that nothing of size :math:`N H` is made or kept beside
:math:`p` itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..ragged import SetIndex, SizeGroup, gather, segment_sum, size_groups
from ..ragged.eager import is_eager, is_readable

# The sigmoids of a group: small enough for a cache.
GROUP_BYTES = 2**20


@dataclass(frozen=True)
class Layout:
    """How elements lie for the pass.

    Attributes:
        sets: Their sets.
        order: The order in which they lie, ``None`` for the caller's.
        groups: Sets of equal size, ``None`` where that does not pay.
    """

    sets: SetIndex
    order: Tensor | None = None
    groups: list[SizeGroup] | None = None


def lay_out(sets: SetIndex, row_bytes: int) -> Layout:
    """Chooses a layout for elements of this many bytes."""
    if not (is_eager() and is_readable(sets.sizes)):
        return Layout(sets)
    grouped = size_groups(sets, max(1, GROUP_BYTES // max(1, row_bytes)))
    return Layout(grouped.sets, grouped.order, grouped.groups)


def sigmoid_sums(p: Tensor, c: Tensor, layout: Layout) -> Tensor:
    """Computes :math:`m`, differentiable to any order.

    Args:
        p: Elements ``[N, H]``, in the layout's order.
        c: Sets ``[B, H]``.
        layout: The layout.

    Returns:
        Sets ``[B, H]``, zero where empty.
    """
    if layout.groups is None:
        return segment_sum(torch.sigmoid(p + gather(c, layout.sets)), layout.sets)
    return _SigmoidSums.apply(p, c, layout)


def sigmoid_moments(p: Tensor, c: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
    """Computes :math:`m` and :math:`d`; see :func:`sigmoid_sums`."""
    if layout.groups is None:
        sigma = torch.sigmoid(p + gather(c, layout.sets))
        slope = segment_sum(sigma * (1 - sigma), layout.sets)
        return segment_sum(sigma, layout.sets), slope
    total, squares = torch.zeros_like(c), torch.zeros_like(c)
    for numbers, _, sigma in _sigmoids(p, c, layout.groups):
        total[numbers] = sigma.sum(1)
        squares[numbers] = sigma.square_().sum(1)
    return total, total - squares


class _SigmoidSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, p: Tensor, c: Tensor, layout: Layout) -> Tensor:
        ctx.save_for_backward(p, c)
        ctx.layout = layout
        assert layout.groups is not None
        total = torch.zeros_like(c)
        for numbers, _, sigma in _sigmoids(p, c, layout.groups):
            total[numbers] = sigma.sum(1)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        p, c = ctx.saved_tensors
        (grad,) = grads
        sets = ctx.layout.sets
        if torch.is_grad_enabled():
            sigma = torch.sigmoid(p + gather(c, sets))
            grad_p = sigma * (1 - sigma) * gather(grad, sets)
            return grad_p, segment_sum(grad_p, sets), None
        grad_p, grad_c = torch.empty_like(p), torch.zeros_like(c)
        for numbers, rows, sigma in _sigmoids(p, c, ctx.layout.groups):
            slope = torch.addcmul(sigma, sigma, sigma, value=-1, out=sigma)
            out = grad_p[rows].view_as(slope)
            torch.mul(slope, grad[numbers][:, None], out=out)
            grad_c[numbers] = out.sum(1)
        return grad_p, grad_c, None


def _sigmoids(
    p: Tensor, c: Tensor, groups: list[SizeGroup]
) -> Iterator[tuple[Tensor, slice, Tensor]]:
    """``(sets, rows, sigmoids [G, size, H])`` of each group, free to be overwritten."""
    for group in groups:
        shifted = group.view(p) + c[group.numbers][:, None]
        yield group.numbers, group.rows, shifted.sigmoid_()
