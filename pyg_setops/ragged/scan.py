"""Scans along the elements of each set, in the order given."""

import torch
from torch import Tensor

from .set_index import SetIndex


def segment_cumsum(x: Tensor, sets: SetIndex, reverse: bool = False) -> Tensor:
    r"""Sums each element and those before it in its set: :math:`y_i=\sum_{j\le i}x_j`.

    Recursive doubling: in step :math:`s` every element adds the partial sum
    :math:`2^s` places before it. One cumulative sum over the whole batch, minus its
    value at the start of each set, would lose digits and carry a NaN from set to set.

    Args:
        x: Elements ``[N, *]``, sets one after another.
        sets: The layout.
        reverse: Sum each element and those after it instead.

    Raises:
        ValueError: If the elements of a set do not lie together.

    Cost:
        :math:`O(N \log n)` for a largest set of :math:`n`; nothing but a mask of
        :math:`N \log n` bytes is kept for backward.
    """
    sets.require_sorted("a cumulative sum")
    position = sets.position
    if reverse:
        position = sets.sizes[sets.index] - 1 - position
    position = position.view(-1, *[1] * (x.dim() - 1))
    step, max_size = 1, min(sets.max_size, sets.num_elements)
    while step < max_size:
        if reverse:
            ends, rest, moved = x[-step:], slice(None, -step), x[step:]
        else:
            ends, rest, moved = x[:step], slice(step, None), x[:-step]
        inside = torch.where(position[rest] >= step, moved, 0)
        parts = [x[rest] + inside, ends] if reverse else [ends, x[rest] + inside]
        x = torch.cat(parts)
        step *= 2
    return x


def segment_cummean(x: Tensor, sets: SetIndex) -> Tensor:
    """Averages each element and those before it in its set; see `segment_cumsum`."""
    total = segment_cumsum(x, sets)
    count = (sets.position + 1).view(-1, *[1] * (x.dim() - 1))
    return total / count.to(x.dtype)
