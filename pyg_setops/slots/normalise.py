"""Layer normalisation without an affine map, which keeps its result only."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import layer_norm

from ..ragged.eager import is_eager
from .layout import Layout

# The rows that are brought into the layout at a time.
BLOCK = 2048


def normalise(x: Tensor, layout: Layout, eps: float) -> Tensor:
    r"""Lays out elements ``[N, C]`` and normalises each to mean 0 and variance 1.

    For backward, the result and a number for each element are kept, neither ``x`` nor
    a copy of it in another order. Differentiable to any order.
    """
    if is_eager():
        return _Normalise.apply(x, layout, eps)[0]
    rows = x if layout.order is None else x.index_select(0, layout.order)
    return layer_norm(rows, rows.shape[-1:], eps=eps)


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, layout: Layout, eps: float
    ) -> tuple[Tensor, Tensor]:
        # Twice as fast as without weight and bias.
        ones, zeros = x.new_ones(x.size(-1)), x.new_zeros(x.size(-1))
        y, scales = torch.empty_like(x), [x.new_empty(0, 1)]
        # In blocks, as a copy of all rows in fresh memory costs as much as the norm.
        for start in range(0, x.size(0), BLOCK):
            block = slice(start, start + BLOCK)
            order = layout.order
            rows = x[block] if order is None else x.index_select(0, order[block])
            y[block], _, each = torch.native_layer_norm(
                rows, rows.shape[-1:], ones, zeros, eps
            )
            scales.append(each)
        scale = torch.cat(scales)
        ctx.save_for_backward(y, scale)
        ctx.layout = layout
        ctx.set_materialize_grads(False)
        return y, scale

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, None, None]:
        y, scale = ctx.saved_tensors
        grad_y, grad_scale = grads
        total = None
        if grad_y is not None:
            total = _project(grad_y, y) * scale
        if grad_scale is not None:  # from a second derivative only
            part = y * (grad_scale * scale.square() / -y.size(-1))
            total = part if total is None else total + part
        return None if total is None else ctx.layout.elements_back(total), None, None


def _project(grad: Tensor, y: Tensor) -> Tensor:
    """``grad`` without what lies along ones and along ``y``, row by row."""
    if torch.is_grad_enabled():
        along = (grad * y).mean(-1, keepdim=True)
        return grad - grad.mean(-1, keepdim=True) - y * along
    # PyTorch's kernel for elements that are normalised already.
    mean, scale = y.new_zeros(y.size(0), 1), y.new_ones(y.size(0), 1)
    wanted = [True, False, False]
    shape = list(y.shape[-1:])
    return torch.ops.aten.native_layer_norm_backward(
        grad, y, shape, mean, scale, None, None, wanted
    )[0]
