"""Which pairs of lifted elements attend to each other, in blocks of bounded size."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from torch import Tensor

from ..ragged import SetIndex, gather, size_groups
from ..ragged.eager import is_readable
from .lifted import LiftedSet

# Pairs that are worked on at once: a cache's worth, or a device's.
_CHUNK_CPU, _CHUNK_DEVICE = 2**13, 2**18


@dataclass(frozen=True)
class Block:
    """Some pairs that are worked on together, with all sources of their targets.

    Attributes:
        targets: The elements that hear, of all in the order of the pairs.
        sources: The elements that are heard (full pairs), or the edges (given ones).
        num_sets: The number of sets of equal size (full pairs).
    """

    targets: slice
    sources: slice
    num_sets: int = 1


class FullPairs:
    """All pairs inside sets: sets of equal size, side by side, without padding.

    Args:
        lifted: The elements.
        max_pairs: How many pairs may keep their intermediate results for the backward
            pass; if there are more, each block is computed again.
        chunk: The pairs of a block, unless they are those of one element; by default
            what fits a cache.

    Attributes:
        order: The elements in the order of the blocks.
        inverse: The way back.
        blocks: The blocks; their targets are all elements, in that order.
        num_pairs: The number of pairs.
        recompute: Whether there are more than ``max_pairs``.
        coordinates: The embedded pairs of each block, where they are kept.
    """

    def __init__(
        self, lifted: LiftedSet, max_pairs: int = 2**16, chunk: int | None = None
    ):
        sets = lifted.set_index
        chunk = chunk or _default_chunk(lifted.g)
        groups = size_groups(sets, sets.num_elements, max_pairs=chunk)
        self.order = groups.order
        self.inverse = groups.order.argsort()
        self.blocks: list[Block] = []
        self.num_pairs = 0
        for group in groups.groups:
            count, size, rows = len(group.numbers), group.size, group.rows
            self.num_pairs += count * size**2
            step = count * size if count > 1 else max(1, chunk // size)
            for start in range(rows.start, rows.stop, step):
                targets = slice(start, min(start + step, rows.stop))
                self.blocks.append(Block(targets, rows, count))
        self.recompute = self.num_pairs > max_pairs
        self.g = lifted.g[self.order]
        self.group = lifted.group
        self.coordinates: list[Tensor] | None = None

    def embed(self, g_i: Tensor, g_j: Tensor, num_sets: int) -> Tensor:
        """The coordinates ``[G, r, n, p]`` of all pairs of a block."""
        g_i, g_j = (g.unflatten(0, (num_sets, -1)) for g in (g_i, g_j))
        return self.group.pair(g_i[:, :, None], g_j[:, None])

    def keep_coordinates(self) -> None:
        """Embeds the pairs once, for several layers, if they may be kept."""
        if not self.recompute and self.coordinates is None:
            self.coordinates = [
                self.embed(self.g[block.targets], self.g[block.sources], block.num_sets)
                for block in self.blocks
            ]

    def kept(self) -> list[Tensor] | list[None]:
        """The coordinates of each block, or nothing."""
        return self.coordinates or [None] * len(self.blocks)


class EdgePairs:
    """Given pairs, by target.

    Args:
        lifted: The elements.
        edge_index: Source and target elements, ``[2, E]``.
        max_pairs: As of :class:`FullPairs`.
        chunk: Likewise.

    Attributes:
        source: The sources, sorted by target.
        targets: The layout of the pairs by targets.
        blocks: Runs of pairs; all targets, in order.
        recompute: Whether there are more than ``max_pairs`` pairs.
        coordinates: The embedded pairs of each block, where they are kept.
    """

    def __init__(
        self,
        lifted: LiftedSet,
        edge_index: Tensor,
        max_pairs: int = 2**16,
        chunk: int | None = None,
    ):
        self.g, self.group = lifted.g, lifted.group
        source, target = edge_index
        layout = SetIndex.build(target, dim_size=len(lifted.g))
        self.targets, order = layout.sorted()
        self.source = source if order is None else source[order]
        self.num_pairs = source.numel()
        self.blocks = self._blocks(chunk or _default_chunk(lifted.g))
        self.recompute = self.num_pairs > max_pairs
        self.coordinates: list[Tensor] | None = None

    def _blocks(self, chunk: int) -> list[Block]:
        count = self.targets.num_sets
        if not is_readable(self.source):  # reading the boundaries would wait
            return [Block(slice(0, count), slice(0, self.num_pairs))]
        ptr, blocks, first = self.targets.ptr.tolist(), [], 0
        while first < count:
            last = max(bisect_right(ptr, ptr[first] + chunk) - 1, first + 1)
            blocks.append(Block(slice(first, last), slice(ptr[first], ptr[last])))
            first = last
        return blocks

    def layout(self, block: Block) -> SetIndex:
        """The layout of a block's pairs by its own targets."""
        first, last = block.targets.start, block.targets.stop
        if len(self.blocks) == 1:
            return self.targets
        index = self.targets.index[block.sources] - first
        ptr = self.targets.ptr[first : last + 1] - block.sources.start
        return SetIndex(index, ptr, last - first, index.numel())

    def ends(self, block: Block) -> tuple[SetIndex, SetIndex]:
        """The targets and the sources of a block's pairs, as layouts of them."""
        count, edges = self.targets.num_sets, block.sources
        target, source = self.targets.index[edges], self.source[edges]
        return (
            SetIndex(target, None, count, target.numel(), is_sorted=True),
            SetIndex(source, None, count, source.numel()),
        )

    def embed(self, g: Tensor, block: Block) -> Tensor:
        """The coordinates ``[E, p]`` of a block's pairs, of elements ``[M, *]``."""
        hear, heard = self.ends(block)
        return self.group.pair(gather(g, hear), gather(g, heard))

    def keep_coordinates(self) -> None:
        """Embeds the pairs once, for several layers, if they may be kept."""
        if not self.recompute and self.coordinates is None:
            self.coordinates = [self.embed(self.g, block) for block in self.blocks]

    def kept(self) -> list[Tensor] | list[None]:
        """The coordinates of each block, or nothing."""
        return self.coordinates or [None] * len(self.blocks)


LiftedPairs = FullPairs | EdgePairs


def _default_chunk(like: Tensor) -> int:
    return _CHUNK_CPU if like.device.type == "cpu" else _CHUNK_DEVICE
