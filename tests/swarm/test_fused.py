"""The blocked fast path against the plain one, and where it must stand back."""

import copy

import pytest
import torch

from pyg_setops.swarm import SwarmLayer, fused
from pyg_setops.testing import random_sets

HIDDEN = 6
BATCHES = {
    "usual": [3, 1, 5, 2],
    "larger than a block": [2, 11, 3],
    "exactly a block": [4, 4, 2, 2],
    "tiny": [1, 2, 0] * 20,
    "empty at the borders": [0, 4, 0, 0, 4, 0, 3, 0, 0],
    "no elements": [0, 0],
    "no sets": [],
}
each_pool = pytest.mark.parametrize("pool", ["mean", "sum", "causal"])
each_mode = pytest.mark.parametrize("mode", ["keep", "recompute"])
each_batch = pytest.mark.parametrize("sizes", BATCHES.values(), ids=BATCHES)


@pytest.fixture
def blocks_of_four(monkeypatch):
    monkeypatch.setattr(fused, "BLOCK_BYTES", 4 * 4 * HIDDEN * 8)


@pytest.fixture
def calls(monkeypatch):
    """The calls of the fast path: what is compared must not be plain with plain."""
    seen = []
    original = fused._Swarm.forward

    def forward(*args):
        seen.append(args)
        return original(*args)

    monkeypatch.setattr(fused._Swarm, "forward", staticmethod(forward))
    return seen


def make(pool, mode, in_channels=3, out_channels=3, **kwargs):
    torch.manual_seed(0)
    arguments = (in_channels, out_channels, HIDDEN, 4)
    return SwarmLayer(*arguments, pool=pool, mode=mode, **kwargs)


def value_and_gradients(layer, x, index):
    x = x.clone().requires_grad_()
    out = layer(x, index)
    weight = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    return out, *torch.autograd.grad(out, [x, *layer.parameters()], weight)


@each_pool
@each_mode
@each_batch
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.usefixtures("blocks_of_four")
def test_equals_plain(pool, mode, sizes, dtype, calls):
    sets = random_sets(3, sizes, dtype=dtype)
    plain, fast = (make(pool, each).to(dtype) for each in ("plain", mode))
    tolerance = {"rtol": 1e-12, "atol": 1e-13}
    if dtype == torch.float32:
        tolerance = {"rtol": 1e-5, "atol": 1e-6}
    expected = value_and_gradients(plain, sets.x, sets.index)
    assert not calls
    found = value_and_gradients(fast, sets.x, sets.index)
    assert len(calls) == 1
    torch.testing.assert_close(found, expected, **tolerance)
    with torch.no_grad():
        out = fast(sets.x, sets.index)
    torch.testing.assert_close(out, found[0], rtol=0, atol=0)


@each_mode
@each_batch
@pytest.mark.usefixtures("blocks_of_four")
def test_elements_in_any_order(mode, sizes):
    sets = random_sets(3, sizes, dtype=torch.float64)
    order = torch.randperm(len(sets.x))
    plain, fast = (make("mean", each).double() for each in ("plain", mode))
    torch.testing.assert_close(
        value_and_gradients(fast, sets.x[order], sets.index[order]),
        value_and_gradients(plain, sets.x[order], sets.index[order]),
    )


@each_mode
@pytest.mark.parametrize("rows", [1, 4, 10**6])
def test_blocks_change_nothing(mode, rows, monkeypatch):
    sets = random_sets(3, BATCHES["usual"], dtype=torch.float64)
    layer = make("mean", mode).double()
    expected = value_and_gradients(layer, sets.x, sets.index)
    monkeypatch.setattr(fused, "BLOCK_BYTES", rows * 4 * HIDDEN * 8)
    found = value_and_gradients(layer, sets.x, sets.index)
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-14)


@each_mode
@pytest.mark.parametrize("of", ["x", "weights", "one weight", "h only", "c only"])
def test_some_gradients(mode, of):
    sets = random_sets(3, dtype=torch.float64)
    found = []
    for each in ("plain", mode):
        layer = make("mean", each).double().requires_grad_(of != "x")
        x = sets.x.clone().requires_grad_(of != "weights")
        if of == "one weight":
            layer.requires_grad_(False).cell.lin_p.requires_grad_(True)
        if of in ("h only", "c only"):
            with torch.no_grad():
                h_or_c = slice(HIDDEN) if of == "c only" else slice(HIDDEN, None)
                layer.lin_out.weight[:, h_or_c] = 0
        layer(x, sets.index).square().sum().backward()
        found.append([x.grad, *[parameter.grad for parameter in layer.parameters()]])
    torch.testing.assert_close(*found)


