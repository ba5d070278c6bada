"""SwarmLayer against plain loops, and its faces."""

import copy
import pickle

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch_geometric.nn.aggr import SoftmaxAggregation

from pyg_setops.swarm import MapsPooling, SwarmLayer
from pyg_setops.testing import random_sets
from tests.oracles import swarm as oracle

SIZES = [3, 0, 1, 5, 0, 2, 0]
# What is written as `pool=`, and the same as a plain loop.
POOLS = {
    "mean": ("mean", oracle.mean),
    "sum": ("sum", oracle.sum_),
    "max": ("max", oracle.max_),
    "causal": ("causal", oracle.causal),
    "maps": (MapsPooling(2), oracle.maps(2)),
    "aggregation": (SoftmaxAggregation(), oracle.softmax),
    "none": (None, None),
}
MODES = ("plain", "keep", "recompute")
FUSIBLE = ("mean", "sum", "causal")
each_pool = pytest.mark.parametrize("name", POOLS)
each_mode = pytest.mark.parametrize("mode", MODES)


def make(name="mean", num_iterations=4, **kwargs):
    pool, hear = POOLS[name]
    layer = SwarmLayer(3, 5, 6, num_iterations, pool=pool, **kwargs).double()
    return layer, hear


@pytest.fixture
def sets():
    return random_sets(3, SIZES, dtype=torch.float64)


@each_pool
@each_mode
@pytest.mark.parametrize("num_iterations", [1, 2, 4])
@pytest.mark.parametrize("once", [False, True], ids=["always", "once"])
def test_values(name, mode, num_iterations, once, sets):
    layer, hear = make(name, num_iterations, mode=mode, pool_once=once)
    expected = oracle.layer(
        sets.x, sets.index.tolist(), layer.state_dict(), num_iterations, hear, once
    )
    for layout in ({"index": sets.index}, {"ptr": sets.ptr}):
        torch.testing.assert_close(layer(sets.x, **layout), expected)


@each_mode
@pytest.mark.parametrize("name", [name for name in POOLS if name != "causal"])
def test_elements_in_any_order(name, mode, sets):
    layer, hear = make(name, mode=mode)
    order = torch.randperm(len(sets.x))
    x, index = sets.x[order], sets.index[order]
    expected = oracle.layer(x, index.tolist(), layer.state_dict(), 4, hear)
    torch.testing.assert_close(layer(x, index), expected)


@each_pool
@each_mode
def test_gradients(name, mode, sets):
    layer, hear = make(name, mode=mode)
    x = sets.x.requires_grad_()
    parameters = dict(layer.named_parameters())
    inputs = [x, *parameters.values()]
    expected = oracle.layer(x, sets.index.tolist(), parameters, 4, hear)
    weight = torch.randn_like(expected)
    torch.testing.assert_close(
        torch.autograd.grad(layer(x, sets.index), inputs, weight),
        torch.autograd.grad(expected, inputs, weight),
    )


@pytest.mark.parametrize(
    ("name", "mode"),
    [(name, mode) for name in POOLS for mode in MODES[: 3 if name in FUSIBLE else 1]],
)
def test_derivatives(name, mode):
    pool = MapsPooling(1) if name == "maps" else POOLS[name][0]
    layer = SwarmLayer(1, 1, 3, 3, pool=pool, mode=mode).double()
    index = torch.tensor([0, 0, 2])
    names, weights = zip(*layer.named_parameters(), strict=True)
    x = torch.randn(3, 1, dtype=torch.float64, requires_grad=True)

    def run(x, *weights):
        state = dict(zip(names, weights, strict=True))
        return torch.func.functional_call(layer, state, (x, index))

    assert gradcheck(run, (x, *weights))
    assert gradgradcheck(run, (x, *weights))


@each_mode
def test_all_elements_form_one_set_by_default(mode, sets):
    layer, hear = make(mode=mode)
    expected = oracle.layer(sets.x, [0] * len(sets.x), layer.state_dict(), 4, hear)
    torch.testing.assert_close(layer(sets.x), expected)


@each_pool
@each_mode
def test_no_elements(name, mode):
    layer, _ = make(name, mode=mode)
    x = torch.zeros(0, 3, dtype=torch.float64, requires_grad=True)
    out = layer(x, ptr=torch.tensor([0, 0, 0]))
    assert out.shape == (0, 5)
    out.sum().backward()
    assert x.grad.shape == (0, 3)
    assert all(not parameter.grad.any() for parameter in layer.cell.parameters())


