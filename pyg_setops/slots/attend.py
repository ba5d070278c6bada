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
from ..ragged.precision import accumulator, without_autocast
from .layout import Layout, Part


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
    with without_autocast(keys):
        queries, bias = queries.to(dtype), bias.to(dtype)
        if layout.groups is not None and is_eager():
            own = None if values is keys else values
            contests = 1 if joint else queries.size(1)
            return _Attend.apply(keys, own, queries, bias, layout, contests)
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
        contests: int,
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(keys, values, queries, bias)
        ctx.layout, ctx.contests = layout, contests
        source = keys if values is None else values
        num = queries.new_zeros(*queries.shape[:2], source.size(1))
        den = torch.zeros_like(bias)
        outs = zip(layout.of_slots(num), layout.of_slots(den), strict=True)
        given = _walk(layout, keys, values, queries, bias)
        for (_, k, v, q, b), (sums, total) in zip(given, outs, strict=True):
            weight = _softmax(_product(q, k.mT, b), contests)
            _product(weight, v, out=sums)
            torch.sum(weight, -1, out=total)
        return num, den

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        saved, layout, contests = _Saved(*ctx.saved_tensors), ctx.layout, ctx.contests
        with without_autocast(saved.keys):
            if torch.is_grad_enabled():
                found = _plain_gradients(ctx, saved, grads)
            else:
                found = _gradients(saved, layout, contests, *grads)
        return *found, None, None


def _gradients(
    saved: _Saved, layout: Layout, contests: int, grad_num: Tensor, grad_den: Tensor
) -> tuple[Tensor | None, ...]:
    grad_keys, grad_queries, grad_bias = (
        torch.empty_like(saved.keys),
        torch.zeros_like(saved.queries),
        torch.zeros_like(saved.bias),
    )
    grad_values = None if saved.values is None else torch.empty_like(saved.values)
    slices = zip(
        _walk(layout, *saved),
        layout.of_slots(grad_num.contiguous()),
        layout.of_slots(grad_den.contiguous()),
        layout.of_slots(grad_queries),
        layout.of_slots(grad_bias),
        layout.of_elements(grad_keys),
        strict=True,
    )
    for (rows, k, v, q, b), g_num, g_den, g_q, g_b, g_k in slices:
        weight = _softmax(_product(q, k.mT, b), contests)
        slope = _product(g_num, v.mT, g_den).mul_(weight)
        slope = _centred(slope, weight, contests)
        _product(slope, k, out=g_q)
        torch.sum(slope, -1, out=g_b)
        if grad_values is None:
            both = torch.cat([slope, weight], -2).mT
            own = _product(both, torch.cat([q, g_num], -2))
        else:
            own = _product(slope.mT, q)
            grad_values[rows] = _product(weight.mT, g_num).flatten(0, -2)
        g_k.copy_(own)
    return grad_keys, grad_values, grad_queries, grad_bias


def _walk(
    layout: Layout, keys: Tensor, values: Tensor | None, queries: Tensor, bias: Tensor
) -> Iterator[tuple[slice, Tensor, Tensor, Tensor, Tensor]]:
    """The rows of each group, and its keys, values, queries and bias."""
    assert layout.groups is not None
    dtype = queries.dtype
    every = [layout.of_elements(keys), layout.of_slots(queries), layout.of_slots(bias)]
    values_of = [None] * len(every[0]) if values is None else layout.of_elements(values)
    for group, k, q, b, v in zip(layout.groups, *every, values_of, strict=True):
        k = k.to(dtype)
        yield group.rows, k, k if v is None else v.to(dtype), q, b


def _product(
    a: Tensor, b: Tensor, bias: Tensor | None = None, out: Tensor | None = None
) -> Tensor:
    """``a @ b``, of one set or of many, and ``bias`` added to each row."""
    if bias is None:
        return torch.mm(a, b, out=out) if a.dim() == 2 else torch.bmm(a, b, out=out)
    bias = bias.unsqueeze(-1)
    return torch.addmm(bias, a, b) if a.dim() == 2 else torch.baddbmm(bias, a, b)


def _softmax(logits: Tensor, contests: int) -> Tensor:
    """Over the rows, ``[*, K H, n]``, in each of so many contests apart."""
    if contests == 1:
        return logits.softmax(-2)
    return logits.unflatten(-2, (-1, contests)).softmax(-3).view_as(logits)


def _centred(slope: Tensor, weight: Tensor, contests: int) -> Tensor:
    """The softmax's derivative: ``slope`` less its sum over rivals, weighted."""
    if contests == 1:
        return slope.addcmul_(weight, slope.sum(-2, keepdim=True), value=-1)
    apart, shares = (rows.unflatten(-2, (-1, contests)) for rows in (slope, weight))
    apart.addcmul_(shares, apart.sum(-3, keepdim=True), value=-1)
    return slope


def _plain_gradients(
    ctx: Any, saved: _Saved, grads: tuple[Tensor, ...]
) -> tuple[Tensor | None, ...]:
    """The gradients as a differentiable function of what was saved and ``grads``."""
    # Views, since one input may depend on another; the gradient of each is wanted.
    keys, queries, bias = (t.view_as(t) for t in (saved.keys, *saved[2:]))
    values = keys if saved.values is None else saved.values.view_as(saved.values)
    joint = ctx.contests < queries.size(1)
    outputs = _attend_plain(keys, values, queries, bias, ctx.layout, joint)
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
    return tuple(next(found) if needed else None for needed in ctx.needs_input_grad[:4])
