"""Whole models: PyG's own, readouts, heterogeneous ones, and their explanation."""

import copy

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.explain import Explainer, GNNExplainer
from torch_geometric.loader import DataLoader
from torch_geometric.nn import (
    GAT,
    GCN,
    GIN,
    EdgeCNN,
    GraphSAGE,
    SAGEConv,
    Sequential,
    to_hetero,
)

from pyg_setops.registry import register, unregister

CHANNELS, NODES = 4, 9
MODELS = [GraphSAGE, GIN, GCN, GAT, EdgeCNN]


class GraphClassifier(torch.nn.Module):
    """A convolution and a readout, by ``batch``."""

    def __init__(self, readout):
        super().__init__()
        self.conv = SAGEConv(CHANNELS, 6)
        self.readout = readout

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        return self.readout(self.conv(x, edge_index).relu(), batch)


@pytest.fixture
def registered():
    register()
    yield
    unregister()


@pytest.fixture
def graphs(edge_index) -> list[Data]:
    torch.manual_seed(3)
    return [
        Data(
            x=torch.randn(NODES + number, CHANNELS, dtype=torch.float64),
            edge_index=edge_index[:, number:],
        )
        for number in range(5)
    ]


@pytest.mark.parametrize("model", MODELS)
def test_model_by_instance_shares_it(model, aggregation, x, edge_index, trains):
    """One instance serves all layers, so that they have to be of one width."""
    gnn = model(CHANNELS, CHANNELS, 2, act="tanh", aggr=aggregation).double()
    assert gnn.convs[0].aggr_module is gnn.convs[1].aggr_module
    trains(gnn, gnn(x, edge_index), x)


@pytest.mark.parametrize("model", MODELS)
def test_model_by_name_has_one_a_layer(
    model, operator, registered, x, edge_index, trains
):
    """Each layer finds its own width."""
    kwargs = {**operator.small, "out_channels": None}
    gnn = model(
        CHANNELS, 6, 3, act="tanh", aggr=operator.name, aggr_kwargs=kwargs
    ).double()
    out = gnn(x, edge_index)
    modules = [conv.aggr_module for conv in gnn.convs]
    assert len({id(module) for module in modules}) == 3
    assert {module.in_channels for module in modules} <= {CHANNELS, 6}
    trains(gnn, out, x)


def test_two_widths_for_one_instance_are_refused(aggregation, x, edge_index):
    gnn = GraphSAGE(CHANNELS, 6, num_layers=2, aggr=aggregation).double()
    with pytest.raises(ValueError, match="one instance serves one width"):
        gnn(x, edge_index)


def test_models_reset_it(operator, registered, x, edge_index):
    kwargs = {**operator.small, "out_channels": None}
    gnn = GraphSAGE(CHANNELS, 6, 2, aggr=operator.name, aggr_kwargs=kwargs).double()
    before = gnn(x, edge_index)
    state = copy.deepcopy(gnn.convs[0].aggr_module.state_dict())
    gnn.reset_parameters()
    after = gnn.convs[0].aggr_module.state_dict()
    assert any(not torch.equal(state[name], after[name]) for name in state)
    assert not torch.equal(gnn(x, edge_index), before)


def test_readout_by_index_and_by_ptr(aggregation, graphs):
    (batch,) = DataLoader(graphs, batch_size=len(graphs))
    by_index = aggregation(batch.x, batch.batch, dim_size=batch.num_graphs)
    by_ptr = aggregation(batch.x, ptr=batch.ptr)
    apart = torch.cat([aggregation(graph.x) for graph in graphs])
    torch.testing.assert_close(by_index, apart)
    torch.testing.assert_close(by_ptr, apart)


def test_readout_does_not_depend_on_the_loader(aggregation, graphs):
    results = [
        torch.cat(
            [
                aggregation(batch.x, batch.batch, dim_size=batch.num_graphs)
                for batch in DataLoader(graphs, batch_size=batch_size)
            ]
        )
        for batch_size in (1, 2, 5)
    ]
    torch.testing.assert_close(results[0], results[1])
    torch.testing.assert_close(results[0], results[2])


def test_sequential(aggregation, x, edge_index, trains):
    model = Sequential(
        "x, edge_index, batch",
        [
            (SAGEConv(CHANNELS, 6), "x, edge_index -> x"),
            torch.nn.ReLU(),
            (aggregation, "x, batch -> x"),
            torch.nn.Linear(6, 2),
        ],
    ).double()
    batch = torch.tensor([0] * 4 + [1] * 5)
    out = model(x, edge_index, batch)
    assert out.shape == (2, 2)
    trains(model, out, x)


def test_heterogeneous_model_has_one_a_relation(operator, x, edge_index):
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = SAGEConv(
                CHANNELS, 6, aggr=operator.example(CHANNELS, out_channels=None)
            )

        def forward(self, x, edge_index):
            return self.conv(x, edge_index)

    relations = [("atom", "bonds", "atom"), ("ring", "holds", "atom")]
    relations += [("atom", "in", "ring")]
    model = to_hetero(Net(), (["atom", "ring"], relations)).double()
    modules = [module for module in model.modules() if type(module) is operator.cls]
    assert len({id(module) for module in modules}) == len(relations)
    nodes = {"atom": x, "ring": x.detach()[:NODES]}
    out = model(nodes, dict.fromkeys(relations, edge_index))
    assert out["atom"].shape == out["ring"].shape == (NODES, 6)
    (out["atom"].sum() + out["ring"].sum()).backward()
    assert all(p.grad is not None for m in modules for p in m.parameters())


def test_explainer_finds_masks_through_it(aggregation, x, edge_index):
    model = GraphClassifier(aggregation).double()
    explainer = Explainer(
        model,
        GNNExplainer(epochs=5),
        explanation_type="model",
        node_mask_type="attributes",
        edge_mask_type="object",
        model_config={
            "mode": "regression",
            "task_level": "graph",
            "return_type": "raw",
        },
    )
    batch = torch.tensor([0] * 4 + [1] * 5)
    explanation = explainer(x.detach(), edge_index, batch=batch)
    assert explanation.node_mask.shape == x.shape
    assert explanation.node_mask.isfinite().all()
    assert explanation.node_mask.sum() > 0
    assert explanation.edge_mask.shape == edge_index.shape[1:]


def test_copies_of_a_model_agree(aggregation, graphs):
    (batch,) = DataLoader(graphs, batch_size=len(graphs))
    arguments = batch.x, batch.edge_index, batch.batch
    model = GraphClassifier(aggregation).double()
    expected = model(*arguments)
    torch.testing.assert_close(copy.deepcopy(model)(*arguments), expected)
