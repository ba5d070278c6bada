"""The gradient of a chain as an autograd function that keeps nothing but ``y``.

Blocks of whole sets are taken through all layers while they are in cache, and again in
the backward pass. Second derivatives go through the plain path, on demand.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import TreeSpec, tree_flatten, tree_map, tree_unflatten

from ..ragged import Block, SetIndex, blocks
from ..ragged.eager import is_eager
from .activation import FusedActivation, PlainActivation
from .chain import Chain, chain_gradient
from .chain_block import backward_block

# The widest layer of a block: small enough for a cache, large enough for the products
# (the best of 0.5 to 4 MiB on the batches of `benchmarks/bench_equilibrium.py`).
BLOCK_BYTES = 2**20


def is_fusible(y: Tensor) -> bool:
    """Whether blocks serve here; if not, plain operations do."""
    return is_eager() and not torch.is_autocast_enabled(y.device.type)


def cut(chain: Chain, sets: SetIndex) -> list[Block]:
    """Blocks of whole sets, of sorted ones on CPU, whose layers fit a cache."""
    widths = [layer.gamma.nbytes for layer in chain.layers] or [BLOCK_BYTES]
    return blocks(sets, max(1, BLOCK_BYTES // max(widths)))


def fused_gradient(
    chain: Chain, y: Tensor, sets: SetIndex, parts: list[Block]
) -> Tensor:
    """Computes what :func:`~pyg_setops.equilibrium.chain.chain_gradient` does.

    Args:
        chain: The chain of all elements.
        y: The rows of the sets, ``[B, Y]``.
        sets: The layout.
        parts: Its blocks.

    Returns:
        The gradients, ``[B, Y]``.
    """
    tensors, structure = tree_flatten(chain)
    return _Gradient.apply(_Call(sets, parts, structure), y, *tensors)


class _Call(NamedTuple):
    sets: SetIndex
    parts: list[Block]
    structure: TreeSpec


class _Gradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, call: _Call, y: Tensor, *tensors: Tensor | None) -> Tensor:
        ctx.call = call
        ctx.save_for_backward(y, *tensors)
        chain = tree_unflatten(tensors, call.structure)
        out = torch.empty_like(y)
        for part in call.parts:
            out[part.numbers] = chain_gradient(
                chain.rows(part.rows), y[part.numbers], part.sets, FusedActivation.of
            )
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        call, (y, *tensors) = ctx.call, ctx.saved_tensors
        (v,) = grads
        if torch.is_grad_enabled():
            return None, *_plain_backward(ctx, v)
        chain = tree_unflatten(tensors, call.structure)
        sums = tree_map(_zeros_like, chain)
        grad_y = torch.empty_like(y)
        for part in call.parts:
            rows, numbers = part.rows, part.numbers
            grad_y[numbers] = backward_block(
                chain.rows(rows), y[numbers], v[numbers], part.sets, sums.rows(rows)
            )
        return None, grad_y, *tree_flatten(sums)[0]


def _plain_backward(ctx: Any, v: Tensor) -> list[Tensor | None]:
    """The gradients as a differentiable function of the inputs and of ``v``."""
    # Views, since an input may depend on another: all come from the same weights.
    inputs: list[Any] = [t if t is None else t.view_as(t) for t in ctx.saved_tensors]
    y, *tensors = inputs
    chain = tree_unflatten(tensors, ctx.call.structure)
    out = chain_gradient(chain, y, ctx.call.sets, PlainActivation.of)
    needed = ctx.needs_input_grad[1:]
    wanted = [t for t, need in zip(inputs, needed, strict=True) if need]
    found = iter(
        torch.autograd.grad(out, wanted, v, create_graph=True, allow_unused=True)
    )
    return [next(found) if need else None for need in needed]


def _zeros_like(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else torch.zeros_like(tensor)
