"""Scans along the elements of each set, in the order given."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .eager import is_eager
from .precision import accumulator
from .set_index import SetIndex

# On CPU, many short sets advance together, one element a step; a long set, or one of
# few, has a call of its own (benchmarks/bench_ragged.py).
SHORT = 32
MANY = 128


def segment_cumsum(x: Tensor, sets: SetIndex, reverse: bool = False) -> Tensor:
    r"""Sums each element and those before it in its set: :math:`y_i=\sum_{j\le i}x_j`.

    One cumulative sum over the whole batch, less its value at the start of each set,
    would lose digits and carry a NaN from set to set; every set is summed by itself.

    Args:
        x: Elements ``[N, *]``, sets one after another.
        sets: The layout.
        reverse: Sum each element and those after it instead.

    Raises:
        ValueError: If the elements of a set do not lie together.

    Cost:
        :math:`O(N)` on CPU; elsewhere, and where compiled, :math:`O(N \log n)` for a
        largest set of :math:`n`. Nothing is kept for backward in eager mode.
    """
    if reverse:
        return segment_cumsum(x.flip(0), sets.flip(), reverse=False).flip(0)
    sets.require_sorted("a cumulative sum")
    wide = x.to(accumulator(x.dtype))
    y = _Cumsum.apply(wide, sets) if is_eager() else _by_doubling(wide, sets)
    return y.to(x.dtype)


def segment_cummean(x: Tensor, sets: SetIndex) -> Tensor:
    """Averages each element and those before it in its set; see `segment_cumsum`."""
    wide = x.to(accumulator(x.dtype))
    count = (sets.position + 1).view(-1, *[1] * (x.dim() - 1))
    return (segment_cumsum(wide, sets) / count.to(wide.dtype)).to(x.dtype)


class _Cumsum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, sets: SetIndex) -> Tensor:
        ctx.sets = sets
        return _by_set(x, sets) if x.device.type == "cpu" else _by_doubling(x, sets)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return segment_cumsum(grads[0], ctx.sets, reverse=True), None


def _by_doubling(x: Tensor, sets: SetIndex) -> Tensor:
    """In step ``s``, adds the partial sum ``2**s`` places before, inside the set."""
    position = sets.position.view(-1, *[1] * (x.dim() - 1))
    step, max_size = 1, min(sets.max_size, sets.num_elements)
    while step < max_size:
        before = torch.where(position[step:] >= step, x[:-step], 0)
        x = torch.cat([x[:step], x[step:] + before])
        step *= 2
    return x


def _by_set(x: Tensor, sets: SetIndex) -> Tensor:
    """Adds in float64, one element after another, whichever way a set is taken.

    So a set's bits are the same in any company (`torch.cumsum` adds so too).
    """
    out = x.clone()
    short = (sets.sizes <= SHORT).nonzero().squeeze(1)
    together = short.numel() >= MANY
    for _, start, end in sets.spans(SHORT + 1 if together else 1):
        torch.cumsum(x[start:end], 0, out=out[start:end])
    if together:
        _advance(out, sets.ptr[short], sets.sizes[short])
    return out


def _advance(x: Tensor, starts: Tensor, sizes: Tensor) -> None:
    """Scans the sets of these starts and sizes in place, one element of each a step."""
    sizes, order = sizes.sort(descending=True, stable=True)
    starts = starts[order]
    total = x.new_zeros(sizes.numel(), *x.shape[1:], dtype=torch.float64)
    # How many sets have a k-th element, for each k >= 1.
    remaining = sizes.bincount().flip(0).cumsum(0).flip(0)[1:].tolist()
    for step, count in enumerate(remaining):
        rows = starts[:count] + step
        total = total[:count].add_(x.index_select(0, rows))
        x.index_copy_(0, rows, total.to(x.dtype))
