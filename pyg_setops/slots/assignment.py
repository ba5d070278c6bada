"""Which slots hold an element, in the order of the batch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .layout import Layout


class RaggedShares(NamedTuple):
    """The shares of elements whose sets have different numbers of slots.

    Attributes:
        values: The shares of all elements, one element after another.
        ptr: Where each element's begin and end, ``[N + 1]``.
    """

    values: Tensor
    ptr: Tensor


Shares = Tensor | RaggedShares


def gather_shares(parts: list[Tensor], layout: Layout, x: Tensor) -> Shares:
    """Brings the shares ``[n, K]`` of each part into the order of the batch ``x``.

    Returns:
        ``[N, K]``, or :class:`RaggedShares` where the number of slots differs.
    """
    if isinstance(layout.num_slots, int):
        if not parts:  # no set has elements
            return x.new_empty(0, layout.num_slots)
        return layout.elements_back(parts[0]).to(x.dtype)
    counts = layout.num_slots[layout.sets.index]
    ptr = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    values = torch.cat([x.new_empty(0), *(part.flatten() for part in parts)])
    values = values.to(x.dtype)
    assert layout.order is not None
    assert layout.inverse is not None
    # Where each element's shares begin in the layout.
    laid = counts[layout.order]
    begin = (laid.cumsum(0) - laid)[layout.inverse]
    total = values.numel()
    number = torch.arange(total, device=counts.device)
    shift = (begin - ptr[:-1]).repeat_interleave(counts, output_size=total)
    return RaggedShares(values[number + shift], ptr)
