"""Diagrams: set partitions of input and output points, cut in the middle.

A partition of ``k`` input and ``l`` output points is what the inputs are joined to,
what the outputs are joined to, and how the blocks that pass through meet in between. So
a map of order ``k`` to order ``l`` is: pool to order ``t``, permute, lift.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, permutations

import torch
from torch import Tensor

from .set_partitions import Partition, canonical, num_blocks, partitions_into

#: Which place of the output's axes each of its axes has in the input's.
Permutation = tuple[int, ...]


@dataclass(frozen=True)
class Half:
    """One side of a diagram: points joined to blocks, of which some pass through.

    Of the input it is a pooled tensor: the diagonal on which joined axes agree, summed
    over the blocks that do not pass. Of the output it is the transpose: broadcast over
    the blocks that do not pass, and placed on that diagonal.

    Attributes:
        points: The partition of the points.
        kept: The blocks that pass through, ascending; an axis each.
    """

    points: Partition
    kept: tuple[int, ...]

    @property
    def order(self) -> int:
        """The number of blocks that pass through."""
        return len(self.kept)

    @property
    def num_summed(self) -> int:
        """The number of blocks that do not."""
        return num_blocks(self.points) - len(self.kept)


@dataclass(frozen=True)
class Diagram:
    """A set partition of ``l`` output points and ``k`` input points, in three parts.

    Attributes:
        source: The input's side.
        permutation: Axis ``q`` of the output's side meets axis ``permutation[q]`` of
            the input's.
        target: The output's side.
    """

    source: Half
    permutation: Permutation
    target: Half

    @property
    def partition(self) -> Partition:
        """The partition of all points, outputs first."""
        through = [self.source.kept[axis] for axis in self.permutation]
        names: dict[int, object] = dict(zip(self.target.kept, through, strict=True))
        outputs = [names.get(b, ("output", b)) for b in self.target.points]
        return canonical([*outputs, *self.source.points])

    def matrix(self, size: int) -> Tensor:
        """Which entries of the matrix are 1, for a set of this size.

        Returns:
            ``[size ** l, size ** k]``, boolean.

        Example:
            >>> Diagram.of((0, 1, 0), 2).matrix(2).int().tolist()
            [[1, 0], [1, 0], [0, 1], [0, 1]]
        """
        partition = self.partition
        shape = (size,) * len(partition)
        entries = torch.ones(shape, dtype=torch.bool)
        axes = torch.meshgrid(*map(torch.arange, shape), indexing="ij") if shape else ()
        for place, block in enumerate(partition):
            entries &= axes[place] == axes[partition.index(block)]
        rows = size ** len(self.target.points)
        return entries.reshape(rows, size ** len(self.source.points))

    @classmethod
    def of(cls, partition: Partition, order_out: int) -> Diagram:
        """The diagram of a partition whose first ``order_out`` points are outputs.

        Example:
            >>> Diagram.of((0, 1, 1, 2), 2).source
            Half(points=(0, 1), kept=(0,))
        """
        outputs, inputs = partition[:order_out], partition[order_out:]
        source, target = canonical(inputs), canonical(outputs)
        # The block of the whole partition that each block of a side is part of.
        above = dict(zip(target, outputs, strict=True))
        below = dict(zip(source, inputs, strict=True))
        kept_in = tuple(b for b in sorted(below) if below[b] in outputs)
        kept_out = tuple(b for b in sorted(above) if above[b] in inputs)
        names = [below[b] for b in kept_in]
        permutation = tuple(names.index(above[b]) for b in kept_out)
        return cls(Half(source, kept_in), permutation, Half(target, kept_out))


@lru_cache
def halves(num_points: int, order: int) -> tuple[Half, ...]:
    """All sides of so many points that ``order`` blocks pass through.

    Sorted by the number of blocks, then by those that pass, then by the partition.
    Their numbers: 2, 3, 1 of two points and order 0, 1, 2; 5, 10, 6, 1 of three.
    """
    return tuple(
        Half(points, kept)
        for count in range(num_points + 1)
        for kept in combinations(range(count), order)
        for points in partitions_into(num_points, count)
    )


@lru_cache
def diagrams(order_in: int, order_out: int) -> tuple[Diagram, ...]:
    """All diagrams, by the number of blocks that pass through.

    Among those of one number, the permutation varies slowest and the source fastest.

    Example:
        >>> [diagram.partition for diagram in diagrams(1, 1)]
        [(0, 1), (0, 0)]
        >>> len(diagrams(2, 2)), len(diagrams(3, 3))
        (15, 203)
    """
    return tuple(
        Diagram(source, permutation, target)
        for order in range(min(order_in, order_out) + 1)
        for permutation in permutations(range(order))
        for target in halves(order_out, order)
        for source in halves(order_in, order)
    )
