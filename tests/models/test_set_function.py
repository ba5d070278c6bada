import pytest
import torch
from torch_geometric.nn.aggr import MeanAggregation, SumAggregation

from pyg_setops import registry
from pyg_setops.aggr import SwarmAggregation
from pyg_setops.models import SetFunction
from pyg_setops.models.set_function import find_aggregation

NAMES = [
    "mean",
    "sum",
    "add",
    "max",
    "min",
    "std",
    "softmax",
    "power_mean",
    "median",
    "lstm",
    "gru",
    "set2set",
    "equilibrium",
    "attentional",
    "deep_sets",
    "set_transformer",
    "lcm",
    "variance_preserving",
    "swarm",
]


@pytest.fixture(autouse=True)
def _registered():
    registry.register()
    yield
    registry.unregister()


@pytest.mark.parametrize("name", NAMES)
def test_every_name_keeps_the_width_and_learns(name):
    function = SetFunction(name, 6)
    x = torch.rand(7, 6, requires_grad=True)
    out = function(x, torch.tensor([0, 0, 0, 1, 1, 2, 2]), dim_size=4)
    assert out.shape == (4, 6)
    out.square().sum().backward()
    assert x.grad.abs().sum() > 0
    function.reset_parameters()


def test_a_wider_output_is_brought_back():
    function = SetFunction("set2set", 6)
    assert (function.lin.in_features, function.lin.out_features) == (12, 6)
    assert SetFunction("mean", 6).lin is None


def test_arguments_reach_the_aggregation():
    assert SetFunction("set2set", 6, processing_steps=5).aggr.processing_steps == 5
    assert (
        SetFunction("equilibrium", 6, num_layers=[3, 2])
        .aggr.potential.layers[0][0]
        .out_features
        == 3
    )
    assert SetFunction("softmax", 6, learn=True).aggr.learn
    assert not SetFunction("softmax", 6).aggr.learn


def test_deep_sets_is_not_a_bare_sum():
    names = {
        name.split(".")[0]
        for name, _ in SetFunction("deep_sets", 6).aggr.named_parameters()
    }
    assert names == {"local_mlp", "global_mlp"}


def test_an_instance_is_taken_as_it_is():
    aggregation = MeanAggregation()
    assert SetFunction(aggregation, 6).aggr is aggregation


def test_an_instance_of_another_width_keeps_its_mode():
    aggregation = SwarmAggregation(4)
    with pytest.raises(ValueError, match="4 channels"):
        SetFunction(aggregation, 6)
    assert aggregation.training


@pytest.mark.parametrize("name", ["sum", "add", "Sum", "SumAggregation"])
def test_names_are_those_of_pyg(name):
    assert find_aggregation(name) is SumAggregation


@pytest.mark.parametrize("name", ["nonsense", "", "aggregation"])
def test_unknown_names(name):
    with pytest.raises(ValueError, match=f"'{name}'; there are .*softmax"):
        SetFunction(name, 6)


def test_missing_and_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"'quantile' cannot be built: .*'q'"):
        SetFunction("quantile", 6)
    with pytest.raises(ValueError, match=r"'mean' cannot be built: .*'steps'"):
        SetFunction("mean", 6, steps=2)


def test_takes_an_aggregation_of_another_type():
    function = SetFunction(SwarmAggregation(4, 6).double(), 4).double()
    assert function(torch.randn(5, 4, dtype=torch.float64)).shape == (1, 4)
