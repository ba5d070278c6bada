"""Which pairs of lifted elements attend to each other, in blocks of bounded size."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from torch import Tensor

from ..ragged import SetIndex, gather, size_groups
from ..ragged.eager import is_readable, read
from .group import LieGroup
from .lifted import LiftedSet

# Pairs that are worked on at once: a cache's worth, or a device's.
_CHUNK_CPU, _CHUNK_DEVICE = 2**13, 2**18


@dataclass(frozen=True)
class FullBlock:
    """Some targets, and the sets of equal size that they and their sources are in.

    Attributes:
        group: The number of the group of these sets.
        num_sets: How many there are in it.
    """

    group: int
    num_sets: int


class FullPairs:
    """All pairs inside sets: sets of equal size, side by side, without padding.

    Args:
        lifted: The elements.
        group: The group, which embeds pairs.
        max_pairs: How many pairs may keep their intermediate results for the backward
            pass; if there are more, each block is computed again.
        chunk: The pairs of a block, unless they are those of one element; by default
            what fits a cache.

    Attributes:
        order: The elements in the order of the groups and blocks.
        inverse: The way back.
        group_sizes: The elements of each group of sets.
        blocks: The blocks.
        block_sizes: The targets of each block; together, all elements.
        g: The elements of the group, in that order.
        recompute: Whether there are more than ``max_pairs`` pairs.
        coordinates: The embedded pairs of each block, where they are kept.
    """

    def __init__(
        self,
        lifted: LiftedSet,
        group: LieGroup,
        max_pairs: int = 2**16,
        chunk: int | None = None,
    ):
        sets = lifted.set_index
        chunk = chunk or _default_chunk(lifted.g)
        groups = size_groups(sets, sets.num_elements)
        self.order = groups.order
        self.inverse = groups.order.argsort()
        self.group_sizes: list[int] = []
        self.blocks: list[FullBlock] = []
        self.block_sizes: list[int] = []
        for same in groups.groups:
            # A set of too many pairs is alone in its group, and taken apart.
            most = max(1, chunk // same.size**2)
            step = min(same.size, max(1, chunk // same.size))
            for part in same.numbers.split(most):
                self._add(len(part), same.size, step)
        num_pairs = sum(g.size**2 * len(g.numbers) for g in groups.groups)
        self.recompute = num_pairs > max_pairs
        self.g = lifted.g.index_select(0, self.order)
        self.group = group
        self.coordinates: list[Tensor] | None = None

    def _add(self, num_sets: int, size: int, step: int) -> None:
        """Adds a group of sets, and blocks of ``step`` targets of each of them."""
        for start in range(0, size, step):
            self.blocks.append(FullBlock(len(self.group_sizes), num_sets))
            self.block_sizes.append(num_sets * min(step, size - start))
        self.group_sizes.append(num_sets * size)

    def embed(self, g_i: Tensor, g_j: Tensor, num_sets: int) -> Tensor:
        """The coordinates ``[G, r, n, p]`` of all pairs of a block."""
        g_i, g_j = (g.unflatten(0, (num_sets, -1)) for g in (g_i, g_j))
        return self.group.pairs(g_i, g_j)

    def keep_coordinates(self) -> None:
        """Embeds the pairs once, for several layers, if they may be kept."""
        if self.recompute or self.coordinates is not None:
            return
        targets, groups = self.g.split(self.block_sizes), self.g.split(self.group_sizes)
        self.coordinates = [
            self.embed(g, groups[block.group], block.num_sets)
            for g, block in zip(targets, self.blocks, strict=True)
        ]


@dataclass(frozen=True)
class EdgeBlock:
    """All edges of a run of targets.

    Attributes:
        first: The first target.
        targets: The layout of the edges by target, counted from the first.
        sources: Their layout by source, of all elements.
    """

    first: int
    targets: SetIndex
    sources: SetIndex


class EdgePairs:
    """Given pairs, by target.

    A block has at least as many edges as there are elements, or its gradient, which
    has a row for each of them, would cost more than the block does.

    Args:
        lifted: The elements.
        edge_index: Source and target elements, ``[2, E]``.
        group: The group, which embeds pairs.
        max_pairs: As of :class:`FullPairs`.
        chunk: Likewise.

    Attributes:
        blocks: Runs of pairs.
        block_sizes: The targets of each block; together, all elements, in order.
        g: The elements.
        recompute: Whether there are more than ``max_pairs`` pairs.
        coordinates: The embedded pairs of each block, where they are kept.
    """

    def __init__(
        self,
        lifted: LiftedSet,
        edge_index: Tensor,
        group: LieGroup,
        max_pairs: int = 2**16,
        chunk: int | None = None,
    ):
        self.g, self.group = lifted.g, group
        source, target = edge_index
        count = len(lifted.g)
        targets, order = SetIndex.build(target, dim_size=count).sorted()
        sources = SetIndex.build(source, dim_size=count).index
        if order is not None:
            sources = sources[order]
        chunk = chunk or max(_default_chunk(lifted.g), count)
        self.blocks = _edge_blocks(targets, sources, chunk)
        self.block_sizes = [block.targets.num_sets for block in self.blocks]
        self.recompute = source.numel() > max_pairs
        self.coordinates: list[Tensor] | None = None

    def embed(self, g: Tensor, block: EdgeBlock) -> Tensor:
        """The coordinates ``[E, p]`` of a block's pairs, of elements ``[M, *]``."""
        own = g[block.first : block.first + block.targets.num_sets]
        return self.group.pair(gather(own, block.targets), gather(g, block.sources))

    def keep_coordinates(self) -> None:
        """Embeds the pairs once, for several layers, if they may be kept."""
        if not self.recompute and self.coordinates is None:
            self.coordinates = [self.embed(self.g, block) for block in self.blocks]


LiftedPairs = FullPairs | EdgePairs


def _edge_blocks(targets: SetIndex, sources: Tensor, chunk: int) -> list[EdgeBlock]:
    count = targets.num_sets
    if not is_readable(sources):  # reading the boundaries would wait
        return [EdgeBlock(0, targets, SetIndex(sources, None, count, len(sources)))]
    ptr, blocks, first = read(targets.ptr), [], 0
    while first < count:
        last = max(bisect_right(ptr, ptr[first] + chunk) - 1, first + 1)
        start, end = ptr[first], ptr[last]
        own = SetIndex(
            targets.index[start:end] - first,
            targets.ptr[first : last + 1] - start,
            last - first,
            end - start,
        )
        heard = SetIndex(sources[start:end], None, count, end - start)
        blocks.append(EdgeBlock(first, own, heard))
        first = last
    return blocks


def _default_chunk(like: Tensor) -> int:
    return _CHUNK_CPU if like.device.type == "cpu" else _CHUNK_DEVICE
