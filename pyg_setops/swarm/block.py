r"""Forward and backward of all iterations on one block, by hand and in place.

Gates are kept in the scaled form of `fused.py`: all four are sigmoids, and
:math:`g = 2s - 1`, where the weights of :math:`s` are twice those of :math:`g`.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ..ragged import SetIndex, gather, segment_cumsum, segment_mean, segment_sum
from .pooling import CausalPooling, MeanPooling, Pooling

# The states that backward needs, oldest first: gates and c of each iteration, and
# between two iterations the h and the pooled h that went into the second.
Tape = list[Tensor]


class Weights(NamedTuple):
    """The cell's weights, or their gradients."""

    x: Tensor
    bias: Tensor
    h: Tensor
    p: Tensor

    def scaled(self) -> Weights:
        """Copies with the rows of the gate g doubled."""
        doubled = [weight.clone() for weight in self]
        for weight in doubled:
            weight.chunk(4)[3].mul_(2)
        return Weights(*doubled)

    def zeros(self) -> Weights:
        """Zeros of the same shapes."""
        return Weights(*[torch.zeros_like(weight) for weight in self])


class LinearPool(Protocol):
    """A linear pooling of a block, with its adjoint."""

    def pool(self, h: Tensor) -> Tensor:
        """What is heard: rows of sets, or of elements."""

    def spread(self, rows: Tensor) -> Tensor:
        """From the rows of :meth:`pool` to elements; a fresh tensor."""

    def collect(self, elements: Tensor) -> Tensor:
        """The adjoint of :meth:`spread`."""

    def adjoint(self, rows: Tensor) -> Tensor:
        """The adjoint of :meth:`pool`; a fresh tensor."""


def linear_pool(pool: Pooling, sets: SetIndex) -> LinearPool:
    """The linear pooling of a block that ``pool`` stands for."""
    if isinstance(pool, CausalPooling):
        return _Causal(sets)
    return _PerSet(sets, mean=isinstance(pool, MeanPooling))


class _PerSet:
    def __init__(self, sets: SetIndex, mean: bool):
        self.sets = sets
        self.reduce = segment_mean if mean else segment_sum
        self.sizes = sets.sizes.clamp(min=1)[:, None] if mean else None

    def pool(self, h: Tensor) -> Tensor:
        return self.reduce(h, self.sets)

    def spread(self, rows: Tensor) -> Tensor:
        return gather(rows, self.sets)

    def collect(self, elements: Tensor) -> Tensor:
        return segment_sum(elements, self.sets)

    def adjoint(self, rows: Tensor) -> Tensor:
        return gather(rows if self.sizes is None else rows / self.sizes, self.sets)


class _Causal:
    def __init__(self, sets: SetIndex):
        self.sets = sets
        self.count = sets.position[:, None] + 1

    def pool(self, h: Tensor) -> Tensor:
        return segment_cumsum(h, self.sets) / self.count

    def spread(self, rows: Tensor) -> Tensor:
        return rows

    def collect(self, elements: Tensor) -> Tensor:
        return elements

    def adjoint(self, rows: Tensor) -> Tensor:
        return segment_cumsum(rows / self.count, self.sets, reverse=True)


def run_forward(
    x: Tensor, weights: Weights, pool: LinearPool, num_iterations: int, keep: bool
) -> tuple[Tensor, Tensor, Tape]:
    """Runs all iterations; returns the last h and c, and the tape if ``keep``."""
    constant = torch.addmm(weights.bias, x, weights.x.t())
    gates = constant.sigmoid()
    h, c = _update(gates, None)
    tape = [gates, c] if keep else []
    for _ in range(num_iterations - 1):
        heard = pool.pool(h)
        gates = pool.spread(heard @ weights.p.t())
        gates = gates.add_(constant).addmm_(h, weights.h.t()).sigmoid_()
        if keep:
            tape += [h, heard]
        h, c = _update(gates, c)
        if keep:
            tape += [gates, c]
    return h, c, tape


def _update(gates: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
    i, f, o, s = gates.chunk(4, dim=1)
    new = torch.mul(i, s).mul_(2).sub_(i)
    if c is not None:
        new.addcmul_(f, c)
    return _tanh(new).mul_(o), new


def _tanh(c: Tensor) -> Tensor:
    return torch.mul(c, 2).sigmoid_().mul_(2).sub_(1)


def run_backward(
    x: Tensor,
    weights: Weights,
    pool: LinearPool,
    tape: Tape,
    grad_h: Tensor,
    grad_c: Tensor,
    grads: Weights,
) -> Tensor:
    """Goes back through all iterations of a block.

    Args:
        x: The elements of the block.
        weights: The scaled weights.
        pool: The pooling of the block.
        tape: What :func:`run_forward` kept.
        grad_h: The gradient of the last h.
        grad_c: The gradient of the last c, a fresh tensor.
        grads: Where the gradients of the scaled weights are added.

    Returns:
        The gradient of ``x``.
    """
    total = torch.zeros_like(tape[0])
    grad_a = torch.empty_like(tape[0])
    for step in reversed(range(0, len(tape), 4)):
        gates, c = tape[step], tape[step + 1]
        previous_c = tape[step - 3] if step else None
        _update_backward(gates, c, previous_c, grad_h, grad_c, grad_a)
        total += grad_a
        if previous_c is None:
            break
        h, heard = tape[step - 2], tape[step - 1]
        collected = pool.collect(grad_a)
        grads.h.addmm_(grad_a.t(), h)
        grads.p.addmm_(collected.t(), heard)
        grad_h = pool.adjoint(collected @ weights.p).addmm_(grad_a, weights.h)
        grad_c *= gates.chunk(4, dim=1)[1]
    grads.x.addmm_(total.t(), x)
    grads.bias.add_(total.sum(0))
    return total @ weights.x


def _update_backward(
    gates: Tensor,
    c: Tensor,
    previous_c: Tensor | None,
    grad_h: Tensor,
    grad_c: Tensor,
    grad_a: Tensor,
) -> None:
    """Writes the gradient of the gates' input into ``grad_a``, adds to ``grad_c``."""
    i, _, o, s = gates.chunk(4, dim=1)
    grad_i, grad_f, grad_o, grad_s = grad_a.chunk(4, dim=1)
    tanh_c = _tanh(c)
    torch.mul(grad_h, tanh_c, out=grad_o)
    grad_c += torch.ops.aten.tanh_backward(torch.mul(grad_h, o), tanh_c)
    torch.mul(grad_c, s, out=grad_i).mul_(2).sub_(grad_c)
    torch.mul(grad_c, i, out=grad_s).mul_(2)
    if previous_c is None:
        grad_f.zero_()
    else:
        torch.mul(grad_c, previous_c, out=grad_f)
    torch.ops.aten.sigmoid_backward.grad_input(grad_a, gates, grad_input=grad_a)
