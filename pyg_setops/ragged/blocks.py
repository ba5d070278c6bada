"""Blocks of whole sets that fit a cache."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import torch

from .set_index import SetIndex


@dataclass(frozen=True)
class Block:
    """A run of whole sets.

    Attributes:
        rows: Its elements in the batch.
        numbers: Its sets in the batch.
        sets: Its layout, counted from its own start.
    """

    rows: slice
    numbers: slice
    sets: SetIndex


def blocks(sets: SetIndex, max_rows: int, wait: bool = False) -> list[Block]:
    """Cuts sorted sets into blocks of at most ``max_rows`` elements.

    An operator that iterates runs all its iterations on one block while its state is
    in cache, and keeps temporary memory bounded. A set larger than ``max_rows`` is a
    block of its own. On a device other than the CPU the whole batch is one block:
    there are no such caches, and cutting would make the host wait. Where memory
    matters more, ``wait`` cuts there too.

    Raises:
        ValueError: If the elements of a set do not lie together, on CPU.
    """
    on_device = sets.index.device.type != "cpu"
    if (on_device and not wait) or torch.compiler.is_compiling():
        whole = Block(slice(0, sets.num_elements), slice(0, sets.num_sets), sets)
        return [whole]
    ptr = sets.ptr.tolist()
    result, first = [], 0
    while first < sets.num_sets:
        last = max(bisect_right(ptr, ptr[first] + max_rows) - 1, first + 1)
        result.append(_block(sets, ptr, first, last))
        first = last
    return result


def _block(sets: SetIndex, ptr: list[int], first: int, last: int) -> Block:
    start, end = ptr[first], ptr[last]
    inner = SetIndex(
        sets.index[start:end] - first,
        sets.ptr[first : last + 1] - start,
        last - first,
        end - start,
    )
    return Block(slice(start, end), slice(first, last), inner)
