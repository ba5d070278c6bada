"""Sets of equal size, side by side: dense batches without padding."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .eager import read
from .set_index import SetIndex


@dataclass(frozen=True)
class SizeGroup:
    """Some sets of one size.

    Attributes:
        rows: Their elements, in the order of the groups.
        numbers: Their numbers in the batch, ``[G]``.
        size: The elements of each.
    """

    rows: slice
    numbers: Tensor
    size: int

    def view(self, x: Tensor) -> Tensor:
        """The elements of the group, ``[G, size, *]``, of all elements ``[N, *]``."""
        return x[self.rows].unflatten(0, (self.numbers.numel(), self.size))


@dataclass(frozen=True)
class SizeGroups:
    """A batch, laid out by size.

    Attributes:
        order: The elements in the order of the groups, ``[N]``.
        sets: The layout of the elements in that order; sets keep their numbers.
        groups: The groups, by ascending size; none of empty sets.
        numbers: The sets of all groups, one group after another.
    """

    order: Tensor
    sets: SetIndex
    groups: list[SizeGroup]
    numbers: Tensor


def size_groups(sets: SetIndex, max_rows: int, key: Tensor | None = None) -> SizeGroups:
    """Groups sets of equal size, so that each group is a dense ``[G, size, *]``.

    A row of a set is then added to its elements by broadcasting, and a set is summed
    along a dimension: nothing is gathered, scattered or padded.

    Args:
        sets: The layout, in any order.
        max_rows: The elements of a group, unless it is one larger set.
        key: A number for each set, ``[B]``, that is not negative; the sets of a group
            share it, and groups are sorted by it first.

    Cost:
        :math:`O(N + B log B)`. The host reads the sizes, so this is for the CPU.

    Example:
        >>> import torch
        >>> sets = SetIndex.build(torch.tensor([0, 0, 1, 2, 2, 4]), dim_size=5)
        >>> [(g.size, g.numbers.tolist()) for g in size_groups(sets, 99).groups]
        [(1, [1, 4]), (2, [0, 2])]
    """
    ordered, order = sets.sorted()
    kind = ordered.sizes
    if key is not None:
        kind = kind + key * (sets.num_elements + 1)
    kind, numbers = kind.sort(stable=True)
    sizes = ordered.sizes[numbers]
    shift = ordered.ptr[numbers] - (sizes.cumsum(0) - sizes)
    by_size = torch.arange(sets.num_elements, device=sizes.device)
    by_size = by_size + shift.repeat_interleave(sizes, output_size=sets.num_elements)
    order = by_size if order is None else order[by_size]
    grouped = SetIndex(sets.index[order], None, sets.num_sets, sets.num_elements)
    groups = _groups(kind, sizes, numbers, max_rows)
    return SizeGroups(order, grouped, groups, numbers[sizes > 0])


def _groups(
    kind: Tensor, sizes: Tensor, numbers: Tensor, max_rows: int
) -> list[SizeGroup]:
    groups, start = [], 0
    counts = kind.unique_consecutive(return_counts=True)[1]
    runs = numbers.split(read(counts))
    for size, run in zip(read(sizes[counts.cumsum(0) - 1]), runs, strict=True):
        if size == 0:
            continue
        for part in run.split(max(1, max_rows // size)):
            end = start + size * part.numel()
            groups.append(SizeGroup(slice(start, end), part, size))
            start = end
    return groups
