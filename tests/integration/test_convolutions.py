"""`aggr=` in PyG's convolutions."""

import pytest
import torch
from torch.nn import Linear, ReLU
from torch.nn import Sequential as Layers
from torch_geometric import EdgeIndex
from torch_geometric.nn import (
    EdgeConv,
    GATConv,
    GCNConv,
    GENConv,
    GINConv,
    PNAConv,
    PointNetConv,
    SAGEConv,
    SimpleConv,
    TransformerConv,
)
from torch_geometric.nn.aggr import DegreeScalerAggregation, MultiAggregation
from torch_geometric.utils import remove_self_loops

from pyg_setops.registry import register, unregister

CHANNELS, NODES = 4, 9
DEGREES = torch.tensor([2, 1, 3, 2, 1])

CONVS = {
    "sage": lambda aggr: SAGEConv(CHANNELS, 6, aggr=aggr),
    "gin": lambda aggr: GINConv(Linear(CHANNELS, 6), aggr=aggr),
    "gcn": lambda aggr: GCNConv(CHANNELS, 6, aggr=aggr),
    "gat": lambda aggr: GATConv(CHANNELS, 3, heads=2, aggr=aggr),
    "transformer": lambda aggr: TransformerConv(CHANNELS, 3, heads=2, aggr=aggr),
    "edge": lambda aggr: EdgeConv(Layers(Linear(2 * CHANNELS, 6), ReLU()), aggr=aggr),
    "gen": lambda aggr: GENConv(CHANNELS, 6, aggr=aggr),
    "pna": lambda aggr: PNAConv(
        CHANNELS,
        6,
        aggregators=["mean", aggr],
        scalers=["identity", "amplification"],
        deg=DEGREES,
    ),
    "multi": lambda aggr: SAGEConv(CHANNELS, 6, aggr=["mean", aggr]),
    "scaled": lambda aggr: SimpleConv(
        aggr=DegreeScalerAggregation(aggr, ["identity", "linear"], DEGREES)
    ),
}


@pytest.fixture(params=CONVS)
def conv(request, aggregation):
    return CONVS[request.param](aggregation).double()


def test_trains(conv, x, edge_index, trains):
    out = conv(x, edge_index)
    assert out.size(0) == NODES
    trains(conv, out, x)


def test_order_of_edges_does_not_matter(conv, x, edge_index):
    order = torch.randperm(edge_index.size(1))
    torch.testing.assert_close(conv(x, edge_index[:, order]), conv(x, edge_index))


def test_edge_index_by_column_gives_the_same(conv, x, edge_index):
    """PyG passes index and ptr then, in place of an unsorted index alone."""
    edge_index = edge_index[:, edge_index[1].argsort(stable=True)]
    by_column = EdgeIndex(edge_index, sort_order="col", sparse_size=(NODES, NODES))
    expected, out = conv(x, edge_index), conv(x, by_column)
    torch.testing.assert_close(out, expected)
    (gradient,) = torch.autograd.grad(expected.square().sum(), x)
    (same,) = torch.autograd.grad(out.square().sum(), x)
    torch.testing.assert_close(same, gradient)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@pytest.mark.filterwarnings("ignore:Sparse invariant checks are implicitly disabled")
@pytest.mark.parametrize("name", ["sage", "gin", "gcn", "gat", "transformer"])
def test_csr_adjacency_gives_the_same(name, aggregation, x, edge_index):
    # A matrix holds an edge once, and PyG adds self-loops to it differently.
    edge_index, _ = remove_self_loops(edge_index.unique(dim=1))
    source, target = edge_index[:, edge_index[1].argsort(stable=True)]
    received = torch.bincount(target, minlength=NODES)
    adjacency = torch.sparse_csr_tensor(  # transposed, as PyG has it: rows receive
        torch.cat([received.new_zeros(1), received.cumsum(0)]),
        source,
        torch.ones(len(source), dtype=torch.float64),
        (NODES, NODES),
        check_invariants=True,
    )
    conv = CONVS[name](aggregation).double()
    expected, out = conv(x, edge_index), conv(x, adjacency)
    torch.testing.assert_close(out, expected)
    (gradient,) = torch.autograd.grad(expected.square().sum(), x)
    (same,) = torch.autograd.grad(out.square().sum(), x)
    torch.testing.assert_close(same, gradient)


