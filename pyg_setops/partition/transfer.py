"""Pooling a tensor to lower orders and lifting it again: each the other's transpose."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..ragged import TensorIndex, gather, segment_sum
from .plan import Bundle, Level, Step


def pool(
    x: Tensor, tensors: TensorIndex, steps: Sequence[Step]
) -> dict[Bundle, Tensor]:
    """All pooled tensors, and those on the way to them, as plain sums.

    Args:
        x: A tensor over each set, ``[num_rows(k), C]``.
        tensors: The layout.
        steps: :attr:`Plan.pooling`.

    Returns:
        Bundles, the tensors of each side by side.
    """
    pooled: dict[Bundle, Tensor] = {}
    for step in steps:
        if step.source is None:
            rank = step.result.order
            pooled[step.result] = tensors.diagonals(x, step.diagonals, rank)
        else:
            total = pooled[step.source]
            total = tensors.scatter(total, step.axes, step.source.order)
            pooled[step.result] = total
    return pooled


def lift(
    mixed: dict[Bundle, Tensor], tensors: TensorIndex, steps: Sequence[Step]
) -> Tensor:
    """The sum of lower tensors, broadcast and placed on diagonals: :func:`pool` back.

    Args:
        mixed: All targets, the tensors of each bundle side by side; emptied.
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
            total = tensors.add_diagonals_(total, value, step.diagonals, rank)
    assert total is not None
    return total


def pool_to_sets(x: Tensor, tensors: TensorIndex, level: Level) -> Tensor:
    """The sum of each diagonal, in one pass: by patterns of equal axes, then by these.

    Args:
        x: A tensor of an order ``k``, ``[num_rows(k), C]``.
        tensors: The layout.
        level: The only level of the plan.

    Returns:
        ``[B, Bell * C]``, in the order of the sources.
    """
    order, count = len(level.sources[0].points), len(level.sources)
    orbits = segment_sum(x, tensors.patterns(order)) if order > 0 else x
    if count == 1:
        return orbits
    orbits = orbits.unflatten(0, (tensors.num_sets, count))
    return (x.new_tensor(level.within[0]) @ orbits).flatten(1)


def lift_from_sets(mixed: Tensor, tensors: TensorIndex, level: Level) -> Tensor:
    """The transpose: a value for each diagonal of each set, put on its entries.

    Args:
        mixed: ``[B, Bell * C]``.
        tensors: The layout.
        level: The only level of the plan.
    """
    order, count = len(level.targets[0].points), len(level.targets)
    if count > 1:
        diagonals = mixed.unflatten(1, (count, -1))
        mixed = (mixed.new_tensor(level.within[1]).t() @ diagonals).flatten(0, 1)
    return gather(mixed, tensors.patterns(order)) if order > 0 else mixed
