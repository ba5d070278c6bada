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

from ..ragged import SetIndex, SizeGroups, gather, segment_sum, size_groups
from ..ragged.eager import is_eager, is_readable

# The sigmoids of a group: small enough for a cache.
GROUP_BYTES = 2**20


@dataclass(frozen=True)
class Layout:
    """How elements lie for the pass.

    Attributes:
        sets: Their sets.
        grouped: Sets of equal size, ``None`` where that does not pay.
    """

    sets: SetIndex
    grouped: SizeGroups | None = None


def lay_out(x: Tensor, sets: SetIndex, row_bytes: int) -> tuple[Tensor, Layout]:
    """Brings elements into a layout, chosen for a pass of this many bytes for each."""
    if not (is_eager() and is_readable(sets.sizes)):
        return x, Layout(sets)
    grouped = size_groups(sets, max(1, GROUP_BYTES // max(1, row_bytes)))
    return x[grouped.order], Layout(grouped.sets, grouped)


def sigmoid_sums(p: Tensor, c: Tensor, layout: Layout) -> Tensor:
    """Computes :math:`m`, differentiable to any order.

    Args:
        p: Elements ``[N, H]``, laid out.
        c: Sets ``[B, H]``.
        layout: The layout.

    Returns:
        Sets ``[B, H]``, zero where empty.
    """
    if layout.grouped is not None:
        return _SigmoidMoments.apply(p, c, layout.grouped, False)[0]
    return segment_sum(torch.sigmoid(p + gather(c, layout.sets)), layout.sets)


def sigmoid_moments(p: Tensor, c: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
    """Computes :math:`m`, as :func:`sigmoid_sums`, and :math:`d`, a constant."""
    if layout.grouped is not None:
        return _SigmoidMoments.apply(p, c, layout.grouped, True)
    sigma = torch.sigmoid(p + gather(c, layout.sets))
    constant = sigma.detach()
    slope = segment_sum(constant * (1 - constant), layout.sets)
    return segment_sum(sigma, layout.sets), slope


class _SigmoidMoments(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, p: Tensor, c: Tensor, grouped: SizeGroups, with_slope: bool
    ) -> tuple[Tensor, Tensor | None]:
        ctx.save_for_backward(p, c)
        ctx.grouped = grouped
        ctx.set_materialize_grads(False)
        moments = c.new_zeros(1 + with_slope, *c.shape)
        sums = c.new_empty(1 + with_slope, grouped.numbers.numel(), c.size(1))
        for sets, _, sigma in _sigmoids(p, c, grouped):
            torch.sum(sigma, 1, out=sums[0, sets])
            if with_slope:
                torch.sum(sigma.square_(), 1, out=sums[1, sets])
        moments[:, grouped.numbers] = sums
        if not with_slope:
            return moments[0], None
        slope = moments[0] - moments[1]
        ctx.mark_non_differentiable(slope)
        return moments[0], slope

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        p, c = ctx.saved_tensors
        grad, grouped = grads[0], ctx.grouped
        if grad is None:
            return None, None, None, None
        if torch.is_grad_enabled():
            sigma = torch.sigmoid(p + gather(c, grouped.sets))
            grad_p = sigma * (1 - sigma) * gather(grad, grouped.sets)
            return grad_p, segment_sum(grad_p, grouped.sets), None, None
        grad_p, grad_c = torch.empty_like(p), torch.zeros_like(c)
        grad = grad[grouped.numbers]
        sums = torch.empty_like(grad)
        for sets, rows, sigma in _sigmoids(p, c, grouped):
            slope = torch.addcmul(sigma, sigma, sigma, value=-1, out=sigma)
            out = grad_p[rows].view_as(slope)
            torch.mul(slope, grad[sets][:, None], out=out)
            torch.sum(out, 1, out=sums[sets])
        grad_c[grouped.numbers] = sums
        return grad_p, grad_c, None, None


def _sigmoids(
    p: Tensor, c: Tensor, grouped: SizeGroups
) -> Iterator[tuple[slice, slice, Tensor]]:
    """``(sets, rows, sigmoids [G, size, H])`` of each group, free to be overwritten.

    Sets are counted in the order of ``grouped.numbers``. All sigmoids are in one
    buffer: fresh memory would cost as much as they do.
    """
    c, start = c[grouped.numbers], 0
    rows = [group.size * group.numbers.numel() for group in grouped.groups]
    buffer = p.new_empty(max(rows, default=0), p.size(1))
    for group, count in zip(grouped.groups, rows, strict=True):
        elements = group.view(p)
        sigma = buffer[:count].view_as(elements)
        sets = slice(start, start + elements.size(0))
        torch.add(elements, c[sets][:, None], out=sigma)
        yield sets, group.rows, sigma.sigmoid_()
        start = sets.stop
