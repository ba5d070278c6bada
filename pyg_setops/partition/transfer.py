"""Pooling a tensor to lower orders and lifting it again: each the other's transpose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..ragged import TensorIndex, gather, segment_sum
from ..ragged.eager import is_eager
from ..ragged.precision import accumulator, without_autocast
from .plan import Bundle, Level, Step

Bundles = Sequence[Bundle]


def pool(
    x: Tensor, tensors: TensorIndex, steps: Sequence[Step], wanted: Bundles
) -> list[Tensor]:
    """Pooled tensors, as plain sums, those of a bundle side by side.

    Sums in half precision are kept in float32: they need not fit until they are
    divided by the size of the set.

    Args:
        x: A tensor over each set, ``[num_rows(k), C]``.
        tensors: The layout.
        steps: What :func:`~pyg_setops.partition.plan.pooling_plan` says.
        wanted: Which bundles.
    """
    wide = x.to(accumulator(x.dtype))
    if not is_eager():
        pooled = _pool(wide, tensors, steps)
        return [pooled[bundle] for bundle in wanted]
    # The input itself may be among them, which no function should return.
    order = len(steps[0].diagonals[0])
    others = [bundle for bundle in wanted if bundle.order < order]
    sums = iter(_Pool.apply(wide, tensors, steps, others))
    return [next(sums) if bundle.order < order else x for bundle in wanted]


def lift(
    values: Sequence[Tensor],
    tensors: TensorIndex,
    steps: Sequence[Step],
    given: Bundles,
) -> Tensor:
    """The transpose: lower tensors, broadcast and placed on diagonals, added up.

    Args:
        values: The tensors of each bundle side by side.
        tensors: The layout.
        steps: As for :func:`pool`, of the order of the result.
        given: The bundles, of all orders from 0 on.
    """
    if not is_eager():
        return _lift(dict(zip(given, values, strict=True)), tensors, steps)
    return _Lift.apply(tensors, steps, given, *values)


class _Pool(torch.autograd.Function):
    """Pooling, whose derivative is lifting, so that nothing in between is recorded."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        tensors: TensorIndex,
        steps: Sequence[Step],
        wanted: Bundles,
    ) -> tuple[Tensor, ...]:
        ctx.given = tensors, steps, wanted
        pooled = _pool(x, tensors, steps)
        return tuple(pooled[bundle] for bundle in wanted)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return lift(grads, *ctx.given), None, None, None


class _Lift(torch.autograd.Function):
    """Lifting, whose derivative is pooling."""

    @staticmethod
    def forward(
        ctx: Any,
        tensors: TensorIndex,
        steps: Sequence[Step],
        given: Bundles,
        *values: Tensor,
    ) -> Tensor:
        ctx.given = tensors, steps, given
        return _lift(dict(zip(given, values, strict=True)), tensors, steps)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, None, *pool(grads[0], *ctx.given)


def _pool(
    x: Tensor, tensors: TensorIndex, steps: Sequence[Step]
) -> dict[Bundle, Tensor]:
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


def _lift(
    mixed: dict[Bundle, Tensor], tensors: TensorIndex, steps: Sequence[Step]
) -> Tensor:
    total: Tensor | None = None
    # All axes apart come last in the plan, so first here.
    for step in reversed(steps):
        value, rank = mixed.pop(step.result), step.result.order
        if step.source is not None:
            spread = tensors.gather(value, step.axes, step.source.order)
            held = mixed.get(step.source)
            # In place: what was just gathered is in nobody else's hands.
            mixed[step.source] = spread if held is None else spread.add_(held)
        elif total is None:
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
    orbits = x.to(accumulator(x.dtype))  # see `pool`
    if order > 0:
        orbits = segment_sum(orbits, tensors.patterns(order))
    if count == 1:
        return orbits
    orbits = orbits.unflatten(0, (tensors.num_sets, count))
    with without_autocast(x):
        return (orbits.new_tensor(level.within[0]) @ orbits).flatten(1)


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
