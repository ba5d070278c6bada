r"""Sums along the edges of a graph, without keeping a row for each edge.

:func:`edge_sum` is :math:`A X` for a sparse :math:`A` with learned weights, and
:func:`edge_dot` is :math:`(X Y^\top)_{ij}` at its edges. Their derivatives are made of
each other, so both are differentiable to any order.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from .eager import is_eager
from .precision import accumulator

# The temporary values of a block of edges: a cache's worth, or a device's.
BLOCK_CPU, BLOCK_DEVICE = 2**18, 2**24


def edge_sum(x: Tensor, weight: Tensor, edge_index: Tensor) -> Tensor:
    r"""Adds up what each node's edges lead to: :math:`y_i = \sum_{i \to j} w_{ij} x_j`.

    Args:
        x: Nodes ``[N, K]``.
        weight: Edges ``[E]``.
        edge_index: From row 0 to row 1, ``[2, E]``.

    Returns:
        Nodes ``[N, K]``.

    Cost:
        :math:`O(E K)` time; in eager mode nothing of that size is kept or made.
    """
    if is_eager():
        return _EdgeSum.apply(x, weight, edge_index)
    source, target = edge_index
    return torch.zeros_like(x).index_add(0, source, weight[:, None] * x[target])


def edge_dot(x: Tensor, y: Tensor, edge_index: Tensor) -> Tensor:
    """Multiplies the rows at both ends of each edge: ``[E]`` of two ``[N, K]``.

    Args:
        x: Nodes ``[N, K]``, taken where edges begin.
        y: Nodes ``[N, K]``, taken where they end.
        edge_index: ``[2, E]``.

    Cost:
        As :func:`edge_sum`.
    """
    if is_eager():
        return _EdgeDot.apply(x, y, edge_index)
    source, target = edge_index
    return (x[source] * y[target]).sum(1)


class _EdgeSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, edge_index: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight, edge_index)
        wide = x.to(accumulator(x.dtype))
        out = torch.zeros_like(wide)
        for block in _blocks(edge_index, x):
            source, target = edge_index[:, block]
            out.index_add_(0, source, weight[block, None] * wide[target])
        return out.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, edge_index = ctx.saved_tensors
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_x = edge_sum(grads[0], weight, edge_index.flip(0))
        if ctx.needs_input_grad[1]:
            grad_weight = edge_dot(grads[0], x, edge_index)
        return grad_x, grad_weight, None


class _EdgeDot(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, edge_index: Tensor) -> Tensor:
        ctx.save_for_backward(x, y, edge_index)
        wide = x.to(accumulator(x.dtype)), y.to(accumulator(y.dtype))
        out = wide[0].new_empty(edge_index.size(1))
        for block in _blocks(edge_index, x):
            source, target = edge_index[:, block]
            out[block] = (wide[0][source] * wide[1][target]).sum(1)
        return out.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, y, edge_index = ctx.saved_tensors
        grad_x = grad_y = None
        if ctx.needs_input_grad[0]:
            grad_x = edge_sum(y, grads[0], edge_index)
        if ctx.needs_input_grad[1]:
            grad_y = edge_sum(x, grads[0], edge_index.flip(0))
        return grad_x, grad_y, None


def _blocks(edge_index: Tensor, x: Tensor) -> Iterator[slice]:
    values = BLOCK_CPU if x.device.type == "cpu" else BLOCK_DEVICE
    step = max(1, values // max(1, x.size(1)))
    for start in range(0, edge_index.size(1), step):
        yield slice(start, start + step)
