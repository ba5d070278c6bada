r"""A chain of layers over pairs of an element and the ``y`` of its set.

Both residual energies are such chains. What is linear in :math:`[x_i; y_b]` is composed
beforehand, so that a chain sees constants of the elements and maps of ``y``:

.. math::
    t_l = \tanh(\mathrm{norm}_l(W_l h_l + c_l + Q_l y_b)), \qquad
    h_{l+1} = t_l + \mathrm{skip}_l(h_l, y_b), \qquad F_i = \mathrm{head}(h_L) ,

from an :math:`h_0` of no channels. The gradient of :math:`\sum_{i \in b} F_i` in
:math:`y_b` is written out. Cotangents are summed over the set before
:math:`Q_l^\top` is applied: no product with a map of ``y`` is taken per element.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn.functional import linear

from ..ragged import SetIndex, gather, segment_sum


class Affine(NamedTuple):
    r"""The map :math:`W h_i + c_i + Q y_b`.

    Attributes:
        constant: :math:`c`, ``[N, K]`` or, the same for all elements, ``[K]``.
        weight: :math:`W`, ``[K, H]``.
        from_y: :math:`Q`, ``[K, Y]``; ``None`` where ``y`` does not enter.
    """

    constant: Tensor
    weight: Tensor
    from_y: Tensor | None = None

    def __call__(self, h: Tensor, y: Tensor, sets: SetIndex) -> Tensor:
        """The values ``[N, K]`` for ``h`` ``[N, H]`` and ``y`` ``[B, Y]``."""
        out = linear(h, self.weight) + self.constant
        if self.from_y is None:
            return out
        return out + gather(linear(y, self.from_y), sets)

    def to_h(self, grad: Tensor) -> Tensor:
        """The cotangent of ``h``, for ``grad`` of the values."""
        return grad @ self.weight

    def add_to_y(self, total: Tensor, grad: Tensor, sets: SetIndex) -> Tensor:
        """``total`` plus the cotangent of ``y``, for ``grad`` of the values."""
        if self.from_y is None:
            return total
        return total + segment_sum(grad, sets) @ self.from_y

    def rows(self, rows: slice) -> Affine:
        """The map of some elements."""
        if self.constant.dim() == 1:
            return self
        return self._replace(constant=self.constant[rows])


class Identity(NamedTuple):
    """The map that gives ``h`` back."""

    def __call__(self, h: Tensor, y: Tensor, sets: SetIndex) -> Tensor:
        """The values ``[N, H]``."""
        return h

    def to_h(self, grad: Tensor) -> Tensor:
        """The cotangent of ``h``."""
        return grad

    def add_to_y(self, total: Tensor, grad: Tensor, sets: SetIndex) -> Tensor:
        """``total``: ``y`` does not enter."""
        return total

    def rows(self, rows: slice) -> Identity:
        """The map of some elements."""
        return self


Map = Affine | Identity


class Layer(NamedTuple):
    """One layer.

    Attributes:
        main: What is normalised.
        gamma: The weight of the norm, ``[K]``.
        beta: The bias of the norm, ``[K]``.
        skip: What is added to the activation, if anything.
    """

    main: Affine
    gamma: Tensor
    beta: Tensor
    skip: Map | None = None

    def rows(self, rows: slice) -> Layer:
        """The layer of some elements."""
        skip = None if self.skip is None else self.skip.rows(rows)
        return self._replace(main=self.main.rows(rows), skip=skip)


class LinearHead(NamedTuple):
    r""":math:`F_i = w \cdot h_i`, with :math:`w` ``[H]``."""

    weight: Tensor

    def value(self, h: Tensor, y: Tensor, sets: SetIndex) -> Tensor:
        """The values, ``[N]``."""
        return h @ self.weight

    def grad(self, h: Tensor, y: Tensor, sets: SetIndex) -> tuple[Tensor, Tensor]:
        """The gradients in ``h``, ``[N, H]``, and in ``y``, ``[B, Y]``."""
        return self.weight.expand_as(h), torch.zeros_like(y)

    def rows(self, rows: slice) -> LinearHead:
        """The head of some elements."""
        return self


class SquareHead(NamedTuple):
    r""":math:`F_i = \frac1C |W h_i + c_i + Q y_b|^2`, over :math:`C` channels."""

    out: Affine

    def value(self, h: Tensor, y: Tensor, sets: SetIndex) -> Tensor:
        """The values, ``[N]``."""
        return self.out(h, y, sets).square().mean(-1)

    def grad(self, h: Tensor, y: Tensor, sets: SetIndex) -> tuple[Tensor, Tensor]:
        """The gradients in ``h``, ``[N, H]``, and in ``y``, ``[B, Y]``."""
        out = self.out(h, y, sets)
        out = out * (2 / out.size(-1))
        return self.out.to_h(out), self.out.add_to_y(torch.zeros_like(y), out, sets)

    def rows(self, rows: slice) -> SquareHead:
        """The head of some elements."""
        return SquareHead(self.out.rows(rows))


class Chain(NamedTuple):
    """The layers and the head.

    Attributes:
        layers: From the first to the last.
        head: What makes a number of the output of the last layer.
    """

    layers: tuple[Layer, ...]
    head: LinearHead | SquareHead

    def rows(self, rows: slice) -> Chain:
        """The chain of some elements."""
        layers = tuple(layer.rows(rows) for layer in self.layers)
        return Chain(layers, self.head.rows(rows))


class Activation(Protocol):
    """The result of a layer before the skip, and how cotangents pass back."""

    @property
    def t(self) -> Tensor:
        """The result, ``[N, K]``."""

    def pull(self, grad: Tensor) -> Tensor:
        """The cotangent of the layer's ``main``, for ``grad`` of ``t``."""


Activate = Callable[[Layer, Tensor, Tensor, SetIndex], Activation]


def chain_value(chain: Chain, y: Tensor, sets: SetIndex, activate: Activate) -> Tensor:
    r"""The sums :math:`\sum_{i \in b} F_i`, ``[B]``."""
    h = no_channels(y, sets)
    for layer in chain.layers:
        h = add_skip(layer, activate(layer, h, y, sets).t, h, y, sets)
    return segment_sum(chain.head.value(h, y, sets), sets)


def chain_gradient(
    chain: Chain, y: Tensor, sets: SetIndex, activate: Activate
) -> Tensor:
    r"""The gradients of :math:`\sum_{i \in b} F_i` in :math:`y_b`, ``[B, Y]``."""
    h, tape = no_channels(y, sets), []
    for layer in chain.layers:
        activation = activate(layer, h, y, sets)
        tape.append((layer, activation))
        h = add_skip(layer, activation.t, h, y, sets)
    grad, total = chain.head.grad(h, y, sets)
    for layer, activation in reversed(tape):
        inner = activation.pull(grad)
        total = layer.main.add_to_y(total, inner, sets)
        outer, grad = grad, layer.main.to_h(inner)
        if layer.skip is not None:
            total = layer.skip.add_to_y(total, outer, sets)
            grad = grad + layer.skip.to_h(outer)
    return total


def no_channels(y: Tensor, sets: SetIndex) -> Tensor:
    """The input of the first layer."""
    return y.new_empty(sets.num_elements, 0)


def add_skip(layer: Layer, t: Tensor, h: Tensor, y: Tensor, sets: SetIndex) -> Tensor:
    """The output of a layer with activation ``t`` and input ``h``."""
    return t if layer.skip is None else t + layer.skip(h, y, sets)
