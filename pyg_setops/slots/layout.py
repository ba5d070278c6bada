"""How the elements and slots of a batch lie while slots compete for elements."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from ..ragged import SetIndex, SizeGroup, gather, segment_sum, size_groups
from ..ragged.eager import is_eager, is_readable

# The rows of a group: more take the same time, and memory in proportion.
MAX_ROWS = 2048


@dataclass(frozen=True)
class Group:
    """Sets of one size and one number of slots: dense, without padding.

    Attributes:
        rows: Their elements, laid out.
        slots: Their slots, laid out.
        num_sets: How many they are.
        num_slots: The slots of each.
    """

    rows: slice
    slots: slice
    num_sets: int
    num_slots: int


@dataclass(frozen=True)
class Part:
    """Sets of any size with one number of slots, counted from its own start."""

    rows: slice
    slots: slice
    sets: SetIndex
    num_slots: int


@dataclass(frozen=True)
class Layout:
    """A batch of sets and their slots.

    Where values can be read, sets are sorted by their number of slots, then by size,
    and those without elements come last.

    Attributes:
        sets: The sets, as they were given.
        num_slots: The slots of each set: one number, or ``[B]``.
        total_slots: The number :math:`S` of all slots.
        order: The elements as they are laid out; ``None`` for as given.
        slot_order: The slots as they are laid out; ``None`` for as given.
        parts: All sets with elements, by their number of slots.
        groups: The parts divided by size, where a kernel call for each pays.
        slot_sets: The set of each slot, laid out, where their numbers differ.
        inverse: The inverse of ``order``.
        slot_inverse: The inverse of ``slot_order``.
    """

    sets: SetIndex
    num_slots: int | Tensor
    total_slots: int
    order: Tensor | None
    slot_order: Tensor | None
    parts: list[Part]
    groups: list[Group] | None
    slot_sets: SetIndex | None
    inverse: Tensor | None
    slot_inverse: Tensor | None

    def of_elements(self, x: Tensor) -> list[Tensor]:
        """Each group's part of elements ``[N, C]``.

        That is ``[size, C]`` for one set, ``[num_sets, size, C]`` for more.
        """
        assert self.groups is not None
        parts = x.split([group.rows.stop - group.rows.start for group in self.groups])
        return self._by_set(parts)

    def of_slots(self, q: Tensor) -> list[Tensor]:
        """Each group's part of ``[S, H, *]``, as above: ``K H`` rows for each set."""
        assert self.groups is not None
        counts = [group.slots.stop - group.slots.start for group in self.groups]
        rows = q[: sum(counts)].flatten(0, 1)
        return self._by_set(rows.split([count * q.size(1) for count in counts]))

    def _by_set(self, parts: tuple[Tensor, ...]) -> list[Tensor]:
        assert self.groups is not None
        return [
            part if group.num_sets == 1 else part.unflatten(0, (group.num_sets, -1))
            for group, part in zip(self.groups, parts, strict=True)
        ]

    def lay_slots(self, slots: Tensor) -> Tensor:
        """Brings ``[S, *]`` from the order of the batch into the layout."""
        return _take(slots, self.slot_order)

    def slots_back(self, slots: Tensor) -> Tensor:
        """Undoes :meth:`lay_slots`."""
        return _take(slots, self.slot_inverse)

    def elements_back(self, rows: Tensor) -> Tensor:
        """Brings ``[N, *]`` from the layout into the order of the batch."""
        return _take(rows, self.inverse)

    def pad_slots(self, parts: list[Tensor], like: Tensor) -> Tensor:
        """Joins the slots of all parts, with zeros for those of empty sets."""
        rest = self.total_slots - sum(
            part.sets.num_sets * part.num_slots for part in self.parts
        )
        if len(parts) == 1 and self.order is None:
            return parts[0]
        return torch.cat([*parts, like.new_zeros(rest, *like.shape[1:])])

    def slots_of_sets(self) -> SetIndex:
        """The set of each slot, in the order of the batch."""
        counts, sets = self.num_slots, self.sets
        number = torch.arange(sets.num_sets, device=sets.sizes.device)
        index = number.repeat_interleave(counts, output_size=self.total_slots)
        return SetIndex(index, None, sets.num_sets, self.total_slots, is_sorted=True)

    def total(self, values: Tensor) -> Tensor:
        """Gives each slot the sum of ``[S, *]`` over the slots of its set."""
        if isinstance(self.num_slots, int):
            each = values.unflatten(0, (self.sets.num_sets, self.num_slots))
            return each.sum(1, keepdim=True).expand_as(each).flatten(0, 1)
        assert self.slot_sets is not None
        return gather(segment_sum(values, self.slot_sets), self.slot_sets)


