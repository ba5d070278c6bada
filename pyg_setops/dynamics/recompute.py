"""Steps that keep their input only, and are taken again on the way back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import Module
from torch.utils.checkpoint import get_device_states, set_device_states

from ..lending import call_with

State = tuple[Tensor, Tensor]


def recomputed(
    run: Callable[..., State], inputs: Sequence[Tensor | None], module: Module
) -> State:
    """Calls ``run(*inputs)``, of which nothing is kept for backward but ``inputs``.

    ``torch.utils.checkpoint`` does not serve where ``run`` takes derivatives itself:
    without reentry every one of them recomputes all before it, and with reentry there
    is no ``torch.autograd.grad`` of the result. Here the forward pass takes them
    without a graph. Random numbers are drawn again as they were, and weights and
    autocast are those of the forward pass.

    Args:
        run: Maps tensors to two tensors.
        inputs: Its arguments.
        module: What holds the weights that it depends on.

    Returns:
        The same as ``run(*inputs)``, to be differentiated once.
    """
    names, weights = [], []
    for name, weight in module.named_parameters():
        names.append(name)
        weights.append(weight)
    return _Recomputed.apply(run, module, names, len(inputs), *inputs, *weights)


class _Recomputed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        run: Callable[..., State],
        module: Module,
        names: list[str],
        num_inputs: int,
        *tensors: Tensor | None,
    ) -> State:
        ctx.run, ctx.module, ctx.names, ctx.num_inputs = run, module, names, num_inputs
        ctx.random = torch.get_rng_state(), get_device_states(*tensors)
        ctx.autocast = _autocast(*tensors)
        ctx.save_for_backward(*tensors)
        return run(*tensors[:num_inputs])  # autograd is off in here

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        tensors, needed = ctx.saved_tensors, ctx.needs_input_grad[4:]
        inputs = [
            None if tensor is None else tensor.detach().requires_grad_(need)
            for tensor, need in zip(tensors[: ctx.num_inputs], needed, strict=False)
        ]
        weights = tensors[ctx.num_inputs :]
        named = dict(zip(ctx.names, weights, strict=True))
        host, (devices, states) = ctx.random
        with torch.random.fork_rng(devices), torch.enable_grad(), ctx.autocast:
            torch.set_rng_state(host)
            set_device_states(devices, states)
            out = call_with(ctx.module, named, ctx.run, *inputs)
        known = [*inputs, *weights]
        wanted = [tensor for tensor, need in zip(known, needed, strict=True) if need]
        found = iter(torch.autograd.grad(out, wanted, grads, allow_unused=True))
        return *[None] * 4, *(next(found) if need else None for need in needed)


def _autocast(*tensors: Tensor | None) -> torch.autocast:
    """The autocast that is on now where they are, or none, to be entered again."""
    kind = next(each.device.type for each in tensors if each is not None)
    enabled, dtype = torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)
    return torch.autocast(kind, dtype, enabled)
