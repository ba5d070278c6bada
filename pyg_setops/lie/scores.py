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
from ..ragged.precision import without_autocast
from .group import LieGroup
from .head_mlp import HeadMLP
from .kernel import AttentionKernel
from .lifted import LiftedSet

Both = tuple[Tensor | None, Tensor | None]
_NOTHING: Both = (None, None)


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
    def needs_pairs(self) -> bool:
        """Whether coordinates must be computed pair by pair."""
        return (
            self.kernel.location is not None
            and self.group.pair_dim > 0
            and not self.group.pair_is_difference
        )

    def sides(self, x: Tensor, lifted: LiftedSet) -> tuple[Side, Side]:
        """Of features ``[M, C]``: what they are as targets and as sources."""
        kernel = self.kernel
        content = self._contents(x)
        location = joint = _NOTHING
        if kernel.location == "mlp":
            location = self._shares(self.location, lifted)
        if kernel.combine == "mlp":
            if kernel.location == "raw":
                joint = self._shares(self.joint, lifted)
            else:
                joint = self._biases(self.joint, len(x)), None
            if kernel.content == "concat":
                joint = add(joint[0], content[0]), add(joint[1], content[1])
                content = _NOTHING
        target, source = zip(content, location, joint, strict=True)
        return Side(*target), Side(*source)

    def _contents(self, x: Tensor) -> Both:
        if self.kernel.content is None:
            return _NOTHING
        query, key = (
            lin(x).unflatten(-1, (self.heads, -1))
            for lin in (self.lin_query, self.lin_key)
        )
        if self.kernel.content == "dot":
            query = query / query.size(-1) ** 0.5
        return query, key

    def _shares(self, network: HeadMLP, lifted: LiftedSet) -> Both:
        """The first layer of what coordinates an element brings along alone."""
        group = self.group
        target: Tensor = self._biases(network, len(lifted.g))
        source: Tensor | None = None
        if group.pair_is_difference:
            # Differences do not change by the shift; their rounding does.
            sets = lifted.set_index
            centre = gather(segment_mean(lifted.g.detach(), sets), sets)
            with without_autocast(centre):  # near points differ in the last digits
                share = network.share(lifted.g - centre)
            target, source = target + share, -share
        if group.orbit_dim:
            first = group.pair_dim
            target = target + network.share(lifted.orbit, first)
            source = add(source, network.share(lifted.orbit, first + group.orbit_dim))
        return target, source

    @staticmethod
    def _biases(network: HeadMLP, count: int) -> Tensor:
        return network.biases[0].squeeze(2).expand(count, -1, -1)

    def forward(
        self,
        content: Tensor | None,
        location: Tensor | None,
        joint: Tensor | None,
        pair: Tensor | None,
    ) -> Tensor:
        """The scores ``[h, *]`` of pairs.

        Args:
            content: The products of queries and keys, or their sum, ``[h, *]``.
            location: The sum of both sides' shares, ``[h, w, *]``.
            joint: Likewise.
            pair: The coordinates ``[*, p]``, if needed.
        """
        kernel = self.kernel
        if pair is not None and kernel.location == "mlp":
            location = add(location, self.location.pair_share(pair))
        elif pair is not None:
            joint = add(joint, self.joint.pair_share(pair))
        score = None if location is None else self.location(location)
        if joint is not None:
            return self.joint(self._joined(joint, content, score))
        if kernel.combine == "product" and content is not None and score is not None:
            return content * score
        total = add(content, score)
        assert total is not None  # a kernel has one of both
        return total

    def _joined(
        self, joint: Tensor, content: Tensor | None, location: Tensor | None
    ) -> Tensor:
        place = self.num_raw
        for scalar in (content, location):
            if scalar is not None:
                joint = joint + self.joint.scalar_share(scalar, place)
                place += 1
        return joint


def add(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    """The sum of what there is."""
    if a is None or b is None:
        return b if a is None else a
    return a + b