@each_pool
@each_mode
@pytest.mark.parametrize("wanted", ["x", "weights", "both"])
@pytest.mark.usefixtures("blocks_of_four")
def test_forces_and_their_gradients(pool, mode, wanted, calls):
    sets = random_sets(3, dtype=torch.float64)
    found = []
    for each in ("plain", mode):
        layer = make(pool, each).double().requires_grad_(wanted != "x")
        x = sets.x.clone().requires_grad_(wanted != "weights")
        inputs = [tensor for tensor in (x, *layer.parameters()) if tensor.requires_grad]
        # Twice the same layer: its input depends on its weights.
        energy = layer(layer(x, sets.index), sets.index).square().sum()
        forces = torch.autograd.grad(energy, inputs, create_graph=True)
        loss = sum(force.square().sum() for force in forces)
        found.append([*forces, *torch.autograd.grad(loss, inputs)])
    assert len(calls) == 2
    torch.testing.assert_close(*found)


def test_second_derivatives_do_not_see_a_change_of_mode(calls):
    sets = random_sets(3, dtype=torch.float64)
    layer = make("mean", "keep", dropout=0.5).double().eval()
    x = sets.x.clone().requires_grad_()
    out = layer(x, sets.index).sum()
    layer.train()
    (before,) = torch.autograd.grad(out, x, create_graph=True)
    assert len(calls) == 1
    layer.eval()
    (expected,) = torch.autograd.grad(layer(x, sets.index).sum(), x)
    torch.testing.assert_close(before, expected)


def test_an_input_changed_in_between_is_refused():
    sets = random_sets(3)
    layer = make("mean", "recompute")
    x = sets.x.clone()
    out = layer(x, sets.index).sum()
    x.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.backward()


@each_pool
@each_mode
@pytest.mark.usefixtures("blocks_of_four")
def test_a_nan_stays_in_its_set(pool, mode):
    sets = random_sets(3, [2, 1, 9, 2], dtype=torch.float64)
    layer = make(pool, mode).double()
    healthy = sets.index != 1

    def run(x):
        x = x.clone().requires_grad_()
        out = layer(x, sets.index)
        return out[healthy], torch.autograd.grad(out.sum(), x)[0][healthy]

    broken = sets.x.clone()
    broken[~healthy] = torch.nan
    assert layer(broken, sets.index)[~healthy].isnan().all()
    torch.testing.assert_close(run(broken), run(sets.x), rtol=0, atol=0)


@pytest.mark.parametrize("transform", ["grad", "vmap"])
def test_function_transforms_go_the_plain_way(transform, calls):
    sets = random_sets(3, dtype=torch.float64)
    layer = make("mean", "keep").double()

    def loss(x):
        return layer(x, sets.index).square().sum()

    if transform == "grad":
        found = torch.func.grad(loss)(sets.x)
        assert not calls
        x = sets.x.clone().requires_grad_()
        (expected,) = torch.autograd.grad(loss(x), x)
    else:
        xs = torch.stack([sets.x, -sets.x])
        found = torch.func.vmap(loss)(xs)
        assert not calls
        expected = torch.stack([loss(x) for x in xs])
    torch.testing.assert_close(found, expected)


@each_mode
def test_half_precision(mode, calls):
    sets = random_sets(3)
    layer = make("mean", mode)
    expected = layer(sets.x, sets.index)
    calls.clear()
    x = sets.x.bfloat16().requires_grad_()
    out = copy.deepcopy(layer).bfloat16()(x, sets.index)
    out.sum().backward()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = layer(sets.x, sets.index)
    assert not calls
    assert x.grad.dtype == torch.bfloat16
    assert x.grad.isfinite().all()
    for found in (out, cast):
        assert found.dtype == torch.bfloat16
        torch.testing.assert_close(found.float(), expected, rtol=0, atol=0.02)


class Doubled(torch.nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


def wrap_by_class(cell):
    wrapper = Doubled(HIDDEN, 4 * HIDDEN, bias=False)
    wrapper.weight = cell.lin_h.weight
    cell.lin_h = wrapper


def wrap_by_hook(cell):
    cell.lin_h.register_forward_hook(lambda module, args, out: 2 * out)


@pytest.mark.parametrize("wrap", [wrap_by_class, wrap_by_hook])
def test_wrapped_weights_are_not_passed_by(wrap):
    sets = random_sets(3)
    outs = []
    for mode in ("plain", "keep"):
        layer = make("mean", mode)
        before = layer(sets.x, sets.index)
        wrap(layer.cell)
        outs.append(layer(sets.x, sets.index))
        assert not torch.allclose(before, outs[-1])
    torch.testing.assert_close(*outs)


@pytest.mark.parametrize("part", ["", "lin_h"])
def test_hooks_of_the_backward_pass_are_called(part):
    sets, called = random_sets(3), []
    layer = make("mean", "keep")
    module = layer.cell.get_submodule(part)
    module.register_full_backward_hook(lambda *args: called.append(part))
    layer(sets.x.requires_grad_(), sets.index).sum().backward()
    assert called
