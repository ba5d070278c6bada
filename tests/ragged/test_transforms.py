"""What looks into the primitives: compilation, function transforms, fake devices."""

import pytest
import torch
from torch import func

from pyg_setops.ragged import SetIndex, gather, segment_matvec, segment_outer
from tests.ragged.layouts import PRIMITIVES, SCANS, layout

SIZES = [2, 0, 3, 1]


def everything(x, sets, scans=True):
    """One number that depends on every primitive."""
    total = gather(segment_outer(x, x, sets), sets).sum()
    total = total + segment_matvec(segment_outer(x, x, sets), x, sets).sum()
    for name, primitive in PRIMITIVES.items():
        if scans or name not in SCANS:
            total = total + primitive(x, sets).square().sum()
    return total


def by_index(x, index, num_sets):
    return everything(x, SetIndex.build(index, None, num_sets, x.size(0)))


def by_ptr(x, ptr):
    return everything(x, SetIndex.build(None, ptr, None, x.size(0)))


def value_and_gradient(function, x, *layout):
    x = x.clone().requires_grad_()
    out = function(x, *layout)
    out.backward()
    return out.detach(), x.grad


def inputs(sizes, form):
    sets, index = layout(sizes, "sorted")
    x = torch.randn(len(index), 3, dtype=torch.float64)
    return (x, sets.ptr) if form == "ptr" else (x, sets.index, sets.num_sets)


FORMS = {"index": by_index, "ptr": by_ptr}


@pytest.fixture(autouse=True)
def _fresh_compiler():
    torch._dynamo.reset()


@pytest.mark.parametrize("form", FORMS)
def test_compiles_into_one_graph(form):
    compiled = torch.compile(FORMS[form], fullgraph=True, backend="aot_eager")
    given = inputs(SIZES, form)
    expected = value_and_gradient(FORMS[form], *given)
    torch.testing.assert_close(value_and_gradient(compiled, *given), expected)


@pytest.mark.parametrize("form", FORMS)
def test_compiles_once_for_all_sizes(form):
    counter = torch._dynamo.testing.CompileCounter()

    def run(x, *given):
        given = (None, *given, None) if form == "ptr" else (given[0], None, given[1])
        return everything(x, SetIndex.build(*given, x.size(0)), scans=False)

    compiled = torch.compile(run, fullgraph=True, backend=counter, dynamic=True)
    for sizes in (SIZES, [7, 5, 2], [3] * 20, [50, 0]):
        given = inputs(sizes, form)
        torch.testing.assert_close(compiled(*given), run(*given))
    assert counter.frame_count == 1


def test_an_interleaved_scan_is_caught_at_run_time():
    @torch.compile(fullgraph=True, backend="aot_eager")
    def run(x, index):
        return PRIMITIVES["segment_cumsum"](x, SetIndex.build(index, dim_size=2))

    with pytest.raises(RuntimeError, match="not sorted"):
        run(torch.ones(3), torch.tensor([0, 1, 0]))


@pytest.mark.parametrize("form", FORMS)
def test_reads_no_value_from_a_device(form):
    """Meta tensors have no values: whatever waits for one fails."""
    x = torch.empty(6, 3, device="meta", requires_grad=True)
    index = torch.empty(6, dtype=torch.long, device="meta")
    ptr = torch.empty(5, dtype=torch.long, device="meta")
    FORMS[form](x, *((ptr,) if form == "ptr" else (index, 4))).backward()
    assert x.grad.shape == x.shape
    assert SetIndex.build(index, dim_size=4).sorted()[0].ptr.shape == ptr.shape
    with pytest.raises(RuntimeError, match="meta"):
        by_index(x, index, None)


@pytest.mark.parametrize("name", PRIMITIVES)
def test_function_transforms(name):
    sets, index = layout(SIZES, "sorted")
    batch = torch.randn(4, len(index), 3, dtype=torch.float64)

    def loss(x):
        return PRIMITIVES[name](x, sets).square().sum()

    mapped = func.vmap(lambda x: PRIMITIVES[name](x, sets))(batch)
    for x, out in zip(batch, mapped, strict=True):
        torch.testing.assert_close(out, PRIMITIVES[name](x, sets))
    for x, grad in zip(batch, func.vmap(func.grad(loss))(batch), strict=True):
        torch.testing.assert_close(grad, value_and_gradient(loss, x)[1])


def test_function_transforms_of_products():
    sets, index = layout(SIZES, "sorted")
    batch = torch.randn(4, len(index), 3, dtype=torch.float64)

    def loss(x):
        outer = segment_outer(x, x, sets)
        return segment_matvec(outer, x, sets).square().sum()

    for x, grad in zip(batch, func.vmap(func.grad(loss))(batch), strict=True):
        torch.testing.assert_close(grad, value_and_gradient(loss, x)[1])


def test_hessian_vector_products():
    sets, index = layout(SIZES, "sorted")
    x = torch.randn(len(index), 3, dtype=torch.float64)
    direction = torch.randn_like(x)

    def loss(x):
        return everything(x, sets)

    forward = func.jvp(func.grad(loss), (x,), (direction,))[1]
    reverse = torch.autograd.functional.hvp(loss, x, direction)[1]
    torch.testing.assert_close(forward, reverse)


def test_inference_mode():
    sets, index = layout(SIZES, "sorted")
    x = torch.randn(len(index), 3, dtype=torch.float64)
    expected = everything(x, sets)
    with torch.inference_mode():
        assert torch.equal(everything(x, sets), expected)
