"""Reductions over sets, and the way back from sets to elements.

All take elements on dimension 0 of ``x`` (``[N, *]``) and return ``[B, *]`` (or
``[N, *]``), cost one pass over ``x``, and are differentiable to any order.
"""

import torch
from torch import Tensor

from .backends import select_backend
from .set_index import SetIndex


def gather(x: Tensor, sets: SetIndex) -> Tensor:
    """Gives every element the row of its set: ``[B, *]`` to ``[N, *]``."""
    return select_backend(x).gather(x, sets)


def segment_sum(x: Tensor, sets: SetIndex) -> Tensor:
    """Sums each set. Half-precision input is summed in float32."""
    if x.dtype in (torch.float16, torch.bfloat16):
        return select_backend(x).sum(x.float(), sets).to(x.dtype)
    return select_backend(x).sum(x, sets)


def segment_mean(x: Tensor, sets: SetIndex) -> Tensor:
    """Averages each set."""
    return segment_sum(x, sets) / _per_set(sets.sizes.clamp(min=1), x).to(x.dtype)


def segment_max(x: Tensor, sets: SetIndex) -> Tensor:
    """Takes the largest value of each set; ties share the gradient."""
    return select_backend(x).max(x, sets)


def segment_logsumexp(x: Tensor, sets: SetIndex) -> Tensor:
    """Computes the logarithm of the sum of exponentials of each set.

    The result for an empty set is 0, as for every reduction here.
    """
    shift = _finite(segment_max(x.detach(), sets))
    total = segment_sum((x - gather(shift, sets)).exp(), sets)
    occupied = _per_set(sets.sizes > 0, x)
    return torch.where(occupied, total, 1).log() + shift


def segment_softmax(x: Tensor, sets: SetIndex) -> Tensor:
    """Normalises ``exp(x)`` to sum 1 over the elements of each set."""
    shift = _finite(segment_max(x.detach(), sets))
    weight = (x - gather(shift, sets)).exp()
    return weight / gather(segment_sum(weight, sets), sets)


def _finite(maximum: Tensor) -> Tensor:
    """Replaces -inf, which a wholly masked set has, so that -inf - -inf is no NaN."""
    return maximum.masked_fill(maximum == -torch.inf, 0)


def _per_set(values: Tensor, x: Tensor) -> Tensor:
    return values.view(-1, *[1] * (x.dim() - 1))
