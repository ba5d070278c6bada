r"""Scores of pairs: how much a lifted point attends to another.

A score combines the *content*, what two features have to do with each other, and the
*location*, which depends on the invariant coordinates of the pair only.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import Linear

from ..ragged import gather, segment_mean
from .group import LieGroup
from .head_mlp import HeadMLP
from .kernel import AttentionKernel
from .lifted import LiftedSet

Pair = tuple[Tensor | None, Tensor | None]
_NOTHING: Pair = (None, None)


class Side(NamedTuple):
    """What the scores need of the elements on one side of the pairs.

    Attributes:
        content: Queries or keys, ``[M, h, d]``.
        location: Their share of the location network, ``[M, h, w]``.
        joint: Their share of the joint network, ``[M, h, w]``.
    """

    content: Tensor | None
    location: Tensor | None
    joint: Tensor | None


class PairScores(torch.nn.Module):
    """The learned part of an :class:`~pyg_setops.lie.AttentionKernel`.

    Args:
        in_channels: The width of the features.
        heads: The number of heads.
        head_channels: The width of queries and keys.
        group: The group.
        kernel: What a score is made of.
    """

    def __init__(
        self,
        in_channels: int,
        heads: int,
        head_channels: int,
        group: LieGroup,
        kernel: AttentionKernel,
    ):
        super().__init__()
        self.heads, self.group, self.kernel = heads, group, kernel
        joint, raw = kernel.combine == "mlp", kernel.location == "raw"
        coordinates = group.pair_dim + 2 * group.orbit_dim
        if kernel.content is not None:
            width = head_channels
            if kernel.content == "concat":
                width = kernel.hidden_channels if joint else 1
            self.lin_query = Linear(in_channels, heads * width)
            self.lin_key = Linear(in_channels, heads * width)
        if kernel.location == "mlp":
            self.location = self._network(coordinates)
        if joint:
            self.num_raw = coordinates if raw else 0
            scalars = (kernel.location == "mlp") + (kernel.content == "dot")
            self.joint = self._network(self.num_raw + scalars)

    def _network(self, inputs: int) -> HeadMLP:
        kernel = self.kernel
        return HeadMLP(self.heads, inputs, kernel.hidden_channels, kernel.act_last)

    def reset_parameters(self) -> None:
        """Draws all weights anew."""
        for module in self.children():
            module.reset_parameters()  # type: ignore[operator]

    @property
    def located(self) -> HeadMLP | None:
        """The network that sees the coordinates of pairs."""
        if self.kernel.location is None:
            return None
        return self.location if self.kernel.location == "mlp" else self.joint

    @property
    def needs_pairs(self) -> bool:
        """Whether coordinates must be computed pair by pair."""
        return (
            self.located is not None
            and self.group.pair_dim > 0
            and not self.group.pair_is_difference
        )

    def sides(self, x: Tensor, lifted: LiftedSet) -> tuple[Side, Side]:
        """Of features ``[M, C]``: what they are as targets and as sources."""
        kernel = self.kernel
        content = self._contents(x)
        shares = self._shares(lifted)
        location, joint = shares, _NOTHING
        if kernel.location == "raw":
            location, joint = _NOTHING, shares
        if kernel.combine == "mlp" and kernel.content == "concat":
            joint = tuple(map(add, joint, content))  # type: ignore[assignment]
            content = _NOTHING
        target, source = zip(content, location, joint, strict=True)
        return Side(*target), Side(*source)

    def _contents(self, x: Tensor) -> Pair:
        if self.kernel.content is None:
            return _NOTHING
        query, key = (
            lin(x).unflatten(-1, (self.heads, -1))
            for lin in (self.lin_query, self.lin_key)
        )
        if self.kernel.content == "dot":
            query = query / query.size(-1) ** 0.5
        return query, key

    def _shares(self, lifted: LiftedSet) -> Pair:
        """The first layer of what coordinates an element brings along alone."""
        network, group = self.located, self.group
        target = source = None
        if network is None:
            return target, source
        if group.pair_is_difference:
            # Differences do not change by the shift; their rounding does.
            sets = lifted.set_index
            centre = gather(segment_mean(lifted.g.detach(), sets), sets)
            target = network.share(lifted.g - centre, 0)
            source = -target
        if group.orbit_dim:
            first = group.pair_dim
            target = add(target, network.share(lifted.orbit, first))
            source = add(source, network.share(lifted.orbit, first + group.orbit_dim))
        return target, source

    def forward(
        self, target: Side, source: Side, pair: Tensor | None, dense: bool
    ) -> Tensor:
        """The scores ``[h, *]`` of pairs.

        Args:
            target: Of each pair ``[E, h, *]``; if ``dense``, of ``[G, r, h, *]``.
            source: Likewise; if ``dense``, ``[G, n, h, *]``.
            pair: Coordinates ``[E, p]``, ``[G, r, n, p]``, if needed.
            dense: Whether every target is paired with every source.
        """
        kernel = self.kernel
        combined = _sum_all if dense else add
        location = combined(target.location, source.location)
        joint = combined(target.joint, source.joint)
        if pair is not None and self.located is not None:
            share = self.located.share(pair, 0)
            if kernel.location == "mlp":
                location = add(location, share)
            else:
                joint = add(joint, share)
        score = None if location is None else self.location(location)
        content = self._content(target, source, dense)
        if kernel.combine == "mlp":
            return self.joint(self._joint(joint, content, score))
        if kernel.combine == "product" and content is not None and score is not None:
            return content * score
        total = add(content, score)
        assert total is not None  # one of both is
        return total

    def _content(self, target: Side, source: Side, dense: bool) -> Tensor | None:
        query, key = target.content, source.content
        if query is None or key is None:
            return None
        if self.kernel.content == "concat":
            total = _sum_all(query, key) if dense else query + key
            assert total is not None
            return total.squeeze(-1).movedim(-1, 0)
        if dense:
            return query.movedim(-2, 0) @ key.movedim(-2, 0).mT
        return (query * key).sum(-1).t()

    def _joint(
        self, z: Tensor | None, content: Tensor | None, location: Tensor | None
    ) -> Tensor:
        place = self.num_raw
        for scalar in (content, location):
            if scalar is not None:
                z = add(z, self.joint.share_scalar(scalar, place))
                place += 1
        assert z is not None  # a kernel has some part
        return z


def add(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    """The sum of what there is."""
    if a is None or b is None:
        return b if a is None else a
    return a + b


def _sum_all(target: Tensor | None, source: Tensor | None) -> Tensor | None:
    """The sum for all pairs of ``[G, r, h, w]`` and ``[G, n, h, w]``."""
    if target is None or source is None:
        return None
    return target[:, :, None] + source[:, None]
