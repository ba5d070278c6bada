r"""The fast path: all iterations of a block of whole sets while it is in cache.

What makes it fast and small, beside the blocks:

* the product with :math:`W_p` is taken on set rows where the pool allows it;
* the four gates are one in-place sigmoid, since :math:`\tanh z = 2\sigma(2z) - 1`
  and the factor 2 goes into the weights of the gate g beforehand;
* gate gradients are summed over the iterations, so that :math:`W_x`, the bias and
  the input need one product each;
* ``recompute`` keeps nothing and runs a block forward again before going back.

Second derivatives are taken through the plain path, on demand.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import Dropout, Linear, Module

from ..ragged import Block, SetIndex, blocks
from ..ragged.eager import is_eager
from .block import LinearPool, Tape, Weights, linear_pool, run_backward, run_forward
from .cell import SwarmCell
from .pooling import CausalPooling, MeanPooling, Pooling, SumPooling, exchange_through

# The gates of a block: small enough for a cache, large enough for the products. On an
# AMD EPYC, 2 and 4 MiB took the same time, 1 MiB 4 % and 0.5 MiB 12 % more.
BLOCK_BYTES = 2**21


class _Call(NamedTuple):
    pool: Pooling
    sets: SetIndex
    num_iterations: int
    recompute: bool


def is_fusible(cell: SwarmCell, pool: Pooling, x: Tensor) -> bool:
    """Whether the fast path knows this pool and input; if not, the plain one serves."""
    return (
        type(pool) in (MeanPooling, SumPooling, CausalPooling)
        and x.dtype in (torch.float32, torch.float64)
        and is_eager()
        and not torch.is_autocast_enabled(x.device.type)
        and not any(_is_wrapped(part) for part in (cell, *cell.children()))
    )


def _is_wrapped(module: Module) -> bool:
    """Whether a call does more than the class says, as adapters and hooks make it."""
    known = type(module) in (SwarmCell, Linear, Dropout)
    before = module._forward_pre_hooks or module._backward_pre_hooks
    return not known or bool(before or module._forward_hooks or module._backward_hooks)


def fused_swarm(
    cell: SwarmCell,
    pool: Pooling,
    x: Tensor,
    sets: SetIndex,
    num_iterations: int,
    recompute: bool,
) -> tuple[Tensor, Tensor]:
    """Computes what ``cell(x, num_iterations, ...)`` does, in blocks of whole sets.

    Args:
        cell: The cell.
        pool: Mean, sum or causal.
        x: Elements ``[N, C]``, in any order unless the pool is causal.
        sets: The layout.
        num_iterations: :math:`T`.
        recompute: Keep nothing for backward but the input.

    Returns:
        The last ``h`` and ``c``, each ``[N, H]``.
    """
    order = None
    if x.device.type == "cpu":  # elsewhere the batch is one block, in any order
        sets, order = sets.sorted()
    weights = (cell.lin_x.weight, cell.lin_x.bias, cell.lin_h.weight, cell.lin_p.weight)
    h, c = _Swarm.apply(
        x if order is None else x[order],
        *weights,
        _Call(pool, sets, num_iterations, recompute),
        torch.is_grad_enabled(),
    )
    if order is None:
        return h, c
    back = order.argsort()
    return h[back], c[back]


class _Swarm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, *args: Any) -> tuple[Tensor, Tensor]:
        *parameters, call, grad_enabled = args
        keep = grad_enabled and any(ctx.needs_input_grad) and not call.recompute
        weights = Weights(*parameters).scaled()
        h = x.new_empty(x.size(0), weights.h.size(1))
        c = torch.empty_like(h)
        tapes: Tape = []
        for block, pool in _walk(call, weights):
            rows = block.rows
            h[rows], c[rows], tape = run_forward(
                x[rows], weights, pool, call.num_iterations, keep
            )
            tapes += tape
        ctx.call = call
        ctx.save_for_backward(x, *parameters, *tapes)
        return h, c

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, *saved = ctx.saved_tensors
        parameters, tapes = saved[:4], saved[4:]
        if torch.is_grad_enabled():
            inputs = (x, *parameters)
            return *_plain_gradients(ctx, inputs, grads), None, None
        call = ctx.call
        weights = Weights(*parameters).scaled()
        grad_weights = weights.zeros()
        grad_x = torch.empty_like(x)
        length = 4 * call.num_iterations - 2
        for number, (block, pool) in enumerate(_walk(call, weights)):
            rows = block.rows
            tape = tapes[number * length : (number + 1) * length]
            if call.recompute:
                *_, tape = run_forward(
                    x[rows], weights, pool, call.num_iterations, keep=True
                )
            grad_h, grad_c = grads[0][rows], grads[1][rows].clone()
            grad_x[rows] = run_backward(
                x[rows], weights, pool, tape, grad_h, grad_c, grad_weights
            )
        # The chain rule of the doubled weights doubles their gradients.
        return grad_x, *grad_weights.scaled(), None, None


def _walk(call: _Call, weights: Weights) -> Iterator[tuple[Block, LinearPool]]:
    row_bytes = weights.bias.numel() * weights.bias.element_size()
    for block in blocks(call.sets, max(1, BLOCK_BYTES // row_bytes)):
        if block.sets.num_elements > 0:
            yield block, linear_pool(call.pool, block.sets)


def _plain_gradients(
    ctx: Any, inputs: tuple[Tensor, ...], grads: tuple[Tensor, ...]
) -> list[Tensor | None]:
    """The gradients as a differentiable function of the inputs and ``grads``."""
    call = ctx.call
    # Views, since an input may depend on another, as where a layer is applied twice;
    # the gradient of each is wanted by itself.
    x, *parameters = [tensor.view_as(tensor) for tensor in inputs]
    # A cell of its own: that of the caller may have changed its mode, or wrap its
    # weights.
    with torch.device("meta"):
        cell = SwarmCell(x.size(1), parameters[2].size(1))
    names = ("lin_x.weight", "lin_x.bias", "lin_h.weight", "lin_p.weight")
    states = torch.func.functional_call(
        cell,
        dict(zip(names, parameters, strict=True)),
        (x, call.num_iterations, partial(exchange_through, call.pool, cell, call.sets)),
    )
    wanted = [
        tensor
        for tensor, needed in zip((x, *parameters), ctx.needs_input_grad, strict=False)
        if needed
    ]
    found = iter(
        torch.autograd.grad(states, wanted, grads, create_graph=True, allow_unused=True)
    )
    return [next(found) if needed else None for needed in ctx.needs_input_grad[:5]]
