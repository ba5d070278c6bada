"""Reductions over sets, and the way back from sets to elements.

All take elements on dimension 0 of ``x`` (``[N, *]``) and return ``[B, *]`` (or
``[N, *]``), cost one pass over ``x``, and are differentiable to any order.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .backends import select_backend
from .eager import is_eager
from .precision import accumulated
from .set_index import SetIndex


@accumulated
def gather(x: Tensor, sets: SetIndex) -> Tensor:
    """Gives every element the row of its set: ``[B, *]`` to ``[N, *]``."""
    return select_backend(x).gather(x, sets)


@accumulated
def segment_sum(x: Tensor, sets: SetIndex) -> Tensor:
    """Sums each set."""
    return select_backend(x).sum(x, sets)


@accumulated
def segment_mean(x: Tensor, sets: SetIndex) -> Tensor:
    """Averages each set."""
    sizes = sets.sizes.clamp(min=1).view(-1, *[1] * (x.dim() - 1))
    return segment_sum(x, sets) / sizes.to(x.dtype)


@accumulated
def segment_max(x: Tensor, sets: SetIndex) -> Tensor:
    """Takes the largest value of each set; ties share the gradient."""
    return _Max.apply(x, sets) if is_eager() else select_backend(x).max(x, sets)


class _Max(torch.autograd.Function):
    """The maximum with a backward of a few passes; PyTorch's own takes tens."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, sets: SetIndex) -> Tensor:
        largest = select_backend(x).max(x, sets)
        if ctx.needs_input_grad[0]:
            chosen = x == gather(largest, sets)
            ctx.save_for_backward(chosen, segment_sum(chosen.to(x.dtype), sets))
            ctx.sets = sets
        return largest

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        chosen, ties = ctx.saved_tensors
        share = gather(grads[0] / ties.clamp(min=1), ctx.sets)
        return torch.where(chosen, share, 0), None


@accumulated
def segment_logsumexp(x: Tensor, sets: SetIndex) -> Tensor:
    """Computes the logarithm of the sum of exponentials of each set.

    The result for an empty set is 0, as for every reduction here; for a set that
    holds nothing but ``-inf`` it is ``-inf``, with a zero gradient.
    """
    shift = _shift(x, sets)
    total = segment_sum((x - gather(shift, sets)).exp(), sets)
    # Where the sum is 0 there is nothing to take a logarithm of: the maximum is
    # the result, 0 for an empty set and -inf for a masked one.
    floor = torch.where(total == 0, segment_max(x.detach(), sets), shift)
    return total.masked_fill(total == 0, 1).log() + floor


@accumulated
def segment_softmax(x: Tensor, sets: SetIndex) -> Tensor:
    """Normalises ``exp(x)`` to sum 1 over the elements of each set.

    Elements of ``-inf`` have weight 0, also where a set holds nothing else.
    """
    weight = (x - gather(_shift(x, sets), sets)).exp()
    total = segment_sum(weight, sets)
    return weight / gather(total.masked_fill(total == 0, 1), sets)


def _shift(x: Tensor, sets: SetIndex) -> Tensor:
    """The largest value of each set where it is finite, else 0: inf - inf is NaN."""
    largest = segment_max(x.detach(), sets)
    return largest.masked_fill(largest.isinf(), 0)
