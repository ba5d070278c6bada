"""What an element hears of the other elements of its set."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch_geometric.nn.aggr import Aggregation

from ..ragged import (
    SetIndex,
    gather,
    segment_cummean,
    segment_matvec,
    segment_max,
    segment_mean,
    segment_outer,
    segment_softmax,
    segment_sum,
)
from .cell import SwarmCell


class Pooling(torch.nn.Module):
    """Pools the states of each set.

    Attributes:
        per_element: Whether the elements of a set hear different things. If not,
            the pooled rows are one per set, and so is the work done on them.
    """

    per_element: ClassVar[bool] = False

    def out_channels(self, hidden_channels: int) -> int:
        """The width of what is heard, for states of ``hidden_channels``."""
        return hidden_channels

    def forward(self, h: Tensor, sets: SetIndex) -> Tensor:
        """Maps ``[N, H]`` to ``[B, P]``, or ``[N, P]`` if :attr:`per_element`."""
        raise NotImplementedError


class MeanPooling(Pooling):
    """The mean of the set."""

    def forward(self, h: Tensor, sets: SetIndex) -> Tensor:
        """Maps ``[N, H]`` to ``[B, H]``."""
        return segment_mean(h, sets)


class SumPooling(Pooling):
    """The sum of the set."""

    def forward(self, h: Tensor, sets: SetIndex) -> Tensor:
        """Maps ``[N, H]`` to ``[B, H]``."""
        return segment_sum(h, sets)


class MaxPooling(Pooling):
    """The largest value in the set, channel by channel."""

    def forward(self, h: Tensor, sets: SetIndex) -> Tensor:
        """Maps ``[N, H]`` to ``[B, H]``."""
        return segment_max(h, sets)


class CausalPooling(Pooling):
    """The mean of the element itself and those before it in its set.

    The order is that of the input; sets must lie one after another.
    """

    per_element = True

    def forward(self, h: Tensor, sets: SetIndex) -> Tensor:
        """Maps ``[N, H]`` to ``[N, H]``."""
        return segment_cummean(h, sets)


class MapsPooling(Pooling):
    r"""A linear attention: elements write to a few slices of memory and read them.

    With :math:`h = [a \mid b \mid c]`, slice :math:`s` holds
    :math:`z_s = \sum_e \mathrm{softmax}_e(b_{e,s})\, a_e`, and element :math:`e`
    hears :math:`\sum_s c_{e,s} z_s`, of width :math:`H - 2S`.

    Args:
        num_slices: The number :math:`S` of slices.
    """

    per_element = True

    def __init__(self, num_slices: int = 4):
        super().__init__()
        self.num_slices = num_slices

    def out_channels(self, hidden_channels: int) -> int:
        """:math:`H - 2S`.

        Raises:
            ValueError: If the state is too narrow for the slices.
        """
        if hidden_channels <= 2 * self.num_slices:
            raise ValueError(
                f"'hidden_channels' must exceed twice the {self.num_slices} slices of "
                f"the pooling 'maps', got {hidden_channels}"
            )
        return hidden_channels - 2 * self.num_slices

    def forward(self, h: Tensor, sets: SetIndex) -> Tensor:
        """Maps ``[N, H]`` to ``[N, H - 2S]``."""
        slices = self.num_slices
        a, b, c = h.split([h.size(-1) - 2 * slices, slices, slices], dim=-1)
        z = segment_outer(segment_softmax(b, sets), a, sets)
        return segment_matvec(z.transpose(1, 2), c, sets)


class AggregationPooling(Pooling):
    """Any aggregation of PyG or of this package that keeps the width.

    Args:
        aggr: The aggregation.
    """

    def __init__(self, aggr: Aggregation):
        super().__init__()
        self.aggr = aggr

    def forward(self, h: Tensor, sets: SetIndex) -> Tensor:
        """Maps ``[N, H]`` to ``[B, H]``."""
        return self.aggr(h, sets.index, dim_size=sets.num_sets)


NAMED: dict[str, type[Pooling]] = {
    "mean": MeanPooling,
    "sum": SumPooling,
    "max": MaxPooling,
    "causal": CausalPooling,
    "maps": MapsPooling,
}


def resolve_pooling(pool: str | Pooling | Aggregation) -> Pooling:
    """Turns what a user writes as ``pool=`` into a pooling.

    Raises:
        ValueError: If it is none.
    """
    if isinstance(pool, Pooling):
        return pool
    if isinstance(pool, Aggregation):
        return AggregationPooling(pool)
    if pool in NAMED:
        return NAMED[pool]()
    raise ValueError(
        f"'pool' must be one of {list(NAMED)}, a Pooling or a PyG Aggregation, got "
        f"{pool!r}"
    )


def exchange_through(
    pool: Pooling, cell: SwarmCell, sets: SetIndex, h: Tensor
) -> Tensor:
    """What pooling the states ``h`` adds to the gates of each element, ``[N, 4H]``.

    Where all elements of a set hear the same, the product is taken once per set.
    """
    heard = cell.lin_p(pool(h, sets))
    return heard if pool.per_element else gather(heard, sets)
