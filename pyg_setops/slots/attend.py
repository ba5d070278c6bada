r"""The one pass over the elements that an iteration of Slot Attention needs.

For a set with keys :math:`X` and values :math:`V` (``[n, C]``) and the queries
:math:`Q` (``[K, C]``) of its slots,

.. math::
    A = \mathrm{softmax}_{slots}(Q X^\top + b), \qquad num = A V, \qquad den = A 1 .

The softmax runs over the few slots, so a set can be cut anywhere and only sums meet.
The backward pass computes :math:`A` again: nothing of size :math:`N K` is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..ragged import gather, segment_matvec, segment_outer, segment_sum
from ..ragged.eager import is_eager
from ..ragged.precision import accumulator
from .layout import Group, Layout, Part


def attend(
    keys: Tensor,
    values: Tensor,
    queries: Tensor,
    bias: Tensor,
    layout: Layout,
    joint: bool = False,
) -> tuple[Tensor, Tensor]:
    """Sums the values of each set, weighted by how its slots share each element.

    Differentiable to any order.

    Args:
        keys: Elements ``[N, C]``, laid out.
        values: Elements ``[N, V]``, laid out; the very ``keys`` cost nothing more.
        queries: ``[S, H, C]`` for slots with ``H`` heads, laid out.
        bias: What is added to the logits, ``[S, H]``.
        layout: The layout.
        joint: Whether all heads of all slots share one softmax.

    Returns:
        The sums ``[S, H, V]`` and the sums of the weights ``[S, H]``, zero where a set
        is empty, in float32 or wider.

    Cost:
        :math:`O(N H K C)` time; nothing is kept but the arguments.
    """
    dtype = accumulator(keys.dtype)
    with torch.autocast(keys.device.type, enabled=False):
        queries, bias = queries.to(dtype), bias.to(dtype)
        if layout.groups is not None and is_eager():
            own = None if values is keys else values
            return _Attend.apply(keys, own, queries, bias, layout, joint)
        return _attend_plain(keys, values, queries, bias, layout, joint)


def shares(
    keys: Tensor, queries: Tensor, bias: Tensor, part: Part, joint: bool
) -> Tensor:
    """How the elements of a part are shared, ``[n, K, H]``; see :func:`attend`."""
    num_sets, heads = part.sets.num_sets, queries.size(1)
    dtype = accumulator(keys.dtype)
    q = queries[part.slots].to(dtype).reshape(num_sets, -1, keys.size(1))
    logits = segment_matvec(q, keys[part.rows].to(dtype), part.sets)
    logits = logits + gather(
        bias[part.slots].to(dtype).reshape(num_sets, -1), part.sets
    )
    if joint:
        return logits.softmax(1).unflatten(1, (-1, heads))
    return logits.unflatten(1, (-1, heads)).softmax(1)


def _attend_plain(
    keys: Tensor,
    values: Tensor,
    queries: Tensor,
    bias: Tensor,
    layout: Layout,
    joint: bool,
) -> tuple[Tensor, Tensor]:
    num, den = [], []
    heads = queries.size(1)
    for part in layout.parts:
        if part.num_slots > 0:
            weight = shares(keys, queries, bias, part, joint).flatten(1)
            each = segment_outer(weight, values[part.rows].to(weight.dtype), part.sets)
            num.append(each.unflatten(1, (-1, heads)).flatten(0, 1))
            mass = segment_sum(weight, part.sets)
            den.append(mass.unflatten(1, (-1, heads)).flatten(0, 1))
    none = queries.new_zeros(0, heads, values.size(1))
    return layout.pad_slots(num, none), layout.pad_slots(den, none[..., 0])


class _Saved(NamedTuple):
    keys: Tensor
    values: Tensor | None  # None for the keys
    queries: Tensor
    bias: Tensor


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        keys: Tensor,
        values: Tensor | None,
        queries: Tensor,
        bias: Tensor,
        layout: Layout,
        joint: bool,
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(keys, values, queries, bias)
        ctx.layout, ctx.joint = layout, joint
        source = keys if values is None else values
        num = queries.new_zeros(*queries.shape[:2], source.size(1))
        den = torch.zeros_like(bias)
        for group, k, v, q, b in _walk(layout, keys, values, queries, bias):
            weight = _softmax(_product(q, k.mT, b), group, joint)
            group.of_slots(num).copy_(_product(weight, v))
            torch.sum(weight, -1, out=group.of_slots(den))
        return num, den

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        saved = _Saved(*ctx.saved_tensors)
        if torch.is_grad_enabled():
            return *_plain_gradients(ctx, saved, grads), None, None
        grad_keys, grad_queries, grad_bias = (
            torch.zeros_like(saved.keys),
            torch.zeros_like(saved.queries),
            torch.zeros_like(saved.bias),
        )
        grad_values = None if saved.values is None else torch.zeros_like(saved.values)
        for group, k, v, q, b in _walk(ctx.layout, *saved):
            grad_num, grad_den = (group.of_slots(grad) for grad in grads)
            weight = _softmax(_product(q, k.mT, b), group, ctx.joint)
            slope = _product(grad_num, v.mT, grad_den).mul_(weight)
            slope = _centred(slope, weight, group, ctx.joint)
            group.of_slots(grad_queries).copy_(_product(slope, k))
            torch.sum(slope, -1, out=group.of_slots(grad_bias))
            if grad_values is None:
                both = torch.cat([slope, weight], 1).mT
                own = _product(both, torch.cat([q, grad_num], 1))
            else:
                own = _product(slope.mT, q)
                group.elements(grad_values).copy_(_product(weight.mT, grad_num))
            group.elements(grad_keys).copy_(own)
        return grad_keys, grad_values, grad_queries, grad_bias, None, None


def _walk(
    layout: Layout, keys: Tensor, values: Tensor | None, queries: Tensor, bias: Tensor
) -> Iterator[tuple[Group, Tensor, Tensor, Tensor, Tensor]]:
    """Each group that has slots, with its keys, values, queries and bias."""
    assert layout.groups is not None
    for group in layout.groups:
        if group.num_slots > 0:
            k = group.elements(keys).to(queries.dtype)
            v = k if values is None else group.elements(values).to(queries.dtype)
            yield group, k, v, group.of_slots(queries), group.of_slots(bias)


def _product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """``a @ b``, and ``bias`` added to each row; one product where one set is alone."""
    if a.size(0) == 1:
        a, b = a[0], b[0]
        out = a.mm(b) if bias is None else torch.addmm(bias[0, :, None], a, b)
        return out[None]
    return a.bmm(b) if bias is None else torch.baddbmm(bias[..., None], a, b)


def _softmax(logits: Tensor, group: Group, joint: bool) -> Tensor:
    if joint:
        return logits.softmax(1)
    return logits.unflatten(1, (group.num_slots, -1)).softmax(1).flatten(1, 2)


def _centred(slope: Tensor, weight: Tensor, group: Group, joint: bool) -> Tensor:
    """The softmax's derivative: ``slope`` less its sum over rivals, weighted."""
    if joint:
        return slope.addcmul_(weight, slope.sum(1, keepdim=True), value=-1)
    apart = slope.unflatten(1, (group.num_slots, -1))
    total = apart.sum(1, keepdim=True)
    return apart.addcmul_(weight.view_as(apart), total, value=-1).flatten(1, 2)


def _plain_gradients(
    ctx: Any, saved: _Saved, grads: tuple[Tensor, ...]
) -> list[Tensor | None]:
    """The gradients as a differentiable function of what was saved and ``grads``."""
    # Views, since one input may depend on another; the gradient of each is wanted.
    keys, queries, bias = (t.view_as(t) for t in (saved.keys, *saved[2:]))
    values = keys if saved.values is None else saved.values.view_as(saved.values)
    outputs = _attend_plain(keys, values, queries, bias, ctx.layout, ctx.joint)
    inputs = (keys, values, queries, bias)
    wanted = [
        value
        for value, needed in zip(inputs, ctx.needs_input_grad, strict=False)
        if needed
    ]
    found = iter(
        torch.autograd.grad(
            outputs, wanted, grads, create_graph=True, allow_unused=True
        )
    )
    return [next(found) if needed else None for needed in ctx.needs_input_grad[:4]]
