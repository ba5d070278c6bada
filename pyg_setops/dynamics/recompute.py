"""Steps that keep their input only, and are taken again on the way back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import get_device_states, set_device_states

State = tuple[Tensor, Tensor]


def recomputed(
    run: Callable[..., State],
    inputs: Sequence[Tensor | None],
    weights: Sequence[Tensor],
) -> State:
    """Calls ``run(*inputs)``, of which nothing is kept for backward but ``inputs``.

    ``torch.utils.checkpoint`` does not serve where ``run`` takes derivatives itself:
    without reentry every one of them recomputes all before it, and with reentry there
    is no ``torch.autograd.grad`` of the result. Here the forward pass takes them
    without a graph. Random numbers are drawn again as they were.

    Args:
        run: Maps tensors to two tensors.
        inputs: Its arguments.
        weights: What else it depends on.

    Returns:
        The same as ``run(*inputs)``, to be differentiated once.
    """
    return _Recomputed.apply(run, len(inputs), *inputs, *weights)


class _Recomputed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, run: Callable[..., State], num_inputs: int, *tensors: Tensor | None
    ) -> State:
        ctx.run, ctx.num_inputs = run, num_inputs
        ctx.random = torch.get_rng_state(), get_device_states(*tensors)
        ctx.save_for_backward(*tensors)
        return run(*tensors[:num_inputs])  # autograd is off in here

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        tensors = ctx.saved_tensors
        needed = ctx.needs_input_grad[2:]
        inputs = [
            None if tensor is None else tensor.detach().requires_grad_(need)
            for tensor, need in zip(tensors[: ctx.num_inputs], needed, strict=False)
        ]
        host, (devices, states) = ctx.random
        with torch.random.fork_rng(devices), torch.enable_grad():
            torch.set_rng_state(host)
            set_device_states(devices, states)
            out = ctx.run(*inputs)
        known = [*inputs, *tensors[ctx.num_inputs :]]
        wanted = [tensor for tensor, need in zip(known, needed, strict=True) if need]
        found = iter(torch.autograd.grad(out, wanted, grads, allow_unused=True))
        return None, None, *(next(found) if need else None for need in needed)
