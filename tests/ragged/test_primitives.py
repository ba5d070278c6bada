"""Values of every primitive against plain loops, and its derivatives."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from pyg_setops.ragged import gather, segment_matvec, segment_outer
from tests.oracles import ragged as oracle
from tests.ragged.layouts import FORMS, PRIMITIVES, SIZES, forms, layout

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 8e-3}
NAMED_FORMS = [(name, form) for name in PRIMITIVES for form in forms(name)]

pytestmark = pytest.mark.usefixtures("backend")
each_sizes = pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
each_dtype = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
each_form = pytest.mark.parametrize("form", FORMS)
# Small enough for a numerical Hessian, with an empty set at every place.
CHECKED = [0, 3, 0, 1, 2, 0]


def assert_equals(out, expected, dtype):
    assert out.dtype == dtype
    tolerance = TOLERANCE[dtype]
    torch.testing.assert_close(out.double(), expected, rtol=tolerance, atol=tolerance)


@each_sizes
@each_dtype
@pytest.mark.parametrize(("name", "form"), NAMED_FORMS)
def test_values(name, form, dtype, sizes):
    sets, index = layout(sizes, form)
    for trailing in ((), (3,), (2, 3)):
        x = torch.randn(len(index), *trailing, dtype=dtype)
        expected = getattr(oracle, name)(x, index, len(sizes))
        assert_equals(PRIMITIVES[name](x, sets), expected, dtype)


@each_sizes
@each_dtype
@each_form
def test_gather_values(form, dtype, sizes):
    sets, index = layout(sizes, form)
    for trailing in ((), (3,), (2, 3)):
        x = torch.randn(len(sizes), *trailing, dtype=dtype)
        assert_equals(gather(x, sets), oracle.gather(x, index), dtype)


@each_sizes
@each_dtype
@each_form
# One multiplication an element, few, many, and none; (64, 40) gives the set of 40
# elements a product of its own.
@pytest.mark.parametrize(("k", "c"), [(1, 1), (2, 3), (64, 40), (0, 3), (3, 0)])
def test_product_values(form, dtype, sizes, k, c):
    sets, index = layout(sizes, form)
    a = torch.randn(len(index), k, dtype=dtype)
    v = torch.randn(len(index), c, dtype=dtype)
    m = torch.randn(len(sizes), k, c, dtype=dtype) / 4
    outer = segment_outer(a, v, sets)
    assert_equals(outer, oracle.segment_outer(a, v, index, len(sizes)), dtype)
    matvec = segment_matvec(m, v, sets)
    assert_equals(matvec, oracle.segment_matvec(m, v, index), dtype)


@pytest.mark.parametrize(("name", "form"), NAMED_FORMS)
def test_derivatives(name, form):
    sets, index = layout(CHECKED, form)
    x = torch.randn(len(index), 2, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x: PRIMITIVES[name](x, sets), x)
    assert gradgradcheck(lambda x: PRIMITIVES[name](x, sets), x)


@each_form
def test_gather_derivatives(form):
    sets, _ = layout(CHECKED, form)
    x = torch.randn(len(CHECKED), 2, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x: gather(x, sets), x)
    assert gradgradcheck(lambda x: gather(x, sets), x)


@each_form
@pytest.mark.parametrize("own_product", [0, 2**14], ids=["own", "shared"])
def test_product_derivatives(form, own_product, monkeypatch):
    monkeypatch.setattr("pyg_setops.ragged.products.OWN_PRODUCT", own_product)
    sets, index = layout(CHECKED, form)
    draw = {"dtype": torch.float64, "requires_grad": True}
    a, v = torch.randn(len(index), 2, **draw), torch.randn(len(index), 3, **draw)
    m = torch.randn(len(CHECKED), 2, 3, **draw)
    for check in (gradcheck, gradgradcheck):
        assert check(lambda a, v: segment_outer(a, v, sets), (a, v))
        assert check(lambda m, v: segment_matvec(m, v, sets), (m, v))


@pytest.mark.parametrize("many", [1, 10**9], ids=["together", "alone"])
def test_scan_derivatives(many, monkeypatch):
    monkeypatch.setattr("pyg_setops.ragged.scan.MANY", many)
    sets, index = layout(CHECKED, "ptr")
    x = torch.randn(len(index), 2, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x: PRIMITIVES["segment_cumsum"](x, sets), x)
    assert gradgradcheck(lambda x: PRIMITIVES["segment_cumsum"](x, sets), x)


def test_ties_share_the_gradient_of_the_maximum():
    sets, _ = layout([2, 3], "ptr")
    x = torch.tensor([1.0, 1, 0, 2, 2], requires_grad=True)
    PRIMITIVES["segment_max"](x, sets).sum().backward()
    assert x.grad.tolist() == [0.5, 0.5, 0, 0.5, 0.5]


def test_products_of_two_dtypes_take_the_wider():
    sets, index = layout([2, 3], "ptr")
    a = torch.randn(5, 2, dtype=torch.bfloat16, requires_grad=True)
    v = torch.randn(5, 3, requires_grad=True)
    out = segment_outer(a, v, sets)
    assert_equals(out.detach(), oracle.segment_outer(a, v, index, 2), torch.float32)
    out.sum().backward()
    assert a.grad.dtype == torch.bfloat16
    assert v.grad.dtype == torch.float32


def test_masked_sets():
    masked = -torch.inf
    sets, _ = layout([2, 0, 2], "ptr")
    x = torch.tensor([masked, masked, 0, masked], requires_grad=True)
    softmax = PRIMITIVES["segment_softmax"](x, sets)
    assert softmax.tolist() == [0, 0, 1, 0]
    logsumexp = PRIMITIVES["segment_logsumexp"](x, sets)
    assert logsumexp.tolist() == [masked, 0, 0]
    (softmax.sum() + logsumexp.sum()).backward()
    assert x.grad.tolist() == [0, 0, 1, 0]


def test_large_values_do_not_overflow():
    sets, _ = layout([2], "ptr")
    x = torch.tensor([1000.0, 1000.0])
    assert PRIMITIVES["segment_softmax"](x, sets).tolist() == [0.5, 0.5]
    expected = 1000 + torch.tensor(2.0).log()
    torch.testing.assert_close(PRIMITIVES["segment_logsumexp"](x, sets)[0], expected)