def lay_out(sets: SetIndex, num_slots: int | Tensor) -> Layout:
    """Lays out a batch; a number of slots for each set is read by the host."""
    kernels = is_eager() and is_readable(sets.sizes)
    slot_sets = None
    if isinstance(num_slots, int):
        total = sets.num_sets * num_slots
        if not kernels:
            part = Part(slice(None), slice(None), sets, num_slots)
            return Layout(
                sets, num_slots, total, None, None, [part], None, None, None, None
            )
        counts = torch.full_like(sets.sizes, num_slots)
    else:
        counts, total = num_slots, int(num_slots.sum())
    grouped = size_groups(sets, MAX_ROWS, counts)
    set_order = torch.cat([grouped.numbers, (sets.sizes == 0).nonzero().squeeze(1)])
    if not isinstance(num_slots, int):
        index = set_order.repeat_interleave(counts[set_order], output_size=total)
        slot_sets = SetIndex(index, None, sets.num_sets, total)
    groups = _groups(grouped.groups, num_slots)
    slot_order = _slot_order(counts, set_order, total)
    return Layout(
        sets,
        num_slots,
        total,
        grouped.order,
        slot_order,
        _parts(groups, counts.device),
        groups if kernels else None,
        slot_sets,
        _inverse(grouped.order),
        _inverse(slot_order),
    )


def _groups(groups: list[SizeGroup], num_slots: int | Tensor) -> list[Group]:
    result, start = [], 0
    for group in groups:
        num_sets = group.numbers.numel()
        each = num_slots
        if not isinstance(each, int):
            each = int(each[group.numbers[0]])
        end = start + num_sets * each
        result.append(Group(group.rows, slice(start, end), num_sets, each))
        start = end
    return result


def _parts(groups: list[Group], device: torch.device) -> list[Part]:
    parts = []
    for num_slots, run in groupby(groups, lambda group: group.num_slots):
        members = list(run)
        rows = slice(members[0].rows.start, members[-1].rows.stop)
        slots = slice(members[0].slots.start, members[-1].slots.stop)
        sizes = [
            (group.rows.stop - group.rows.start) // group.num_sets
            for group in members
            for _ in range(group.num_sets)
        ]
        ptr = torch.tensor([0, *sizes], device=device).cumsum(0)
        sets = SetIndex(None, ptr, len(sizes), rows.stop - rows.start)
        parts.append(Part(rows, slots, sets, num_slots))
    return parts


def _slot_order(counts: Tensor, set_order: Tensor, total: int) -> Tensor:
    start = counts.cumsum(0) - counts
    laid = counts[set_order]
    shift = start[set_order] - (laid.cumsum(0) - laid)
    number = torch.arange(total, device=counts.device)
    return number + shift.repeat_interleave(laid, output_size=total)


def _inverse(order: Tensor) -> Tensor:
    number = torch.arange(order.numel(), device=order.device)
    return torch.empty_like(order).index_copy_(0, order, number)


def _take(rows: Tensor, order: Tensor | None) -> Tensor:
    return rows if order is None else rows.index_select(0, order)
