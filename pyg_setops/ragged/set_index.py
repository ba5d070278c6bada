"""The layout of a ragged batch, validated once and described once."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric import Index

from .eager import is_readable


class SetIndex:
    r"""Which of :math:`B` sets each of :math:`N` elements belongs to.

    Build it with :meth:`build`; operators and primitives read it and never look at
    ``index`` or ``ptr`` themselves. What can be derived is derived on first use.

    Attributes:
        num_sets: :math:`B`.
        num_elements: :math:`N`.

    Example:
        >>> import torch
        >>> sets = SetIndex.build(torch.tensor([0, 2, 0]), dim_size=3)
        >>> sets.sizes.tolist(), sets.is_sorted
        ([2, 0, 1], False)
    """

    def __init__(
        self,
        index: Tensor | None,
        ptr: Tensor | None,
        num_sets: int,
        num_elements: int,
        is_sorted: bool | None = None,
    ):
        self._index = index
        self._ptr = ptr
        self._sizes: Tensor | None = None
        self._is_sorted = True if ptr is not None else is_sorted
        self.num_sets = num_sets
        self.num_elements = num_elements

    @classmethod
    def build(
        cls,
        index: Tensor | None = None,
        ptr: Tensor | None = None,
        dim_size: int | None = None,
        num_elements: int | None = None,
        device: torch.device | None = None,
    ) -> SetIndex:
        r"""Validates a layout in PyG's form and describes it.

        Values are checked where that is free (CPU, eager). On other devices and
        under ``torch.compile`` nothing waits for the device, provided ``dim_size``
        or ``ptr`` is given. With neither ``index`` nor ``ptr``, all elements form
        one set.

        Args:
            index: The set of each element, :math:`[N]`, in any order.
            ptr: The boundaries of sets that lie one after another,
                :math:`[B + 1]`. If ``index`` is given too, both must agree.
            dim_size: The number of sets :math:`B` (default: the largest index
                plus one, or the length of ``ptr`` minus one).
            num_elements: The number of elements :math:`N`, as their tensor says
                it (default: taken from ``index`` or ``ptr``).
            device: Where the elements are, needed only with neither ``index`` nor
                ``ptr``.

        Raises:
            TypeError: If ``index`` or ``ptr`` is not an integer vector.
            ValueError: If values are negative, out of range, not monotone, or do
                not match ``dim_size``, ``num_elements`` or each other.
        """
        if index is not None:
            index = _integer_vector("index", index)
            if num_elements is None:
                num_elements = index.numel()
            elif index.numel() != num_elements:
                raise ValueError(
                    f"'index' must have one entry per element: expected "
                    f"{num_elements}, got {index.numel()}"
                )
        if ptr is not None:
            ptr = _integer_vector("ptr", ptr)
            return cls._from_ptr(index, ptr, dim_size, num_elements)
        if index is not None:
            return cls._from_index(index, dim_size)
        if num_elements is None:
            raise ValueError("expected one of 'index', 'ptr' and 'num_elements'")
        if dim_size not in (None, 1):
            raise ValueError(
                f"'dim_size' must be 1 where neither 'index' nor 'ptr' is given, "
                f"got {dim_size}"
            )
        ptr = torch.tensor([0, num_elements], device=device)
        return cls(None, ptr, 1, num_elements)

    @classmethod
    def _from_index(cls, index: Tensor, dim_size: int | None) -> SetIndex:
        if dim_size is None:
            dim_size = int(index.max()) + 1 if index.numel() > 0 else 0
        if is_readable(index) and index.numel() > 0:
            low, high = (int(value) for value in index.aminmax())
            if low < 0 or high >= dim_size:
                raise ValueError(
                    f"'index' must lie in [0, {dim_size}) for {dim_size} sets "
                    f"('dim_size'), got values in [{low}, {high}]"
                )
        return cls(index, None, dim_size, index.numel())

    @classmethod
    def _from_ptr(
        cls,
        index: Tensor | None,
        ptr: Tensor,
        dim_size: int | None,
        num_elements: int | None,
    ) -> SetIndex:
        if ptr.numel() == 0:
            raise ValueError(
                "'ptr' must have one entry more than there are sets, got 0"
            )
        num_sets = ptr.numel() - 1
        if dim_size is not None and dim_size != num_sets:
            raise ValueError(
                f"'ptr' of length {ptr.numel()} describes {num_sets} sets, but "
                f"'dim_size' is {dim_size}"
            )
        if num_elements is None:
            num_elements = int(ptr[-1])
        sets = cls(index, ptr, num_sets, num_elements)
        if is_readable(ptr):
            if int(ptr[0]) != 0 or int(ptr[-1]) != num_elements:
                raise ValueError(
                    f"'ptr' must run from 0 to the number of elements "
                    f"({num_elements}), got {int(ptr[0])} to {int(ptr[-1])}"
                )
            if bool((sets.sizes < 0).any()):
                raise ValueError("'ptr' must not decrease")
            if index is not None and not torch.equal(index, sets._index_from_ptr()):
                raise ValueError("'index' and 'ptr' describe different sets")
        return sets

    @property
    def index(self) -> Tensor:
        """The set of each element, ``[N]`` int64."""
        if self._index is None:
            self._index = self._index_from_ptr()
        return self._index

    def _index_from_ptr(self) -> Tensor:
        number = torch.arange(self.num_sets, device=self.sizes.device)
        return number.repeat_interleave(self.sizes, output_size=self.num_elements)

    @property
    def ptr(self) -> Tensor:
        """The boundaries of the sets, ``[B + 1]``.

        Raises:
            ValueError: If the elements of a set do not lie together.
        """
        if self._ptr is None:
            self.require_sorted("'ptr'")
            self._ptr = torch.cat([self.sizes.new_zeros(1), self.sizes.cumsum(0)])
        return self._ptr

    @property
    def has_ptr(self) -> bool:
        """Whether the boundaries are known already, at no cost."""
        return self._ptr is not None

    @property
    def sizes(self) -> Tensor:
        """The number of elements of each set, ``[B]`` int64."""
        if self._sizes is None:
            if self._ptr is not None:
                self._sizes = self._ptr.diff()
            else:
                ones = torch.ones_like(self.index)
                self._sizes = ones.new_zeros(self.num_sets).index_add(
                    0, self.index, ones
                )
        return self._sizes

    @property
    def is_sorted(self) -> bool:
        """Whether sets lie one after another (waits for the device to find out)."""
        if self._is_sorted is None:
            index = self.index
            self._is_sorted = bool((index[1:] >= index[:-1]).all())
        return self._is_sorted

    @property
    def max_size(self) -> int:
        """An upper bound of the largest set.

        Exact on CPU; elsewhere, and while compiling, the number of elements, since
        the exact value would make the host wait for the device.
        """
        if self.num_sets > 0 and is_readable(self.sizes):
            return int(self.sizes.max())
        return self.num_elements

    @property
    def position(self) -> Tensor:
        """The place of each element inside its set, ``[N]`` (sorted sets only)."""
        number = torch.arange(self.num_elements, device=self.index.device)
        return number - self.ptr[self.index]

    def spans(self, min_size: int = 1) -> list[tuple[int, int, int]]:
        """``(set, start, end)`` of every set of at least ``min_size`` elements.

        For sorted sets on CPU, where a kernel call for each set pays.
        """
        numbers = (self.sizes >= min_size).nonzero().squeeze(1)
        ends = self.ptr[1:][numbers]
        starts = ends - self.sizes[numbers]
        return list(zip(numbers.tolist(), starts.tolist(), ends.tolist(), strict=True))

    def require_sorted(self, what: str) -> None:
        """Fails, naming ``what`` needs it, if the sets are interleaved.

        A ValueError where values can be read at no cost; elsewhere, an assertion
        inside the computation, which nothing waits for.
        """
        if self._is_sorted:
            return
        message = (
            f"{what} needs the elements of a set to lie one after another, but "
            f"'index' is not sorted; sort the elements by it first"
        )
        if not is_readable(self.index):
            torch._assert_async((self.index[1:] >= self.index[:-1]).all(), message)
        elif not self.is_sorted:
            raise ValueError(message)

    def sorted(self) -> tuple[SetIndex, Tensor | None]:
        """The same sets, laid one after another, and the order that does it.

        The order is stable, and ``None`` where the sets are known to be sorted.
        """
        if self._is_sorted or (is_readable(self.index) and self.is_sorted):
            return self, None
        order = self.index.argsort(stable=True)
        sets = SetIndex(
            self.index[order], None, self.num_sets, self.num_elements, is_sorted=True
        )
        return sets, order

    def flip(self) -> SetIndex:
        """The sets of the elements in the opposite order, the last set first."""
        index, ptr = self._index, self._ptr
        return SetIndex(
            None if index is None else self.num_sets - 1 - index.flip(0),
            None if ptr is None else self.num_elements - ptr.flip(0),
            self.num_sets,
            self.num_elements,
            is_sorted=self._is_sorted,
        )

    def repeat(self, times: int) -> SetIndex:
        """``times`` copies of the batch, one after another, as one batch."""
        if times == 1:
            return self
        offset = torch.arange(times, device=self.index.device)[:, None]
        index = (self.index + offset * self.num_sets).flatten()
        return SetIndex(
            index,
            None,
            self.num_sets * times,
            self.num_elements * times,
            is_sorted=self._is_sorted,
        )

    def __repr__(self) -> str:
        return f"SetIndex(num_sets={self.num_sets}, num_elements={self.num_elements})"


def _integer_vector(name: str, tensor: Tensor) -> Tensor:
    if tensor.dim() != 1:
        raise TypeError(f"'{name}' must be a vector, got shape {list(tensor.shape)}")
    if tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool:
        raise TypeError(f"'{name}' must hold integers, got {tensor.dtype}")
    if isinstance(tensor, Index):  # PyG's subclass would slow every kernel after it
        tensor = tensor.as_tensor()
    return tensor.long()
