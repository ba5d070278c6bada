"""Points lifted to a group: what the attention layers work on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..ragged import SetIndex

if TYPE_CHECKING:
    from .group import LieGroup


@dataclass(frozen=True)
class LiftedSet:
    """Elements of a group, some for each node of a ragged batch.

    The elements of a node lie together, in the order of the nodes: with ``k`` of them
    each, element ``m`` belongs to node ``m // k``.

    Attributes:
        g: The elements, ``[M, element_dim]``.
        orbit: What no element of the group changes about the points, ``[M, o]``;
            without columns where any point can be moved onto any other.
        node: The node of each element, ``[M]``.
        set_index: The layout of the elements, :class:`~pyg_setops.ragged.SetIndex`.
        pos: The positions of the nodes, ``[N, dim]``.
        nodes: The layout of the nodes.
        group: The group.
        num_lifts: How many elements each node has.
    """

    g: Tensor
    orbit: Tensor
    node: Tensor
    set_index: SetIndex
    pos: Tensor
    nodes: SetIndex
    group: LieGroup
    num_lifts: int

    def repeat(self, x: Tensor) -> Tensor:
        """Gives every element the row of its node: ``[N, *]`` to ``[M, *]``."""
        return x if self.num_lifts == 1 else x.repeat_interleave(self.num_lifts, 0)

    def mean(self, x: Tensor) -> Tensor:
        """Averages the elements of each node: ``[M, *]`` to ``[N, *]``."""
        if self.num_lifts == 1:
            return x
        return x.unflatten(0, (len(self.pos), self.num_lifts)).mean(1)

    def moved(self, h: Tensor) -> LiftedSet:
        """The lift of the moved points, moved along: ``h g`` for every ``g``.

        Args:
            h: An element, ``[element_dim]``, or one for each set, ``[B, element_dim]``.
        """
        group = self.group
        at_nodes = h[self.nodes.index] if h.dim() == 2 else h.expand(len(self.pos), -1)
        g = group.mul(self.repeat(at_nodes), self.g)
        return replace(self, g=g, pos=group.act(at_nodes, self.pos))

    def __repr__(self) -> str:
        return (
            f"LiftedSet({self.group}, num_nodes={self.nodes.num_elements}, "
            f"num_lifts={self.num_lifts}, num_sets={self.nodes.num_sets})"
        )


def lift_layout(sets: SetIndex, count: int) -> tuple[Tensor, SetIndex]:
    """The node of each element, and the layout, of ``count`` elements a node."""
    index = sets.index
    node = torch.arange(sets.num_elements, device=index.device)
    if count == 1:
        return node, sets
    layout = SetIndex(
        index.repeat_interleave(count),
        sets.ptr * count if sets.has_ptr else None,
        sets.num_sets,
        sets.num_elements * count,
        is_sorted=True if sets.has_ptr else None,
    )
    return node.repeat_interleave(count), layout
