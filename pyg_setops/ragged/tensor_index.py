"""The layout of tensors of any order over ragged sets, and the maps between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .eager import is_readable
from .segment import gather, segment_sum
from .set_index import SetIndex

#: Which axis of one tensor each axis of another follows.
Axes = tuple[int, ...]


class TensorIndex:
    r"""Where the entries of an order-:math:`k` tensor over each set are.

    Over sets of sizes :math:`n_b` it has :math:`\sum_b n_b^k` rows, set after set,
    row-major inside a set. Order 1 are the elements, order 2 their pairs, order 0 the
    sets themselves. Everything is derived on first use and kept: layers that work on
    the same batch share one.

    Maps between orders are all of one form: a row :math:`(c_0, \dots, c_{m-1})` of an
    order-:math:`m` tensor follows the row :math:`(c_{a_0}, \dots, c_{a_{k-1}})` of an
    order-:math:`k` tensor. :meth:`gather` along it takes diagonals, permutes axes and
    broadcasts; :meth:`scatter` is its transpose, sums over axes and fills diagonals.

    Args:
        sizes: The number of elements of each set, ``[B]``.
        num_rows: The rows of tensors of some orders, where they are known: reading
            them off the sizes makes the host wait for the device.
        order: The elements in the order of the sets, or ``None`` where they lie so.

    Example:
        >>> import torch
        >>> tensors = TensorIndex.build(ptr=torch.tensor([0, 2, 3]))
        >>> pairs = torch.tensor([[1.0], [2.0], [3.0], [4.0], [5.0]])
        >>> tensors.gather(pairs, (0, 0), order=1).flatten()  # the diagonals
        tensor([1., 4., 5.])
        >>> tensors.scatter(pairs, (0,), order=2).flatten()  # sums over the last axis
        tensor([3., 7., 5.])
    """

    def __init__(
        self,
        sizes: Tensor,
        num_rows: dict[int, int] | None = None,
        order: Tensor | None = None,
    ):
        self.sizes = sizes
        self.order = order
        self.num_sets = sizes.numel()
        self._num_rows = {0: self.num_sets, **(num_rows or {})}
        self._rows: dict[int, SetIndex] = {}
        self._axes: dict[int, list[Tensor]] = {}
        self._maps: dict[tuple[Axes, int], SetIndex] = {}
        self._many: dict[tuple[Axes, ...], SetIndex] = {}
        self._patterns: dict[int, SetIndex] = {}

    @classmethod
    def build(
        cls,
        index: Tensor | None = None,
        ptr: Tensor | None = None,
        dim_size: int | None = None,
        num_elements: int | None = None,
        device: torch.device | None = None,
    ) -> TensorIndex:
        """From the layout of the elements, as :meth:`SetIndex.build` takes it.

        With an unsorted ``index``, tensors of order 1 are in its order; those of higher
        order lie set by set, the elements of a set in the order in which they came.
        """
        return cls.of(SetIndex.build(index, ptr, dim_size, num_elements, device))

    @classmethod
    def of(cls, sets: SetIndex) -> TensorIndex:
        """Of tensors over the elements of ``sets``."""
        ordered, order = sets.sorted()
        tensors = cls(ordered.sizes, {1: ordered.num_elements}, order)
        tensors._rows[1] = ordered
        return tensors

    @classmethod
    def of_pairs(cls, pairs: SetIndex) -> TensorIndex:
        """Of tensors over the sets whose pairs ``pairs`` lists, all of them.

        Raises:
            ValueError: If the number of rows of a set is not a square.
        """
        counts = pairs.sizes
        sizes = counts.double().sqrt().round().long()
        message = (
            "'index' or 'ptr' must list all n * n pairs of the n elements of a set"
        )
        if is_readable(counts):
            wrong = (sizes * sizes != counts).nonzero().flatten().tolist()
            if wrong:
                raise ValueError(
                    f"{message}, got {int(counts[wrong[0]])} rows for set {wrong[0]}"
                )
        else:
            torch._assert_async((sizes * sizes == counts).all(), message)
        tensors = cls(sizes, {2: pairs.num_elements})
        tensors._rows[2] = pairs
        return tensors

    def num_rows(self, order: int) -> int:
        """The rows of a tensor of this order (may wait for the device)."""
        if order not in self._num_rows:
            # Not an int: to `torch.export` it is a symbol.
            count: Any = (self.sizes**order).sum().item()
            torch._check(count >= 0)
            self._num_rows[order] = count
        return self._num_rows[order]

    def expect(self, x: Tensor, order: int) -> None:
        """Checks that ``x`` has the rows of a tensor of this order.

        Raises:
            ValueError: If it has not, and they are known or can be read.
        """
        if order not in self._num_rows and not is_readable(self.sizes):
            self._num_rows[order] = x.size(0)
        elif x.size(0) != self.num_rows(order):
            raise ValueError(
                f"'x' must have {self.num_rows(order)} rows, as a tensor of order "
                f"{order} over these {self.num_sets} sets, got {x.size(0)}"
            )

    def rows(self, order: int) -> SetIndex:
        """The set of each row of a tensor of this order."""
        if order not in self._rows:
            ends = (self.sizes**order).cumsum(0)
            ptr = torch.cat([ends.new_zeros(1), ends])
            self._rows[order] = SetIndex(None, ptr, self.num_sets, self.num_rows(order))
        return self._rows[order]

    def axes(self, order: int) -> list[Tensor]:
        """Which element of its set each axis of each row is, ``order`` vectors."""
        if order not in self._axes:
            rows = self.rows(order)
            rest, size = rows.position, self.sizes[rows.index]
            axes = []
            for _ in range(order - 1):
                quotient = rest.div(size, rounding_mode="floor")
                axes.append(rest - quotient * size)
                rest = quotient
            self._axes[order] = [rest, *reversed(axes)][:order]
        return self._axes[order]

    def map(self, axes: Axes, order: int) -> SetIndex:
        """Which row of a tensor of order ``len(axes)`` each row of ``order`` follows.

        Args:
            axes: The axis of the latter that each axis of the former is.
            order: The order of the latter.
        """
        if axes == ():
            return self.rows(order)
        key = axes, order
        if key not in self._maps:
            rows, places = self.rows(order), self.axes(order)
            size = self.sizes[rows.index]
            place = places[axes[0]]
            for axis in axes[1:]:
                place = place * size + places[axis]
            self._maps[key] = SetIndex(
                self.rows(len(axes)).ptr[rows.index] + place,
                None,
                self.num_rows(len(axes)),
                rows.num_elements,
                # Each row is followed by those that have it as their first axes.
                is_sorted=True if axes == tuple(range(len(axes))) else None,
            )
        return self._maps[key]

    def gather(self, x: Tensor, axes: Axes, order: int) -> Tensor:
        """Gives every row of a tensor of ``order`` the row of ``x`` that it follows."""
        return x if axes == tuple(range(order)) else gather(x, self.map(axes, order))

    def scatter(self, x: Tensor, axes: Axes, order: int) -> Tensor:
        """Adds every row of ``x``, of ``order``, to the row that it follows."""
        if axes == tuple(range(order)):
            return x
        return segment_sum(x, self.map(axes, order))

    def diagonals(self, x: Tensor, many: tuple[Axes, ...], order: int) -> Tensor:
        """Several gathers of one order, side by side: ``[rows, len(many) * C]``."""
        if many == (tuple(range(order)),):
            return x
        rows = gather(x, self._together(many, order))
        return rows.view(self.num_rows(order), len(many) * x.size(1))

    def add_diagonals_(
        self, total: Tensor, x: Tensor, many: tuple[Axes, ...], order: int
    ) -> Tensor:
        """The transpose of :meth:`diagonals`, added to what ``total`` holds."""
        rows = x.reshape(-1, total.size(1))
        return total.index_add_(0, self._together(many, order).index, rows)

    def _together(self, many: tuple[Axes, ...], order: int) -> SetIndex:
        """The maps of several gathers, those of a row one after another."""
        if many not in self._many:
            maps = [self.map(axes, order) for axes in many]
            index = torch.stack([each.index for each in maps], dim=1).flatten()
            count = len(many) * maps[0].num_elements
            self._many[many] = SetIndex(index, None, maps[0].num_sets, count)
        return self._many[many]

    def pair_rows(self, first: Tensor, second: Tensor) -> Tensor:
        """Which rows of a tensor of order 2 these pairs of elements have.

        Args:
            first: The elements that are the first axis, by their numbers in the batch.
            second: The elements of the same sets that are the second.

        Raises:
            ValueError: If the elements of a set do not lie together.
        """
        if self.order is not None:
            raise ValueError("pairs of elements need sets that lie one after another")
        rows = self.rows(1)
        number, start = rows.index[first], self.rows(2).ptr
        place = rows.position[first] * self.sizes[number] + rows.position[second]
        return start[number] + place

    def patterns(self, order: int) -> SetIndex:
        """The set and the pattern of equality of each row of a tensor of this order.

        The patterns are the partitions of the axes by equal elements, numbered in
        lexicographic order: of order 2, the diagonal is 0 and the rest 1. A set has as
        many rows here as there are partitions.
        """
        if order not in self._patterns:
            rows, axes = self.rows(order), self.axes(order)
            number = torch.zeros_like(rows.index)
            labels: list[Tensor] = []
            blocks = [0]  # of each partition of the axes so far
            for axis in range(order):
                label = number.new_tensor(blocks)[number]
                for before in reversed(range(axis)):
                    same = axes[before] == axes[axis]
                    label = torch.where(same, labels[before], label)
                number = number.new_tensor(_starts(blocks))[number] + label
                labels.append(label)
                blocks = [max(b, new + 1) for b in blocks for new in range(b + 1)]
            self._patterns[order] = SetIndex(
                rows.index * len(blocks) + number,
                None,
                self.num_sets * len(blocks),
                rows.num_elements,
            )
        return self._patterns[order]

    def repeat(self, times: int) -> TensorIndex:
        """``times`` copies of the batch, one after another, as one batch."""
        num_rows = {order: times * count for order, count in self._num_rows.items()}
        order = self.order
        if order is not None:
            offset = torch.arange(times, device=order.device)[:, None] * order.numel()
            order = (order + offset).flatten()
        return TensorIndex(self.sizes.repeat(times), num_rows, order)

    def __repr__(self) -> str:
        return f"TensorIndex(num_sets={self.num_sets})"


def _starts(blocks: Sequence[int]) -> list[int]:
    """The number of the first partition that extends each, by one more axis."""
    starts = [0]
    for count in blocks[:-1]:
        starts.append(starts[-1] + count + 1)
    return starts
