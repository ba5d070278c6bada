"""What a layer does, worked out once for each pair of orders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, permutations

from .diagrams import Half, Permutation, diagrams, halves
from .set_partitions import is_coarser, num_blocks, set_partitions

#: The set size that the costs of alternatives are compared at.
TYPICAL_SIZE = 8


@dataclass(frozen=True)
class Step:
    """One pooled tensor, from another or from the input.

    Attributes:
        result: What is computed.
        source: From what: a tensor with the same points joined, of which axes are
            summed; ``None`` for the input, of which a diagonal is taken.
        axes: For a sum, the axes of ``source`` that are left; for a diagonal, the axis
            of the result that each axis of the input follows.
    """

    result: Half
    source: Half | None
    axes: tuple[int, ...]


Entries = tuple[tuple[bool, ...], ...]


@dataclass(frozen=True)
class Level:
    """What is mixed at one order.

    Attributes:
        order: The number :math:`t` of blocks that pass through.
        sources: The pooled tensors of that order.
        targets: What is lifted from it.
        permutations: For each permutation of the axes, which axis of the source each
            axis of the target is, turned around: the axis of the target that each of
            the source follows.
        weights: The matrices of its diagrams, among all: start and end.
        within: At order 0, of the sources and of the targets: whether the diagonal of
            the column lies in that of the row (its partition is coarser).
    """

    order: int
    sources: tuple[Half, ...]
    targets: tuple[Half, ...]
    permutations: tuple[Permutation, ...]
    weights: tuple[int, int]
    within: tuple[Entries, Entries] = ((), ())


@dataclass(frozen=True)
class Plan:
    """A layer: pool, mix level by level, lift.

    Attributes:
        pooling: How to pool the input.
        levels: What to mix, by order.
        lifting: How to lift, as steps that are taken backwards and transposed.
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
        within = (_within(sources), _within(targets)) if order == 0 else ((), ())
        levels.append(Level(order, sources, targets, moves, (start, end), within))
        start = end
    assert start == len(diagrams(order_in, order_out))
    return Plan(
        pooling_plan(order_in, max_order),
        tuple(levels),
        tuple(reversed(pooling_plan(order_out, max_order))),
    )


def _within(sides: tuple[Half, ...]) -> Entries:
    points = [side.points for side in sides]
    return tuple(tuple(is_coarser(b, a) for b in points) for a in points)


@lru_cache
def pooling_plan(num_points: int, max_order: int) -> tuple[Step, ...]:
    """How to pool a tensor to all its pooled tensors of at most ``max_order``.

    Every diagonal is taken once. Its sums are taken one from another, by way of tensors
    of higher order where that saves passes over the diagonal, and straight from it
    where it does not. Read backwards and transposed, it is how to lift.

    Example:
        >>> for step in pooling_plan(2, 1):
        ...     print(step.result.points, step.result.kept, step.axes)
        (0, 0) (0,) (0, 0)
        (0, 0) () ()
        (0, 1) (0, 1) (0, 1)
        (0, 1) (0,) (0,)
        (0, 1) (1,) (1,)
        (0, 1) () ()
    """
    steps = []
    for points in set_partitions(num_points):
        blocks = tuple(range(num_blocks(points)))
        steps.append(Step(Half(points, blocks), None, points))
        for kept, parent in _sums(len(blocks), max_order):
            axes = tuple(parent.index(block) for block in kept)
            steps.append(Step(Half(points, kept), Half(points, parent), axes))
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
