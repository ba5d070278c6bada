r"""The backward pass of a chain's gradient on one block, by hand.

Nothing is kept for it but ``y``. For the cotangent :math:`v` of the gradient
:math:`\partial_y F`, it differentiates the number
:math:`v \cdot \partial_y F = D_v F`: one pass forward with the tangents along
:math:`v`, and one pass back, as in Pearlmutter's `"Fast Exact Multiplication by the
Hessian" <https://doi.org/10.1162/neco.1994.6.1.147>`_. Here ``h_dot`` is the tangent of
``h``, and a :class:`Pair` holds the cotangents of both.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..ragged import SetIndex, segment_sum
from .activation import FusedActivation, apply_map, tanh_backward
from .chain import (
    Affine,
    Chain,
    Identity,
    Layer,
    LinearHead,
    Map,
    SquareHead,
    add_skip,
    no_channels,
)


class Pair(NamedTuple):
    """The cotangents of a value and of its tangent."""

    value: Tensor
    dot: Tensor


class Inputs(NamedTuple):
    """What goes into the maps of a layer, with tangents; ``v`` is that of ``y``."""

    h: Tensor
    h_dot: Tensor
    y: Tensor
    v: Tensor
    sets: SetIndex


class Record(NamedTuple):
    """What a layer's way back needs of its way forward."""

    inputs: Inputs
    activation: FusedActivation
    a_dot: Tensor
    normal_dot: Tensor
    t_dot: Tensor


def backward_block(
    chain: Chain, y: Tensor, v: Tensor, sets: SetIndex, grads: Chain
) -> Tensor:
    """Goes back through the gradient of one block.

    Args:
        chain: The chain of the elements of the block.
        y: The rows of its sets, ``[B, Y]``.
        v: The cotangent of the gradient, ``[B, Y]``.
        sets: The layout of the block.
        grads: Where the gradients of the chain's tensors are added.

    Returns:
        The gradient of ``y``, ``[B, Y]``.
    """
    start = no_channels(y, sets)
    inputs = Inputs(start, start, y, v, sets)
    tape = []
    for layer in chain.layers:
        tape.append(_record(layer, inputs))
        inputs = _forward(layer, tape[-1])
    pair, total = _head_backward(chain.head, grads.head, inputs)
    for layer, record, sums in zip(
        reversed(chain.layers), reversed(tape), reversed(grads.layers), strict=True
    ):
        inner = _activation_backward(layer, record, pair, sums)
        total += _accumulate(layer.main, inner, record.inputs, sums.main)
        outer, pair = pair, _to_h(layer.main, inner)
        if layer.skip is not None and sums.skip is not None:
            total += _accumulate(layer.skip, outer, record.inputs, sums.skip)
            beside = _to_h(layer.skip, outer)
            pair = Pair(pair.value + beside.value, pair.dot + beside.dot)
    return total


def _record(layer: Layer, inputs: Inputs) -> Record:
    h, h_dot, y, v, sets = inputs
    activation = FusedActivation.of(layer, h, y, sets)
    a_dot = apply_map(layer.main, h_dot, v, sets)
    normal_dot = activation.jacobian(a_dot)
    t_dot = tanh_backward(layer.gamma * normal_dot, activation.t)
    return Record(inputs, activation, a_dot, normal_dot, t_dot)


def _forward(layer: Layer, record: Record) -> Inputs:
    h, h_dot, y, v, sets = record.inputs
    out, out_dot = add_skip(layer, record.activation.t, h, y, sets), record.t_dot
    if isinstance(layer.skip, Affine):
        out_dot = apply_map(layer.skip, h_dot, v, sets).add_(out_dot)
    elif layer.skip is not None:
        out_dot = out_dot + h_dot
    return Inputs(out, out_dot, y, v, sets)


def _head_backward(
    head: LinearHead | SquareHead, sums: Any, inputs: Inputs
) -> tuple[Pair, Tensor]:
    h, h_dot, y, v, sets = inputs
    if isinstance(head, LinearHead):
        sums.weight.add_(h_dot.sum(0))
        nothing = h.new_zeros(1).expand_as(h)
        return Pair(nothing, head.weight.expand_as(h)), torch.zeros_like(y)
    out = head.out(h, y, sets)
    factor = 2 / out.size(1)
    pair = Pair(apply_map(head.out, h_dot, v, sets).mul_(factor), out.mul_(factor))
    return _to_h(head.out, pair), _accumulate(head.out, pair, inputs, sums.out)


def _activation_backward(layer: Layer, record: Record, pair: Pair, sums: Layer) -> Pair:
    _, activation, a_dot, normal_dot, t_dot = record
    t, scale, normal = activation.t, activation.scale, activation.normal
    z_dot = tanh_backward(pair.dot, t)
    z = tanh_backward(pair.value, t).addcmul_(t_dot * t, pair.dot, value=-2)
    sums.gamma.add_(torch.mul(normal, z).addcmul_(normal_dot, z_dot).sum(0))
    sums.beta.add_(z.sum(0))
    w = z_dot.mul_(layer.gamma)
    along_w = _mean_product(normal, w).mul_(scale)
    along_a = _mean_product(normal, a_dot).mul_(scale)
    turn = _mean_product(w, normal_dot).mul_(scale)
    z.mul_(layer.gamma).addcmul_(w, along_a, value=-1)
    z.addcmul_(a_dot, along_w, value=-1)
    a = activation.jacobian(z).addcmul_(normal, turn, value=-1)
    return Pair(a, activation.jacobian(w))


def _mean_product(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).mean(1, keepdim=True)


def _to_h(affine: Map, pair: Pair) -> Pair:
    return Pair(affine.to_h(pair.value), affine.to_h(pair.dot))


def _accumulate(affine: Map, pair: Pair, inputs: Inputs, sums: Map) -> Tensor:
    """Adds the gradients of the map's tensors to ``sums``; returns that of ``y``."""
    h, h_dot, y, v, sets = inputs
    if isinstance(affine, Identity) or isinstance(sums, Identity):
        return torch.zeros_like(y)
    per_element = affine.constant.dim() == 2
    sums.constant.add_(pair.value if per_element else pair.value.sum(0))
    sums.weight.addmm_(pair.value.t(), h).addmm_(pair.dot.t(), h_dot)
    if affine.from_y is None or sums.from_y is None:
        return torch.zeros_like(y)
    total, total_dot = (segment_sum(grad, sets) for grad in pair)
    sums.from_y.addmm_(total.t(), y).addmm_(total_dot.t(), v)
    return total @ affine.from_y
