r"""A step of a GRU in few passes, with its derivative written out.

.. math::
    (r, z) = \sigma(W_{rz} u + U_{rz} s + b_{rz}), \qquad
    n = \tanh(W_n u + b_n + r (U_n s + c_n)), \qquad
    s' = n + z (s - n) .

PyTorch's cell takes twice as many passes over the gates, and keeps more of them. The
tanh here is a sigmoid's, with an absolute error of 1e-7 in float32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from ..ragged.eager import is_eager
from ..ragged.precision import without_autocast


def gated_step(
    read: Tensor,
    slots: Tensor,
    weight: Tensor,
    bias: Tensor,
    own_weight: Tensor,
    own_bias: Tensor,
) -> Tensor:
    """The new states.

    Args:
        read: :math:`u`, ``[S, F]``.
        slots: :math:`s`, ``[S, D]``.
        weight: :math:`W`, ``[3 D, F]``, in PyTorch's order of gates.
        bias: ``[3 D]``.
        own_weight: :math:`U`, ``[3 D, D]``.
        own_bias: ``[3 D]``.
    """
    arguments = (read, slots, weight, bias, own_weight, own_bias)
    return _GatedStep.apply(*arguments) if is_eager() else _plain(*arguments)


def _plain(
    read: Tensor,
    slots: Tensor,
    weight: Tensor,
    bias: Tensor,
    own_weight: Tensor,
    own_bias: Tensor,
) -> Tensor:
    reset, keep, new = linear(read, weight, bias).chunk(3, 1)
    own_reset, own_keep, own_new = linear(slots, own_weight, own_bias).chunk(3, 1)
    new = torch.tanh(new + torch.sigmoid(reset + own_reset) * own_new)
    return torch.lerp(new, slots, torch.sigmoid(keep + own_keep))


class _GatedStep(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *arguments: Tensor) -> Tensor:
        read, slots, weight, bias, own_weight, own_bias = arguments
        width = slots.size(1)
        gates, own = linear(read, weight, bias), linear(slots, own_weight, own_bias)
        gates[:, : 2 * width].add_(own[:, : 2 * width]).sigmoid_()
        reset, keep, new = gates.split(width, 1)
        own_new = own[:, 2 * width :].contiguous()
        # tanh z = 2 sigmoid(2 z) - 1, whose kernel is several times as fast.
        new.addcmul_(reset, own_new).mul_(2).sigmoid_().mul_(2).sub_(1)
        ctx.save_for_backward(*arguments, gates, own_new)
        return torch.lerp(new, slots, keep)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        *arguments, gates, own_new = ctx.saved_tensors
        with without_autocast(gates):
            if torch.is_grad_enabled():
                return _plain_gradients(arguments, grads[0], ctx.needs_input_grad)
            return _gradients(arguments, gates, own_new, grads[0])


def _gradients(
    arguments: list[Tensor], gates: Tensor, own_new: Tensor, grad: Tensor
) -> tuple[Tensor, ...]:
    read, slots, weight, _, own_weight, _ = arguments
    width = slots.size(1)
    slope, own_slope = torch.empty_like(gates), torch.empty_like(gates)
    to_reset, to_keep, to_new = slope.split(width, 1)
    reset, keep, new = gates.split(width, 1)
    # The last gate's, then that of the reset gate, which it passes through.
    torch.mul(grad, 1 - keep, out=to_new)
    to_new.addcmul_(to_new, new.square(), value=-1)
    torch.mul(to_new, own_new, out=to_reset)
    torch.mul(grad, slots - new, out=to_keep)
    both = gates[:, : 2 * width]
    slope[:, : 2 * width].mul_(both.addcmul(both, both, value=-1))
    own_slope[:, : 2 * width] = slope[:, : 2 * width]
    torch.mul(to_new, reset, out=own_slope[:, 2 * width :])
    return (
        slope @ weight,
        (grad * keep).addmm_(own_slope, own_weight),
        slope.t() @ read,
        slope.sum(0),
        own_slope.t() @ slots,
        own_slope.sum(0),
    )


def _plain_gradients(
    arguments: list[Tensor], grad: Tensor, needed: tuple[bool, ...]
) -> tuple[Tensor | None, ...]:
    """The gradients as a differentiable function of the arguments and ``grad``."""
    views = [argument.view_as(argument) for argument in arguments]
    wanted = [view for view, need in zip(views, needed, strict=True) if need]
    found = iter(
        torch.autograd.grad(
            _plain(*views), wanted, grad, create_graph=True, allow_unused=True
        )
    )
    return tuple(next(found) if need else None for need in needed)
