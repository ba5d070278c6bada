r"""How slots read the elements that they win: two ways to the same softmax.

With normalised elements :math:`x`, keys are :math:`W_k (\gamma x + \beta) + b_k` and
values :math:`W_v (\gamma x + \beta) + b_v`. A :class:`FoldedReader` never computes
them: it takes the maps to the slots, whose queries meet :math:`x` itself. A
:class:`ProjectedReader` computes them once, which pays for many heads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import linear

from .attend import attend, shares
from .layout import Layout


class Reader(Protocol):
    """The elements of a batch, ready to be read by slots.

    Attributes:
        weight: The map from what is read to the gates of the update.
    """

    weight: Tensor

    def read(self, slots: Tensor) -> Tensor:
        """What each normalised slot ``[S, D]`` reads of its set, ``[S, *]``."""

    def shares(self, slots: Tensor) -> list[Tensor]:
        """How each part's elements are shared: ``[n, K]`` that sum to 1."""


@dataclass(frozen=True)
class Projections:
    """The linear maps of Slot Attention, with all that is constant taken in.

    Attributes:
        query: :math:`W_q`, ``[D, D]``.
        query_bias: :math:`b_q`, ``[D]``, where it matters.
        key: ``[D, C + 1]``: from :math:`[x ; 1]` to a key.
        value: ``[D, C + 1]``: from :math:`[x ; 1]` to a value.
        gates: From the update to the gates, ``[3 D, D]``.
        num_heads: :math:`H`.
    """

    query: Tensor
    query_bias: Tensor | None
    key: Tensor
    value: Tensor
    gates: Tensor
    num_heads: int

    @property
    def scale(self) -> float:
        """What divides the logits."""
        return (self.query.size(0) / self.num_heads) ** -0.5

    def by_head(self, weight: Tensor) -> Tensor:
        """Splits the rows of a map: ``[H, D / H, *]``."""
        return weight.unflatten(0, (self.num_heads, -1))


@dataclass(frozen=True)
class Weighting:
    """How the shares of a slot become weights over the elements.

    Attributes:
        eps: What is added to every share before they are divided by their sum.
        offset: What is added to the sum instead.
        joint: Whether all heads share one softmax.
    """

    eps: float
    offset: float
    joint: bool

    def __call__(self, num: Tensor, den: Tensor, layout: Layout) -> Tensor:
        """The mean and the sum of the weights, ``[S, H, V + 1]``, zero if empty."""
        sums = torch.cat([num, den[..., None]], -1)
        if self.eps > 0 and not self.offset:
            # All shares of an element sum to 1: together, the slots hold the set's sum.
            whole = sums.sum(1, keepdim=True) if self.joint else sums
            sums = sums + self.eps * layout.total(whole)
        mass = sums[..., -1:] + self.offset
        return sums / mass.masked_fill(mass == 0, 1)


class FoldedReader:
    """Reads with queries of the elements' width; see the module."""

    def __init__(
        self, x: Tensor, layout: Layout, maps: Projections, weighting: Weighting
    ):
        self.x, self.layout, self.weighting = x, layout, weighting
        heads = maps.num_heads
        query, key = maps.by_head(maps.query), maps.by_head(maps.key)
        folded = query.mT @ key * maps.scale
        self.query = folded.permute(0, 2, 1).flatten(0, 1)  # [H (C + 1), D]
        self.query_bias = None
        if maps.query_bias is not None:
            bias = maps.query_bias.view(heads, 1, -1)
            self.query_bias = (bias @ key * maps.scale).flatten()
        self.value = None if heads == 1 else maps.by_head(maps.value).mT
        self.weight = maps.gates @ maps.value if heads == 1 else maps.gates
        self.num_heads = heads

    def _queries(self, slots: Tensor) -> tuple[Tensor, Tensor]:
        asked = linear(slots, self.query, self.query_bias)
        asked = asked.unflatten(-1, (self.num_heads, -1))
        return asked[..., :-1], asked[..., -1]

    def read(self, slots: Tensor) -> Tensor:
        """What each normalised slot ``[S, D]`` reads of its set, ``[S, *]``."""
        sums = attend(
            self.x, self.x, *self._queries(slots), self.layout, self.weighting.joint
        )
        mean = self.weighting(*sums, self.layout).to(slots.dtype)
        if self.value is None:
            return mean.squeeze(1)
        return (mean.transpose(0, 1) @ self.value).transpose(0, 1).flatten(1)

    def shares(self, slots: Tensor) -> list[Tensor]:
        """How each part's elements are shared: ``[n, K]`` that sum to 1."""
        joint = self.weighting.joint
        queries = self._queries(slots)
        each = [shares(self.x, *queries, part, joint) for part in self.layout.parts]
        return [share.sum(2) if joint else share.mean(2) for share in each]


class ProjectedReader:
    """Reads keys and values that are computed once; see the module."""

    def __init__(
        self, x: Tensor, layout: Layout, maps: Projections, weighting: Weighting
    ):
        self.layout, self.weighting, self.weight = layout, weighting, maps.gates
        self.query = maps.query * maps.scale
        self.num_heads = maps.num_heads
        self.keys = self._project(x, maps.key)
        self.values = self._project(x, maps.value)

    def _project(self, x: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
        rows = linear(x.to(weight.dtype), weight[:, :-1], weight[:, -1])
        return rows.unflatten(1, (self.num_heads, -1)).movedim(1, 0).unbind()

    def _queries(self, slots: Tensor) -> tuple[Tensor, ...]:
        asked = linear(slots, self.query)
        return asked.unflatten(1, (self.num_heads, 1, -1)).unbind(1)

    def read(self, slots: Tensor) -> Tensor:
        """What each normalised slot ``[S, D]`` reads of its set, ``[S, *]``."""
        bias = slots.new_zeros(slots.size(0), 1)
        each = []
        for k, v, q in zip(self.keys, self.values, self._queries(slots), strict=True):
            sums = attend(k, v, q, bias, self.layout)
            each.append(self.weighting(*sums, self.layout)[..., :-1])
        return torch.cat(each, -1).squeeze(1).to(slots.dtype)

    def shares(self, slots: Tensor) -> list[Tensor]:
        """How each part's elements are shared: ``[n, K]`` that sum to 1."""
        bias = slots.new_zeros(slots.size(0), 1)
        asked = list(zip(self.keys, self._queries(slots), strict=True))
        return [
            torch.cat([shares(k, q, bias, part, False) for k, q in asked], 2).mean(2)
            for part in self.layout.parts
        ]


def folding_pays(
    in_channels: int, channels: int, num_heads: int, num_reads: int
) -> bool:
    """Whether queries of the elements' width cost less than keys and values.

    Args:
        in_channels: :math:`C`, the width of the elements.
        channels: :math:`D`, that of the slots.
        num_heads: :math:`H`.
        num_reads: The slots of a set, times the iterations.
    """
    return num_reads * (num_heads * in_channels - channels) < channels * in_channels
