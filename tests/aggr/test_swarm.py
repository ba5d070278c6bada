"""SwarmAggregation: readouts, and what it passes to the layer."""

import pytest
import torch
from torch_geometric.nn.aggr import PowerMeanAggregation, SoftmaxAggregation

from pyg_setops.aggr import SwarmAggregation
from pyg_setops.swarm import MaxPooling, SwarmLayer
from pyg_setops.testing import random_sets
from tests.oracles import swarm as oracle

SIZES = [3, 0, 1, 5, 0]
# What is written as `readout=`, and the same for the list of a set's [h; c].
READOUTS = {
    "mean": ("mean", oracle.mean),
    "sum": ("sum", oracle.sum_),
    "max": ("max", oracle.max_),
    "aggregation": (SoftmaxAggregation(), oracle.softmax),
}


@pytest.fixture
def sets():
    return random_sets(3, SIZES, dtype=torch.float64)


@pytest.mark.parametrize("name", READOUTS)
@pytest.mark.parametrize("mode", ["plain", "keep", "recompute"])
def test_readouts(name, mode, sets):
    readout, reduce = READOUTS[name]
    aggregation = SwarmAggregation(3, 4, 6, 4, readout=readout, mode=mode).double()
    weights = dict(aggregation.layer.named_parameters())
    # With the identity for an output map, the oracle gives [h; c].
    eye = torch.eye(12, dtype=torch.float64)
    bare = {**weights, "lin_out.weight": eye, "lin_out.bias": eye.new_zeros(12)}
    states = oracle.layer(sets.x, sets.index.tolist(), bare, 4, oracle.mean)
    expected = torch.zeros(len(SIZES), 4, dtype=torch.float64)
    for number in (0, 2, 3):
        pooled = reduce(list(states[sets.index == number]))[0]
        expected[number] = weights["lin_out.weight"] @ pooled + weights["lin_out.bias"]
    order = torch.randperm(len(sets.x))
    out = aggregation(sets.x[order], sets.index[order], dim_size=len(SIZES))
    torch.testing.assert_close(out, expected)


def test_the_mean_commutes_with_the_output_map(sets):
    aggregation = SwarmAggregation(3, 4, 6, 4).double()
    out = aggregation(sets.x, sets.index, dim_size=len(SIZES))
    elements = aggregation.layer(sets.x, sets.index)
    for number in (0, 2, 3):
        mean = elements[sets.index == number].mean(0)
        torch.testing.assert_close(out[number], mean)


def test_options_reach_the_layer():
    aggregation = SwarmAggregation(
        3, 4, 6, 5, pool="max", forget_bias=1.0, dropout=0.1, mode="recompute"
    )
    layer = aggregation.layer
    assert (layer.hidden_channels, layer.num_iterations) == (6, 5)
    assert (layer.forget_bias, layer.dropout) == (1.0, 0.1)
    assert layer.mode == "recompute"
    assert isinstance(layer.pool, MaxPooling)


def test_the_default_width_of_the_states_is_that_of_the_output():
    assert SwarmAggregation(3, 4).layer.hidden_channels == 4
    assert SwarmAggregation(3).layer.hidden_channels == 3


def test_reset_parameters():
    aggregation = SwarmAggregation(3, 4)
    before = [parameter.clone() for parameter in aggregation.parameters()]
    aggregation.reset_parameters()
    after = list(aggregation.parameters())
    assert not any(torch.equal(*pair) for pair in zip(before, after, strict=True))
    SwarmAggregation().reset_parameters()  # there is nothing to draw yet


def test_takes_the_weights_of_a_layer(sets):
    layer = SwarmLayer(3, 4, 6, 4).double()
    aggregation = SwarmAggregation(3, 4, 6, 4).double()
    aggregation.layer.load_state_dict(layer.state_dict())
    out = aggregation(sets.x[:3], sets.index[:3])
    torch.testing.assert_close(out, layer(sets.x[:3]).mean(0, keepdim=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"readout": "median"}, "'readout' must be 'mean', .*got 'median'"),
        ({"readout": "causal"}, "'readout' must be 'mean', .*got 'causal'"),
        ({"pool": "median"}, "'pool' must be one of"),
        ({"in_channels": 3, "num_iterations": 0}, "'num_iterations' must be"),
        ({"in_channels": 3, "mode": "fast"}, "'mode' must be"),
        # Also where the layer is created only when the width is known.
        ({"num_iterations": 0}, "'num_iterations' must be"),
        ({"mode": "fast"}, "'mode' must be"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        SwarmAggregation(**arguments)


def test_maps_are_built_before_the_width_is_known():
    aggregation = SwarmAggregation(pool="maps")
    with pytest.raises(ValueError, match="must exceed twice the 4 slices"):
        aggregation(torch.randn(5, 8))
    assert aggregation(torch.randn(5, 9)).shape == (1, 9)


@pytest.mark.parametrize("in_channels", [3, -1])
def test_reset_draws_the_weights_of_pool_and_readout_too(in_channels):
    pool, readout = PowerMeanAggregation(learn=True), SoftmaxAggregation(learn=True)
    aggregation = SwarmAggregation(in_channels, 4, pool=pool, readout=readout)
    torch.nn.init.constant_(pool.p, torch.nan)
    torch.nn.init.constant_(readout.t, torch.nan)
    aggregation.reset_parameters()
    assert (pool.p.item(), readout.t.item()) == (1, 1)
