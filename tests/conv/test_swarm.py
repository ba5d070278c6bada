"""SwarmConv against loops over nodes, and against SwarmLayer."""

import pytest
import torch
from torch_geometric import EdgeIndex
from torch_geometric.nn import GraphSAGE
from torch_geometric.nn.aggr import SoftmaxAggregation
from torch_geometric.utils import to_torch_csr_tensor

from pyg_setops.conv import SwarmConv
from pyg_setops.ragged import SetIndex, pair_index
from pyg_setops.swarm import SwarmLayer
from pyg_setops.testing import random_sets
from tests.oracles import swarm as oracle

NODES = 6


def make(num_iterations=4, **kwargs):
    return SwarmConv(3, 5, 7, num_iterations, **kwargs).double()


def random_graph(seed=0):
    """Nodes and edges; a node without neighbours, and one with a loop."""
    generator = torch.Generator().manual_seed(seed)
    adjacency = torch.rand(NODES, NODES, generator=generator) < 0.4
    adjacency[:, 2] = False
    adjacency[4, 4] = True
    edge_index = adjacency.nonzero().t()
    edge_index = edge_index[:, torch.randperm(edge_index.size(1), generator=generator)]
    return torch.randn(NODES, 3, dtype=torch.float64), edge_index


def expected(conv, x, edge_index):
    edges = edge_index.t().tolist()
    return oracle.conv(x, edges, dict(conv.named_parameters()), conv.num_iterations)


@pytest.mark.parametrize("num_iterations", [1, 2, 4])
def test_values_and_gradients(num_iterations):
    x, edge_index = random_graph()
    conv = make(num_iterations)
    inputs = [x.requires_grad_(), *conv.parameters()]
    out, loop = conv(x, edge_index), expected(conv, x, edge_index)
    torch.testing.assert_close(out, loop)
    weight = torch.randn_like(out)
    torch.testing.assert_close(
        torch.autograd.grad(out, inputs, weight, materialize_grads=True),
        torch.autograd.grad(loop, inputs, weight, materialize_grads=True),
    )


def as_edge_index(edge_index):
    return EdgeIndex(edge_index, sparse_size=(NODES, NODES)).sort_by("col")[0]


def as_csr(edge_index):
    return to_torch_csr_tensor(edge_index.flip(0), size=(NODES, NODES))


@pytest.mark.parametrize("form", [as_edge_index, as_csr])
@pytest.mark.parametrize("add_self_loops", [False, True])
@pytest.mark.filterwarnings("ignore:Sparse")
def test_other_forms_of_a_graph(form, add_self_loops):
    x, edge_index = random_graph()
    conv = make(add_self_loops=add_self_loops)
    torch.testing.assert_close(conv(x, form(edge_index)), conv(x, edge_index))


def test_self_loops():
    x, edge_index = random_graph()
    conv = make(add_self_loops=True)
    others = edge_index[:, edge_index[0] != edge_index[1]]
    with_loops = torch.cat([others, torch.arange(NODES).expand(2, -1)], dim=1)
    torch.testing.assert_close(conv(x, edge_index), expected(conv, x, with_loops))


def test_edges_differ_between_calls():
    x, edge_index = random_graph(0)
    _, other = random_graph(1)
    conv = make()
    for edges in (edge_index, other, edge_index, other[:, :0]):
        torch.testing.assert_close(conv(x, edges), expected(conv, x, edges))


@pytest.mark.parametrize("mode", ["plain", "keep"])
@pytest.mark.parametrize("add_self_loops", [False, True])
def test_equals_the_layer_on_complete_graphs(mode, add_self_loops):
    sets = random_sets(3, [3, 0, 1, 4], dtype=torch.float64)
    layer = SwarmLayer(3, 5, 7, 4, mode=mode).double()
    conv = make(add_self_loops=add_self_loops)
    conv.load_state_dict(layer.state_dict())
    layout = SetIndex.build(sets.index)
    edge_index = torch.stack(pair_index(layout, loops=not add_self_loops))
    torch.testing.assert_close(conv(sets.x, edge_index), layer(sets.x, sets.index))
    layer.load_state_dict(conv.state_dict())


@pytest.mark.parametrize(
    ("aggr", "pool"),
    [("sum", "sum"), ("max", "max"), (SoftmaxAggregation(), SoftmaxAggregation())],
)
def test_other_aggregations_are_the_pools_of_the_layer(aggr, pool):
    sets = random_sets(3, [3, 1, 4], dtype=torch.float64)
    layer = SwarmLayer(3, 5, 7, 4, pool=pool).double()
    conv = make(aggr=aggr)
    conv.load_state_dict(layer.state_dict())
    edge_index = torch.stack(pair_index(SetIndex.build(sets.index)))
    torch.testing.assert_close(conv(sets.x, edge_index), layer(sets.x, sets.index))


def test_information_travels_an_edge_an_iteration():
    path = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 4]])
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    for num_iterations in (1, 2, 4):
        out = make(num_iterations)(x, path)
        (grad,) = torch.autograd.grad(out[4].sum(), x)
        reached = grad.abs().sum(1) > 0
        assert reached.tolist() == [e > 4 - num_iterations for e in range(5)]


def test_dropout_in_training_only():
    x, edge_index = random_graph()
    conv = make(dropout=0.5)
    outs = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        outs.append(conv(x, edge_index))
    assert torch.equal(outs[0], outs[1])
    assert not torch.allclose(outs[0], outs[2])
    conv.eval()
    torch.testing.assert_close(conv(x, edge_index), expected(conv, x, edge_index))


def test_options_reach_the_cell():
    torch.manual_seed(0)
    without = make().cell.lin_x.bias
    torch.manual_seed(0)
    conv = make(forget_bias=2.0)
    torch.testing.assert_close(conv.cell.lin_x.bias[7:14], without[7:14] + 2)
    assert SwarmConv(3, 5).hidden_channels == 5
    assert make(flow="target_to_source").flow == "target_to_source"


def test_in_a_model_and_lazily():
    x, edge_index = random_graph()

    class Model(GraphSAGE):
        def init_conv(self, in_channels, out_channels, **kwargs):
            return SwarmConv(in_channels, out_channels, num_iterations=2)

    model = Model(3, 8, num_layers=2, out_channels=4).double()
    assert model(x, edge_index).shape == (NODES, 4)
    lazy = SwarmConv(-1, 5, 7, 4).double()
    assert lazy(x, edge_index).shape == (NODES, 5)
    assert repr(lazy) == (
        "SwarmConv(3, 5, hidden_channels=7, num_iterations=4, aggr=mean)"
    )


def test_reset_parameters():
    conv = make()
    before = [parameter.clone() for parameter in conv.parameters()]
    conv.reset_parameters()
    after = list(conv.parameters())
    assert not any(torch.equal(*pair) for pair in zip(before, after, strict=True))
    SwarmConv(-1, 5).reset_parameters()  # of the cell there is nothing to draw yet


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"out_channels": 0}, "'out_channels' must be at least 1, got 0"),
        ({"hidden_channels": 0}, "'hidden_channels' must be at least 1, got 0"),
        ({"num_iterations": 0}, "'num_iterations' must be at least 1, got 0"),
        ({"in_channels": 0}, "'in_channels' must be positive, or -1"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        SwarmConv(**{"in_channels": 3, "out_channels": 5, **arguments})
