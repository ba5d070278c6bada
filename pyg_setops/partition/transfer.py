"""Pooling a tensor to lower orders and lifting it again: each the other's transpose."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..ragged import TensorIndex, gather, segment_sum
from .diagrams import Half
from .plan import Level, Step


def pool(
    x: Tensor, tensors: TensorIndex, steps: Sequence[Step], mean: bool
) -> dict[Half, Tensor]:
    """All pooled tensors, and those on the way to them.

    Args:
        x: A tensor over each set, ``[num_rows(k), C]``.
        tensors: The layout.
        steps: :attr:`Plan.pooling`.
        mean: Whether a sum over an axis is divided by the size of the set.
    """
    pooled: dict[Half, Tensor] = {}
    for step in steps:
        rank = step.result.order
        if step.source is None:
            pooled[step.result] = tensors.gather(x, step.axes, rank)
            continue
        total = tensors.scatter(pooled[step.source], step.axes, step.source.order)
        if mean:
            total = total / volume(tensors, step.source.order - rank, rank, total)
        pooled[step.result] = total
    return pooled


def lift(
    mixed: dict[Half, Tensor], tensors: TensorIndex, steps: Sequence[Step]
) -> Tensor:
    """The sum of lower tensors, broadcast and placed on diagonals: :func:`pool` back.

    Args:
        mixed: Tensors ``[num_rows(t), C]`` for all targets; emptied.
        tensors: The layout.
        steps: :attr:`Plan.lifting`.
    """
    total: Tensor | None = None
    for step in steps:
        value, rank = mixed.pop(step.result), step.result.order
        if step.source is not None:
            spread = tensors.gather(value, step.axes, step.source.order)
            held = mixed.get(step.source)
            # In place: what was just gathered is in nobody else's hands.
            mixed[step.source] = spread if held is None else spread.add_(held)
        elif total is None:  # all axes apart, which are first here: no diagonal
            total = value
        else:
            total = tensors.scatter_(total, value, step.axes, rank)
    assert total is not None
    return total


def pool_to_sets(x: Tensor, tensors: TensorIndex, level: Level, mean: bool) -> Tensor:
    """The sum of each diagonal, in one pass: by patterns of equal axes, then by these.

    Args:
        x: A tensor of an order ``k``, ``[num_rows(k), C]``.
        tensors: The layout.
        level: The only level of the plan.
        mean: Whether to divide by the number of entries of the diagonal.

    Returns:
        ``[B, Bell, C]``, in the order of the partitions.
    """
    order = len(level.sources[0].points)
    orbits = segment_sum(x, tensors.patterns(order))
    orbits = orbits.unflatten(0, (tensors.num_sets, len(level.sources)))
    sums = x.new_tensor(level.within[0]) @ orbits
    if not mean:
        return sums
    axes = x.new_tensor([side.num_summed for side in level.sources])
    sizes = tensors.sizes.clamp(min=1).to(x.dtype)
    return sums / (sizes[:, None] ** axes)[:, :, None]


def lift_from_sets(mixed: Tensor, tensors: TensorIndex, level: Level) -> Tensor:
    """The transpose: a value for each diagonal of each set, put on its entries.

    Args:
        mixed: ``[B, Bell, C]``.
        tensors: The layout.
        level: The only level of the plan.
    """
    order = len(level.targets[0].points)
    orbits = mixed.new_tensor(level.within[1]).t() @ mixed
    return gather(orbits.flatten(0, 1), tensors.patterns(order))


def volume(tensors: TensorIndex, power: int, order: int, like: Tensor) -> Tensor:
    """The size of the set, to a power, of each row of a tensor of ``order``, a column.

    An empty set counts as one of a single element, as nothing is divided by it.
    """
    sizes = tensors.sizes.clamp(min=1).to(like.dtype) ** power
    return gather(sizes[:, None], tensors.rows(order))
