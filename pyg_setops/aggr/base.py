"""The PyG face that every aggregation of the package shares."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.nn.aggr import Aggregation

from ..lazy import LazyChannels
from ..ragged import SetIndex, fold, unfold
from ..ragged.fold import element_count


class SetAggregation(LazyChannels, Aggregation):
    r"""An :class:`~torch_geometric.nn.aggr.Aggregation` over ragged sets.

    A subclass creates its parts in :meth:`create`, ends its ``__init__`` with
    :meth:`start`, and implements :meth:`aggregate` on rows ``[N, in_channels]`` and a
    :class:`~pyg_setops.ragged.SetIndex`; everything that PyG sends is dealt with
    here: index and ptr, unsorted index, more dimensions, empty sets, lazy channels.

    Args:
        in_channels: The input width, or -1 to take it from the first input.
        out_channels: The output width; ``None`` keeps the input's, as SAGEConv and
            GENConv expect of an aggregation.

    Attributes:
        out_channels: The output width, -1 while unknown.
    """

    def __init__(self, in_channels: int = -1, out_channels: int | None = None):
        super().__init__()
        if out_channels is not None and out_channels < 1:
            raise ValueError(f"'out_channels' must be positive, got {out_channels}")
        self.in_channels = in_channels
        self.out_channels = in_channels if out_channels is None else out_channels

    def create(self, in_channels: int, out_channels: int) -> None:
        """Creates submodules and parameters for these widths."""
        raise NotImplementedError

    def build(self, in_channels: int) -> None:
        """Creates the parts; see :class:`~pyg_setops.lazy.LazyChannels`."""
        kept = self.out_channels == -1
        self.create(in_channels, in_channels if kept else self.out_channels)

    def initialize(self, in_channels: int) -> None:
        """Gives every parameter its shape and first value, in place."""
        super().initialize(in_channels)
        if self.out_channels == -1:
            self.out_channels = in_channels

    def aggregate(self, x: Tensor, sets: SetIndex) -> Tensor:
        """Maps elements ``[N, in_channels]`` to sets ``[B, out_channels]``."""
        raise NotImplementedError

    def forward(
        self,
        x: Tensor,
        index: Tensor | None = None,
        ptr: Tensor | None = None,
        dim_size: int | None = None,
        dim: int = -2,
    ) -> Tensor:
        r"""Aggregates the elements of each set.

        Args:
            x: Elements on dimension ``dim``, channels last: ``[N, C]``,
                ``[*, N, C]`` (``dim=-2``) or ``[N, *, C]`` (``dim=0``).
            index: The set of each element, in any order.
            ptr: The boundaries of sets that lie one after another.
            dim_size: The number of sets.
            dim: The dimension of the elements.

        Returns:
            ``x`` with the sets in the place of the elements and ``out_channels``
            channels; zeros for empty sets.

        Raises:
            TypeError: If ``index`` or ``ptr`` does not hold integers.
            ValueError: If the layout is not one (see
                :meth:`pyg_setops.ragged.SetIndex.build`), or ``x`` has not the width
                that the layer has.
        """
        rows, sets = self.read(x, index, ptr, dim_size, dim)
        out = self.aggregate(rows, sets)
        out = torch.where((sets.sizes > 0)[:, None], out, 0)
        return unfold(out, x, dim)

    def read(
        self,
        x: Tensor,
        index: Tensor | None,
        ptr: Tensor | None,
        dim_size: int | None,
        dim: int,
    ) -> tuple[Tensor, SetIndex]:
        """Checks what PyG sends, and lays it out as rows and their sets."""
        count = element_count(x, dim)
        sets = SetIndex.build(index, ptr, dim_size, count, x.device)
        rows, sets = fold(x, sets, dim)
        self.see(rows)
        return rows, sets

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.in_channels}, {self.out_channels})"
