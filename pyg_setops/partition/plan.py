"""What a layer does, worked out once for each pair of orders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, permutations

from .diagrams import Half, Permutation, diagrams, halves
from .set_partitions import (
    Partition,
    is_coarser,
    num_blocks,
    partitions_into,
    set_partitions,
)

#: The set size that the costs of alternatives are compared at.
TYPICAL_SIZE = 8


@dataclass(frozen=True)
class Bundle:
    """The pooled tensors of all diagonals with so many blocks, side by side.

    What is done to one of them is done to all, so that it is done in one call.

    Attributes:
        num_blocks: The number of blocks of the partitions of the points.
        kept: The blocks that are not summed, an axis each.
    """

    num_blocks: int
    kept: tuple[int, ...]

    @property
    def order(self) -> int:
        """The order of its tensors."""
        return len(self.kept)


@dataclass(frozen=True)
class Step:
    """One bundle, from another or from the input.

    Attributes:
        result: What is computed.
        source: From what; ``None`` for the input, of which diagonals are taken.
        axes: For a sum, the axes of ``source`` that are left.
        diagonals: Otherwise, for each partition, the axis of the result that each axis
            of the input follows: its block.
    """

    result: Bundle
    source: Bundle | None
    axes: tuple[int, ...] = ()
    diagonals: tuple[Partition, ...] = ()


Entries = tuple[tuple[bool, ...], ...]


@dataclass(frozen=True)
class Level:
    """What is mixed at one order.

    Attributes:
        order: The number :math:`t` of blocks that pass through.
        sources: The pooled tensors of that order.
        targets: What is lifted from it.
        pooled: The bundles that the sources are, one beside another.
        lifted: The bundles that the targets are, each with the number of its tensors.
        permutations: For each permutation of the axes, which axis of the source each
            axis of the target is, turned around: the axis of the target that each of
            the source follows.
        weights: The matrices of its diagrams, among all: start and end.
        within: At order 0, of the sources and of the targets: whether the diagonal of
            each partition of the points, a column, lies in theirs (it is coarser).
    """

    order: int
    sources: tuple[Half, ...]
    targets: tuple[Half, ...]
    pooled: tuple[Bundle, ...]
    lifted: tuple[tuple[Bundle, int], ...]
    permutations: tuple[Permutation, ...]
    weights: tuple[int, int]
    within: tuple[Entries, Entries] = ((), ())


@dataclass(frozen=True)
class Plan:
    """A layer: pool, mix level by level, lift.

    Attributes:
        pooling: How to pool the input.
        levels: What to mix, by order.
        lifting: How to pool a tensor of the output's order, which transposed is how to
            lift to one.
    """

    pooling: tuple[Step, ...]
    levels: tuple[Level, ...]
    lifting: tuple[Step, ...]

    @property
    def pooled(self) -> tuple[Half, ...]:
        """The tensors that are mixed, but for the input itself."""
        sides = (side for level in self.levels for side in level.sources)
        return tuple(side for side in sides if side.order < len(side.points))


@lru_cache
def make_plan(order_in: int, order_out: int) -> Plan:
    """The plan of the layer of these orders."""
    levels, start = [], 0
    max_order = min(order_in, order_out)
    for order in range(max_order + 1):
        sources, targets = halves(order_in, order), halves(order_out, order)
        moves = tuple(
            tuple(move.index(axis) for axis in range(order))
            for move in permutations(range(order))
        )
        end = start + len(moves) * len(targets) * len(sources)
        within: tuple[Entries, Entries] = ((), ())
        if order == 0:
            within = _within(sources, order_in), _within(targets, order_out)
        levels.append(
            Level(
                order,
                sources,
                targets,
                tuple(bundle for bundle, _ in _bundles(order_in, order)),
                _bundles(order_out, order),
                moves,
                (start, end),
                within,
            )
        )
        start = end
    assert start == len(diagrams(order_in, order_out))
    return Plan(
        pooling_plan(order_in, max_order),
        tuple(levels),
        pooling_plan(order_out, max_order),
    )


def _bundles(num_points: int, order: int) -> tuple[tuple[Bundle, int], ...]:
    """The bundles of an order, in the order of the halves, and their sizes."""
    sides = halves(num_points, order)
    counts = Counter(Bundle(num_blocks(side.points), side.kept) for side in sides)
    return tuple(counts.items())


def _within(sides: tuple[Half, ...], num_points: int) -> Entries:
    every = set_partitions(num_points)
    return tuple(tuple(is_coarser(b, side.points) for b in every) for side in sides)


@lru_cache
def pooling_plan(num_points: int, max_order: int) -> tuple[Step, ...]:
    """How to pool a tensor to all its pooled tensors of at most ``max_order``.

    Every diagonal is taken once. Its sums are taken one from another, by way of tensors
    of higher order where that saves passes over the diagonal, and straight from it
    where it does not. Read backwards and transposed, it is how to lift.

    Example:
        >>> for step in pooling_plan(2, 1):
        ...     print(step.result, step.axes, step.diagonals)
        Bundle(num_blocks=1, kept=(0,)) () ((0, 0),)
        Bundle(num_blocks=1, kept=()) () ()
        Bundle(num_blocks=2, kept=(0, 1)) () ((0, 1),)
        Bundle(num_blocks=2, kept=(0,)) (0,) ()
        Bundle(num_blocks=2, kept=(1,)) (1,) ()
        Bundle(num_blocks=2, kept=()) () ()
    """
    steps = []
    for count in range(num_points + 1):
        diagonals = partitions_into(num_points, count)
        if not diagonals:
            continue
        whole = Bundle(count, tuple(range(count)))
        steps.append(Step(whole, None, diagonals=diagonals))
        for kept, parent in _sums(count, max_order):
            axes = tuple(parent.index(block) for block in kept)
            steps.append(Step(Bundle(count, kept), Bundle(count, parent), axes))
    return tuple(steps)


Blocks = tuple[int, ...]


@lru_cache
def _sums(num_axes: int, max_order: int) -> tuple[tuple[Blocks, Blocks], ...]:
    """Each subset of at most ``max_order`` axes, and the superset it is summed from.

    Supersets that are not asked for are added, one at a time, while that lowers the
    number of entries read in all.
    """
    every = tuple(range(num_axes))
    nodes = {
        kept
        for order in range(min(max_order, num_axes - 1) + 1)
        for kept in combinations(every, order)
    }
    while True:
        candidates = [nodes | {extra} for extra in _between(num_axes, max_order)]
        better = min(candidates, key=lambda n: _cost(n, every), default=nodes)
        if _cost(better, every) >= _cost(nodes, every):
            break
        nodes = better
    return tuple(
        (kept, _parent(kept, nodes, every))
        for kept in sorted(nodes, key=lambda kept: (-len(kept), kept))
    )


def _between(num_axes: int, max_order: int) -> Iterator[Blocks]:
    for order in range(max_order + 1, num_axes):
        yield from combinations(range(num_axes), order)


def _parent(kept: Blocks, nodes: set[Blocks], every: Blocks) -> Blocks:
    """The smallest superset; among equals, the first, whose last axes are summed."""
    supersets = [node for node in (*nodes, every) if set(kept) < set(node)]
    return min(supersets, key=lambda node: (len(node), node))


def _cost(nodes: set[Blocks], every: Blocks) -> int:
    return sum(TYPICAL_SIZE ** len(_parent(kept, nodes, every)) for kept in nodes)
