"""Pairs of elements of the same set, for attention and order-2 operators."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

import torch
from torch import Tensor

from .set_index import SetIndex


def pair_index(sets: SetIndex, loops: bool = True) -> tuple[Tensor, Tensor]:
    r"""Lists all ordered pairs of elements of the same set.

    Args:
        sets: The layout, in any order.
        loops: Whether an element is paired with itself.

    Returns:
        ``(source, target)``, two vectors of :math:`P = \sum_s n_s^2` element
        numbers (less :math:`N` without loops), sorted by target, then source.

    Cost:
        :math:`O(P)`. The host waits for the device once, to learn :math:`P`.
    """
    ordered, order = sets.sorted()
    source, target = _expand(ordered, 0, ordered.num_elements)
    if not loops:
        different = source != target
        source, target = source[different], target[different]
    if order is not None:
        source, target = order[source], order[target]
        by_target = target.argsort(stable=True)
        source, target = source[by_target], target[by_target]
    return source, target


def pair_blocks(sets: SetIndex, max_pairs: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Walks :func:`pair_index` in blocks of at most ``max_pairs`` pairs.

    Every block holds all pairs of its targets, so that a softmax over the partners
    of an element never crosses a block; a target with more partners than
    ``max_pairs`` is a block of its own.

    Args:
        sets: The layout, sorted.
        max_pairs: The bound of a block.

    Yields:
        ``(source, target)`` of each block; together exactly ``pair_index(sets)``.

    Raises:
        ValueError: If the elements of a set do not lie together.
    """
    sets.require_sorted("'pair_blocks'")
    ends = sets.sizes[sets.index].cumsum(0).tolist()
    start = 0
    while start < sets.num_elements:
        before = ends[start - 1] if start > 0 else 0
        end = max(bisect_right(ends, before + max_pairs), start + 1)
        yield _expand(sets, start, end)
        start = end


def _expand(sets: SetIndex, start: int, end: int) -> tuple[Tensor, Tensor]:
    """All pairs whose target is in ``[start, end)``, in sorted sets."""
    index = sets.index[start:end]
    partners = sets.sizes[index]
    target = torch.arange(start, end, device=index.device).repeat_interleave(partners)
    first_pair = partners.cumsum(0) - partners
    shift = sets.ptr[index] - first_pair
    pair = torch.arange(target.numel(), device=index.device)
    return pair + shift[target - start], target
