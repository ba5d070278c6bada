"""The pass over the elements: against a loop, at any order, at what cost."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.utils._python_dispatch import TorchDispatchMode

from pyg_setops.ragged import SetIndex
from pyg_setops.slots.attend import attend
from pyg_setops.slots.layout import lay_out

SIZES, HEADS, WIDTH = [3, 0, 3, 1, 5], 2, 4
COUNTS = [2, 1, 2, 0, 3]


def layout(num_slots):
    index = torch.arange(len(SIZES)).repeat_interleave(torch.tensor(SIZES))
    return lay_out(SetIndex.build(index, dim_size=len(SIZES)), num_slots)


def arguments(total: int, num_values: int | None = None) -> list[torch.Tensor]:
    shapes = [(sum(SIZES), WIDTH), (total, HEADS, WIDTH), (total, HEADS)]
    if num_values is not None:
        shapes.insert(1, (sum(SIZES), num_values))
    return [torch.randn(s, dtype=torch.float64, requires_grad=True) for s in shapes]


def loop(keys, values, queries, bias, counts, joint):
    """From the equations, in the order of the batch."""
    num, den = [], []
    sets = zip(
        keys.split(SIZES),
        values.split(SIZES),
        queries.split(counts),
        bias.split(counts),
        strict=True,
    )
    for x, v, q, b in sets:
        logits = torch.einsum("nc,khc->nkh", x, q) + b
        flat = logits.flatten(1) if joint else logits
        weight = flat.softmax(1).view_as(logits)
        num.append(torch.einsum("nkh,nc->khc", weight, v))
        den.append(weight.sum(0))
    return torch.cat(num), torch.cat(den)


def run(keys, values, queries, bias, laid, joint):
    """`attend` from the order of the batch and back to it."""
    num, den = attend(
        keys[laid.order],
        keys[laid.order] if values is None else values[laid.order],
        laid.lay_slots(queries),
        laid.lay_slots(bias),
        laid,
        joint,
    )
    return laid.slots_back(num), laid.slots_back(den)


@pytest.mark.parametrize("joint", [False, True], ids=["apart", "joint"])
@pytest.mark.parametrize("counts", [[2] * 5, COUNTS], ids=["equal", "ragged"])
@pytest.mark.parametrize("own_values", [False, True], ids=["keys", "values"])
def test_equals_a_loop(joint, counts, own_values):
    laid = layout(2 if counts is not COUNTS else torch.tensor(counts))
    keys, *rest = arguments(sum(counts), 3 if own_values else None)
    values, queries, bias = rest if own_values else (None, *rest)
    actual = run(keys, values, queries, bias, laid, joint)
    source = keys if values is None else values
    expected = loop(keys, source, queries, bias, counts, joint)
    leaves = [keys, *rest]
    weights = [torch.randn_like(out) for out in expected]
    for out, wanted in zip(actual, expected, strict=True):
        torch.testing.assert_close(out, wanted, rtol=0, atol=1e-13)
    for gradient, wanted in zip(
        torch.autograd.grad(actual, leaves, weights),
        torch.autograd.grad(expected, leaves, weights),
        strict=True,
    ):
        torch.testing.assert_close(gradient, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("joint", [False, True], ids=["apart", "joint"])
@pytest.mark.parametrize(
    "num_slots", [2, torch.tensor(COUNTS)], ids=["equal", "ragged"]
)
@pytest.mark.parametrize("own_values", [False, True], ids=["keys", "values"])
def test_derivatives(joint, num_slots, own_values):
    laid = layout(num_slots)
    inputs = arguments(laid.total_slots, 3 if own_values else None)

    def pass_(*given):
        given = given if own_values else (given[0], given[0], *given[1:])
        return attend(*given, laid, joint)

    assert gradcheck(pass_, inputs, fast_mode=True)
    assert gradgradcheck(pass_, inputs, fast_mode=True)


def test_only_what_was_given_is_kept():
    laid = layout(2)
    keys, queries, bias = arguments(laid.total_slots)
    known = {t.untyped_storage().data_ptr() for t in (keys, queries, bias)}
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(kept.append, lambda _: None):
        attend(keys, keys, queries, bias, laid)
    assert {t.untyped_storage().data_ptr() for t in kept} <= known


class Counter(TorchDispatchMode):
    """Counts products, and remembers the largest tensor made."""

    def __init__(self):
        super().__init__()
        self.products, self.largest = 0, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        name = func.__name__.split(".")[0]
        self.products += name in ("mm", "bmm", "addmm", "baddbmm")
        if isinstance(out, torch.Tensor):
            self.largest = max(self.largest, out.untyped_storage().nbytes())
        return out


def test_products_are_two_for_each_distinct_size():
    sizes = torch.tensor([4, 9, 4, 1, 0, 9, 9])
    sets = SetIndex.build(ptr=torch.cat([sizes.new_zeros(1), sizes.cumsum(0)]))
    laid = lay_out(sets, 3)
    keys = torch.randn(sets.num_elements, 5, requires_grad=True)
    queries = torch.randn(21, 1, 5, requires_grad=True)
    bias = torch.randn(21, 1, requires_grad=True)
    with Counter() as forward:
        num, _ = attend(keys, keys, queries, bias, laid)
    with Counter() as backward:
        num.sum().backward()
    assert forward.products == 2 * 3
    assert backward.products == 4 * 3


def test_large_groups_are_cut():
    sets = SetIndex.build(ptr=torch.arange(0, 64 * 513, 64))
    laid = lay_out(sets, 7)
    keys, queries = torch.randn(sets.num_elements, 4), torch.randn(7 * 512, 1, 4)
    with Counter() as forward:
        attend(keys, keys, queries, torch.zeros(7 * 512, 1), laid)
    # Neither the shares of all elements nor the queries of each.
    assert forward.largest <= keys.nbytes


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_elements_are_added_up_in_single(dtype):
    keys = torch.ones(4000, 2, dtype=dtype)
    laid = lay_out(SetIndex.build(num_elements=4000), 1)
    queries = torch.full((1, 1, 2), 1e4, dtype=dtype)
    num, den = attend(keys, keys, queries, queries[..., 0], laid)
    assert num.dtype == torch.float32
    assert den.item() == 4000
    assert (num == 4000).all()