def test_point_net(aggregation, x, edge_index, trains):
    conv = PointNetConv(
        Linear(CHANNELS + 3, 6), add_self_loops=False, aggr=aggregation
    ).double()
    out = conv(x, torch.randn(NODES, 3, dtype=torch.float64), edge_index)
    assert out.shape == (NODES, 6)
    trains(conv, out, x)


def test_bipartite(aggregation, x, trains):
    conv = SAGEConv((CHANNELS, 2), 6, aggr=aggregation).double()
    to = torch.randn(3, 2, dtype=torch.float64)
    edge_index = torch.tensor([[8, 0, 4, 4], [2, 0, 2, 0]])
    out = conv((x, to), edge_index)
    assert out.shape == (3, 6)
    trains(conv, out, x)


def test_is_shown_in_the_repr(aggregation):
    assert repr(aggregation) in repr(SAGEConv(CHANNELS, 6, aggr=aggregation))


def test_convolution_gathers_and_aggregates(aggregation, x, edge_index):
    source, target = edge_index
    out = SimpleConv(aggr=aggregation)(x, edge_index)
    torch.testing.assert_close(out, aggregation(x[source], target, dim_size=NODES))


def test_sage_is_its_formula(aggregation, x, edge_index):
    conv = SAGEConv(CHANNELS, 6, aggr=aggregation).double()
    out = conv(x, edge_index)
    heard = aggregation(x[edge_index[0]], edge_index[1], dim_size=NODES)
    torch.testing.assert_close(out, conv.lin_l(heard) + conv.lin_r(x))


@pytest.mark.parametrize("name", ["gat", "transformer"])
def test_heads_are_aggregated_apart(name, aggregation, x, edge_index):
    """A 3-D message is as many 2-D messages as it has heads."""
    seen = []
    aggregation.register_forward_hook(
        lambda _, args, kwargs, out: seen.append((*args, kwargs, out)), with_kwargs=True
    )
    CONVS[name](aggregation).double()(x, edge_index)
    message, kwargs, out = seen.pop()
    assert message.dim() == 3
    for head in range(message.size(1)):
        apart = aggregation(message[:, head], kwargs["index"], dim_size=NODES)
        torch.testing.assert_close(out[:, head], apart)


def test_multi_aggregation_keeps_the_parts(aggregation, x, trains):
    index = torch.tensor([0, 2, 2, 0, 5, 5, 5, 1, 1])
    multi = MultiAggregation(["sum", aggregation])
    out = multi(x, index)
    torch.testing.assert_close(out[:, CHANNELS:], aggregation(x, index))
    assert multi.get_out_channels(CHANNELS) == out.size(-1)
    trains(multi, out, x)


def test_degree_scaler_scales(aggregation, x):
    index = torch.tensor([0, 2, 2, 0, 5, 5, 5, 1, 1])
    scaler = DegreeScalerAggregation(aggregation, ["identity", "linear"], DEGREES)
    out = scaler(x, index, dim_size=6)
    plain = aggregation(x, index, dim_size=6)
    degree = torch.bincount(index, minlength=6)[:, None].clamp(min=1)
    torch.testing.assert_close(out[:, :CHANNELS], plain)
    average = scaler.avg_deg_lin.item()
    torch.testing.assert_close(out[:, CHANNELS:], plain * degree / average)


def test_by_name(operator, x, edge_index, trains):
    register()
    try:
        kwargs = {**operator.small, "out_channels": None}
        conv = SAGEConv(CHANNELS, 6, aggr=operator.name, aggr_kwargs=kwargs).double()
    finally:
        unregister()
    assert type(conv.aggr_module) is operator.cls
    trains(conv, conv(x, edge_index), x)
