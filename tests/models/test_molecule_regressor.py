import pytest
import torch
from scipy.spatial.transform import Rotation
from torch_geometric.data import Batch, Data
from torch_geometric.nn.aggr import SumAggregation

from pyg_setops import registry
from pyg_setops.models import MoleculeRegressor
from pyg_setops.transforms import RadiusEdges

CUTOFF = 3.0


@pytest.fixture(autouse=True)
def _registered():
    registry.register()
    yield
    registry.unregister()


def molecule(size):
    data = Data(z=torch.randint(1, 10, (size,)), pos=torch.randn(size, 3).double())
    return RadiusEdges(CUTOFF)(data)


def batch(*sizes):
    return Batch.from_data_list([molecule(size) for size in sizes])


def regressor(*args, **kwargs):
    kwargs = {"hidden_channels": 8, "num_layers": 2, "cutoff": CUTOFF} | kwargs
    return MoleculeRegressor(*args, **kwargs).double()


PLACES = ["readout", "conv", "both"]
NAMES = ["mean", "sum", "max", "softmax", "set2set", "gru", "set_transformer", "swarm"]


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("aggr", NAMES)
def test_invariant_to_rotation_reflection_and_translation(aggr, where):
    model, data = regressor(aggr, where), batch(7, 1, 5)
    moved = data.clone()
    turn = -torch.from_numpy(Rotation.random(random_state=0).as_matrix())
    moved.pos = data.pos @ turn.t() + torch.tensor([1.0, -2.0, 3.0]).double()
    torch.testing.assert_close(model(moved), model(data))
    moved.pos = 1.5 * data.pos
    assert not torch.allclose(model(moved), model(data), rtol=1e-4)


@pytest.mark.parametrize("where", PLACES)
def test_a_molecule_does_not_depend_on_its_batch(where):
    model, data = regressor("swarm", where), batch(7, 1, 5)
    alone = torch.cat([model(molecule) for molecule in data.to_data_list()])
    torch.testing.assert_close(model(data), alone)


def test_one_layer_by_hand():
    model, data = regressor("sum", num_layers=1, num_radial=4), molecule(4)
    centres = torch.linspace(0, CUTOFF, 4).double()
    width = CUTOFF / 3
    h = model.node_encoder.lin.weight[data.z]
    heard = torch.zeros_like(h)
    for i in range(4):
        for j in range(4):
            d = (data.pos[i] - data.pos[j]).norm()
            if i == j or d >= CUTOFF:
                continue
            radial = torch.exp(-((d - centres) ** 2) / (2 * width**2))
            envelope = (1 + torch.cos(torch.pi * d / CUTOFF)) / 2
            heard[i] += h[j] * model.distance_filters(radial) * envelope
    expected = model.head((h + model.convs[0].nn(heard)).sum(dim=0, keepdim=True))
    torch.testing.assert_close(model(data), expected)


def test_smooth_where_a_pair_leaves_the_cutoff():
    model = regressor("sum")
    data = Data(z=torch.tensor([6, 8]), edge_index=torch.tensor([[1, 0], [0, 1]]))
    outs = []
    for distance in (CUTOFF - 1e-4, CUTOFF, CUTOFF + 1):
        data.pos = torch.tensor([[0.0, 0, 0], [distance, 0, 0]]).double()
        outs.append(model(data))
    torch.testing.assert_close(outs[0], outs[1], atol=1e-7, rtol=0)
    torch.testing.assert_close(outs[1], outs[2], atol=0, rtol=0)


def test_set_functions_start_from_the_same_weights_elsewhere():
    states = []
    for aggr in ("mean", "swarm"):
        torch.manual_seed(0)
        states.append(regressor(aggr, "both").state_dict())
    shared = [name for name in states[0] if "aggr" not in name]
    assert any(name.startswith("head") for name in shared)
    assert all(torch.equal(states[0][name], states[1][name]) for name in shared)


@pytest.mark.parametrize(
    ("where", "kinds"),
    [
        ("readout", ["Sum", "Sum", "Max"]),
        ("conv", ["Max", "Max", "Mean"]),
        ("both", ["Max", "Max", "Max"]),
    ],
)
def test_where_places_the_set_function(where, kinds):
    model = regressor("max", where)
    places = [conv.aggr_module for conv in model.convs] + [model.readout]
    assert [f"{kind}Aggregation" for kind in kinds] == [
        type(place.aggr).__name__ for place in places
    ]


@pytest.mark.parametrize("edge_features", [None, 2, (4,)])
def test_graphs_without_positions(edge_features):
    edge_attr = torch.rand(4, 2) if edge_features == 2 else torch.tensor([0, 3, 1, 1])
    data = Data(
        x=torch.rand(3, 5),
        edge_index=torch.tensor([[1, 0, 2, 1], [0, 1, 1, 2]]),
        edge_attr=edge_attr,
    )
    model = MoleculeRegressor(node_features=5, edge_features=edge_features)
    out = model(data)
    data.edge_attr = data.edge_attr.flip(0)
    assert torch.equal(model(data), out) == (edge_features is None)


def test_an_instance_is_shared_and_kwargs_arrive():
    aggregation = SumAggregation()
    model = regressor(aggregation, "both")
    assert model.readout.aggr is model.convs[0].aggr_module.aggr is aggregation
    model = regressor("swarm", aggr_kwargs={"num_iterations": 3})
    assert model.readout.aggr.num_iterations == 3


def test_errors():
    with pytest.raises(ValueError, match=r"'where' must be .*, got 'head'"):
        regressor("mean", "head")
    with pytest.raises(ValueError, match="'z' or node features 'x'"):
        regressor()(Data(edge_index=torch.zeros(2, 0, dtype=torch.long), num_nodes=1))


def test_edges_without_the_features_expected_are_refused():
    data = Data(x=torch.randn(2, 3), edge_index=torch.tensor([[0, 1], [1, 0]]))
    with pytest.raises(ValueError, match="'data' must have 'pos' or the 'edge_attr'"):
        MoleculeRegressor(node_features=3, edge_features=2)(data)
