"""What holds of every primitive: sets do not meet, halves do not stall, memory."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pyg_setops.ragged import (
    SetIndex,
    gather,
    segment_cummean,
    segment_cumsum,
    segment_matvec,
    segment_mean,
    segment_outer,
    segment_softmax,
    segment_sum,
)
from tests.oracles import ragged as oracle
from tests.ragged.layouts import PRIMITIVES, forms, layout

LONG = 5000


def outer(x, sets):
    return segment_outer(x, x, sets)


def matvec(x, sets):
    matrices = segment_sum(x, sets).unsqueeze(1).expand(-1, 2, -1)
    return segment_matvec(matrices, x, sets)


EVERY = {**PRIMITIVES, "outer": outer, "matvec": matvec}
NAMED_FORMS = [(name, form) for name in EVERY for form in forms(name)]


def run(primitive, x, sets):
    """The result and the gradient of a weighted sum of it."""
    x = x.clone().requires_grad_()
    out = primitive(x, sets)
    out.square().sum().backward()
    return out.detach(), x.grad


def part(out, index, number):
    """The rows of a result that belong to one set."""
    if out.size(0) == len(index):
        return out[torch.tensor(index) == number]
    return out[number]


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf], ids=str)
@pytest.mark.parametrize(("name", "form"), NAMED_FORMS)
def test_bad_values_stay_in_their_set(name, form, bad):
    sizes = [4, 40, 0, 3, 5]
    sets, index = layout(sizes, form)
    x = torch.randn(len(index), 20)
    spoilt = x.clone()
    spoilt[index.index(3)] = bad
    for clean, dirty in zip(
        run(EVERY[name], x, sets), run(EVERY[name], spoilt, sets), strict=True
    ):
        for number in (0, 1, 2, 4):
            assert torch.equal(part(clean, index, number), part(dirty, index, number))


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("company", [[1], [40, 0, 900], [3] * 300], ids=str)
@pytest.mark.parametrize("size", [1, 7, 32, 33, 200])
@pytest.mark.parametrize("name", EVERY)
def test_bits_do_not_depend_on_the_company(name, size, company):
    x = torch.randn(size, 20)
    others = torch.randn(sum(company), 20)
    for form in ("sorted", "ptr"):
        alone = run(EVERY[name], x, layout([size], form)[0])
        sets, index = layout([*company, size], form)
        together = run(EVERY[name], torch.cat([others, x]), sets)
        for one, other in zip(alone, together, strict=True):
            last = part(other, index, len(company))
            assert torch.equal(one.view(last.shape), last)


@given(sizes=st.lists(st.integers(0, 40), max_size=12), data=st.data())
def test_any_layout_and_order(sizes, data):
    numbers = [number for number, size in enumerate(sizes) for _ in range(size)]
    index = data.draw(st.permutations(numbers))
    sets = SetIndex.build(torch.tensor(index, dtype=torch.long), dim_size=len(sizes))
    x = torch.randn(len(index), 2, dtype=torch.float64)
    for name in PRIMITIVES:
        expected = getattr(oracle, name)(x, index, len(sizes))
        if "unsorted" not in forms(name) and not sets.is_sorted:
            with pytest.raises(ValueError, match="not sorted"):
                PRIMITIVES[name](x, sets)
        else:
            torch.testing.assert_close(PRIMITIVES[name](x, sets), expected)
    expected = oracle.segment_outer(x, x, index, len(sizes))
    torch.testing.assert_close(segment_outer(x, x, sets), expected)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_halves_are_accumulated_in_float32(dtype):
    sets, _ = layout([LONG], "ptr")
    ones = torch.ones(LONG, 1, dtype=dtype)
    total = torch.tensor(LONG, dtype=dtype)
    assert segment_sum(ones, sets) == total
    assert segment_mean(ones, sets) == 1
    assert segment_outer(ones, ones, sets) == total
    assert segment_cumsum(ones, sets)[-1] == total
    assert torch.equal(segment_cummean(ones, sets), ones)
    assert segment_softmax(ones, sets).sum(dtype=torch.float32) == pytest.approx(
        1, abs=1e-2
    )
    row = torch.ones(1, 1, dtype=dtype, requires_grad=True)
    gather(row, sets).sum().backward()
    assert row.grad == total
    first = ones.clone().requires_grad_()
    segment_cumsum(first, sets).sum(0).backward()
    assert first.grad[0] == total


def saved_bytes(run, *inputs):
    """What backward keeps, beyond the inputs, counted by storage."""
    known = {tensor.untyped_storage().data_ptr() for tensor in inputs}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = run(*inputs)
    return sum(kept.values()), out


@pytest.mark.parametrize("sizes", [[300], [3] * 100], ids=["one", "many"])
def test_products_and_scans_keep_no_more_than_their_inputs(sizes):
    sets, _ = layout(sizes, "sorted")
    sets.ptr, sets.index  # noqa: B018  (described once, whoever asks first)
    a, v = (torch.randn(300, 16, requires_grad=True) for _ in range(2))
    m = torch.randn(len(sizes), 16, 16, requires_grad=True)
    assert saved_bytes(lambda a, v: segment_outer(a, v, sets), a, v)[0] == 0
    assert saved_bytes(lambda m, v: segment_matvec(m, v, sets), m, v)[0] == 0
    assert saved_bytes(lambda a: segment_cumsum(a, sets), a)[0] == 0
    # The second order keeps the first gradient, and no matrix per element either.
    _, out = saved_bytes(lambda a, v: segment_outer(a, v, sets), a, v)
    grad = torch.randn_like(out).requires_grad_()
    kept, _ = saved_bytes(
        lambda *_: torch.autograd.grad(out, a, grad, create_graph=True), a, v, grad
    )
    assert kept == 0


@pytest.mark.parametrize("name", PRIMITIVES)
def test_nothing_but_rows_is_kept(name):
    sets, index = layout([30] * 10, "sorted")
    x = torch.randn(len(index), 64, requires_grad=True)
    kept, _ = saved_bytes(lambda x: PRIMITIVES[name](x, sets), x)
    # A softmax keeps its weights, their sums, and its result before and after.
    assert kept <= 4 * x.nbytes


@pytest.mark.parametrize("name", EVERY)
def test_runs_where_pytorch_is_deterministic(name):
    sets, index = layout([3, 0, 40], "sorted")
    x = torch.randn(len(index), 20)
    expected = run(EVERY[name], x, sets)
    torch.use_deterministic_algorithms(True)
    try:
        out = run(EVERY[name], x, sets)
    finally:
        torch.use_deterministic_algorithms(False)
    for one, other in zip(out, expected, strict=True):
        assert torch.equal(one, other)