@each_mode
def test_causal_outputs_do_not_depend_on_later_elements(mode):
    layer, _ = make("causal", mode=mode)
    x = random_sets(3, [7], dtype=torch.float64).x
    full = layer(x)
    for length in range(1, 8):
        torch.testing.assert_close(layer(x[:length]), full[:length], rtol=0, atol=1e-14)
    assert not torch.allclose(layer(x.flip(0)).flip(0), full)


def test_pooling_once_and_never_are_something_else(sets):
    outs = []
    for kwargs in ({}, {"pool_once": True}, {"name": "none"}):
        torch.manual_seed(0)
        layer, _ = make(**kwargs)
        outs.append(layer(sets.x, sets.index))
    assert not any(torch.allclose(outs[i], outs[i - 1]) for i in range(3))


# Of the spec: 4H(d_in + 1) + 8H² + (2H + 1) d_out.
@pytest.mark.parametrize(
    ("channels", "count"),
    [((2, 10), 135_178), ((2, 20), 137_748), ((64, 128), 197_248)],
)
def test_number_of_parameters(channels, count):
    layer = SwarmLayer(*channels, hidden_channels=128, num_iterations=10)
    assert sum(parameter.numel() for parameter in layer.parameters()) == count


def test_lin_p_has_the_width_of_what_is_heard():
    assert make("maps")[0].cell.lin_p.weight.shape == (24, 2)
    assert not hasattr(make("none")[0].cell, "lin_p")


@each_mode
def test_copies_after_forward_and_backward(mode, sets):
    layer, _ = make(mode=mode)
    out = layer(sets.x.requires_grad_(), sets.index)
    for copied in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        torch.testing.assert_close(copied(sets.x, sets.index), out, rtol=0, atol=0)
    out.sum().backward()
    copied = copy.deepcopy(layer)
    torch.testing.assert_close(copied(sets.x, sets.index), out, rtol=0, atol=0)


@each_mode
def test_leading_dimensions(mode, sets):
    layer, _ = make(mode=mode)
    x = torch.stack([sets.x, -sets.x])
    expected = torch.stack([layer(each, sets.index) for each in x])
    torch.testing.assert_close(layer(x, sets.index), expected)


@each_mode
def test_lazy_width(mode, sets):
    layer = SwarmLayer(-1, 5, 6, 4, mode=mode).double()
    layer(sets.x, sets.index)
    assert layer.in_channels == 3
    assert repr(layer).startswith("SwarmLayer(3, 5, hidden_channels=6, num_iterations")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"in_channels": 0}, "'in_channels' must be positive, or -1.*got 0"),
        ({"out_channels": 0}, "'out_channels' must be at least 1, got 0"),
        ({"hidden_channels": 0}, "'hidden_channels' must be at least 1, got 0"),
        ({"num_iterations": 0}, "'num_iterations' must be at least 1, got 0"),
        ({"mode": "fast"}, "'mode' must be 'keep', 'recompute' or 'plain', got 'fast'"),
        ({"pool": "median"}, "'pool' must be one of .*'causal'.*got 'median'"),
        ({"pool": "maps"}, "must exceed twice the 4 slices.*got 6"),
    ],
)
def test_errors_of_arguments(changes, message):
    arguments = {
        "in_channels": 3,
        "out_channels": 5,
        "hidden_channels": 6,
        "num_iterations": 4,
    }
    with pytest.raises(ValueError, match=message):
        SwarmLayer(**{**arguments, **changes})


def test_errors_of_inputs(sets):
    layer, _ = make("causal")
    with pytest.raises(ValueError, match=r"causal pooling needs .* not sorted"):
        layer(sets.x, sets.index.flip(0))
    with pytest.raises(ValueError, match=r"3 channels .* got 2"):
        layer(sets.x[:, :2], sets.index)
    with pytest.raises(ValueError, match="expected 11, got 10"):
        layer(sets.x, sets.index[1:])


def test_an_unsorted_index_is_refused_before_a_width_is_taken():
    layer = SwarmLayer(-1, 5, 8, 3, pool="causal")
    with pytest.raises(ValueError, match="causal pooling needs"):
        layer(torch.randn(2, 3), torch.tensor([1, 0]))
    assert layer.in_channels == -1
