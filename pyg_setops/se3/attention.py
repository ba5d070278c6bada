"""Softmax over a neighbourhood whose members fade at its edge."""

from __future__ import annotations

import torch
from torch import Tensor

from ..ragged import SetIndex, gather, segment_max, segment_sum


def fading_softmax(score: Tensor, envelope: Tensor, sets: SetIndex) -> Tensor:
    r"""Normalises scores over each set, where elements come and go smoothly.

    .. math::
        a_j = \frac{c_j \exp(s_j)}{1 + \sum_k c_k \exp(s_k)}

    with the envelope :math:`c \in [0, 1]`. The 1 is a silent neighbour of score 0:
    without it, the last neighbour to leave would weigh 1 until it is gone. The largest
    :math:`s + \log c`, or 0, is subtracted, so that nothing overflows and the
    denominator is at least 1; derivatives are finite for every :math:`c`, 0 included.

    Args:
        score: Elements ``[E, H]``.
        envelope: Elements ``[E, 1]``.
        sets: The layout.

    Returns:
        Weights ``[E, H]``.
    """
    present = envelope > torch.finfo(envelope.dtype).tiny
    level = torch.where(present, score + envelope.log(), -torch.inf).detach()
    # Empty sets have maximum 0, as the silent neighbour has.
    shift = segment_max(level, sets).clamp(min=0)
    relative = torch.where(present, score - gather(shift, sets), 0)
    weight = torch.where(present, envelope * relative.exp(), 0)
    total = (-shift).exp() + segment_sum(weight, sets)
    return weight / gather(total, sets)
