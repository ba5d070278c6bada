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
    if layout.groups is not None:
        return _SigmoidMoments.apply(p, c, layout, False)[0]
    return segment_sum(torch.sigmoid(p + gather(c, layout.sets)), layout.sets)


def sigmoid_moments(p: Tensor, c: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
    """Computes :math:`m`, as :func:`sigmoid_sums`, and :math:`d`, a constant."""
    if layout.groups is not None:
        return _SigmoidMoments.apply(p, c, layout, True)
    sigma = torch.sigmoid(p + gather(c, layout.sets))
    constant = sigma.detach()
    slope = segment_sum(constant * (1 - constant), layout.sets)
    return segment_sum(sigma, layout.sets), slope


class _SigmoidMoments(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, p: Tensor, c: Tensor, layout: Layout, with_slope: bool
    ) -> tuple[Tensor, Tensor | None]:
        ctx.save_for_backward(p, c)
        ctx.layout = layout
        ctx.set_materialize_grads(False)
        assert layout.groups is not None
        total = torch.zeros_like(c)
        slope = torch.zeros_like(c) if with_slope else None
        for numbers, _, sigma in _sigmoids(p, c, layout.groups):
            sums = sigma.sum(1)
            total[numbers] = sums
            if slope is not None:
                slope[numbers] = sums - sigma.square_().sum(1)
        if slope is not None:
            ctx.mark_non_differentiable(slope)
        return total, slope

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        p, c = ctx.saved_tensors
        grad, sets = grads[0], ctx.layout.sets
        if grad is None:
            return None, None, None, None
        if torch.is_grad_enabled():
            sigma = torch.sigmoid(p + gather(c, sets))
            grad_p = sigma * (1 - sigma) * gather(grad, sets)
            return grad_p, segment_sum(grad_p, sets), None, None
        grad_p, grad_c = torch.empty_like(p), torch.zeros_like(c)
        for numbers, rows, sigma in _sigmoids(p, c, ctx.layout.groups):
            slope = torch.addcmul(sigma, sigma, sigma, value=-1, out=sigma)
            out = grad_p[rows].view_as(slope)
            torch.mul(slope, grad[numbers][:, None], out=out)
            grad_c[numbers] = out.sum(1)
        return grad_p, grad_c, None, None


def _sigmoids(
    p: Tensor, c: Tensor, groups: list[SizeGroup]
) -> Iterator[tuple[Tensor, slice, Tensor]]:
    """``(sets, rows, sigmoids [G, size, H])`` of each group, free to be overwritten.

    All in one buffer: fresh memory would cost as much as the sigmoids.
    """
    largest = max((group.rows.stop - group.rows.start for group in groups), default=0)
    buffer = p.new_empty(largest, p.size(1))
    for group in groups:
        elements = group.view(p)
        sigma = buffer[: group.rows.stop - group.rows.start].view_as(elements)
        torch.add(elements, c[group.numbers][:, None], out=sigma)
        yield group.numbers, group.rows, sigma.sigmoid_()
