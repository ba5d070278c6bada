import pytest
import torch
from torch.nn.functional import silu
from torch_geometric.data import Batch, Data

from pyg_setops import testing
from pyg_setops.datasets import RandomGraphs
from pyg_setops.models import InvariantGraphNetwork, pair_tensor
from pyg_setops.ragged import TensorIndex


def graph(size, channels=0):
    edge_index = torch.stack([torch.arange(size), torch.arange(size).roll(-1)])
    x = torch.randn(size, channels) if channels else None
    return Data(x=x, edge_index=edge_index, num_nodes=size)


def test_pair_tensor_has_targets_on_the_first_axis():
    data = graph(3, channels=2)
    data.edge_attr = torch.tensor([[1.0], [2.0], [3.0]])
    pairs, tensors = pair_tensor(Batch.from_data_list([data, graph(2, 2)][:1]))
    assert tensors.sizes.tolist() == [3]
    square = pairs.view(3, 3, 3)
    expected = torch.tensor([[0.0, 0, 3], [1, 0, 0], [0, 2, 0]])
    torch.testing.assert_close(square[..., 0], expected)
    torch.testing.assert_close(square[..., 1:].diagonal().t(), data.x)
    assert square[..., 1:].count_nonzero() == 6


def test_pair_tensor_keeps_fractions_beside_integer_bonds():
    data = Data(x=torch.rand(2, 1), edge_index=torch.tensor([[0], [1]]))
    data.edge_attr = torch.tensor([3])
    pairs, _ = pair_tensor(data)
    assert torch.equal(pairs[[0, 3], 1:], data.x)
    assert pairs[2].tolist() == [3, 0]


def test_pair_tensor_of_a_batch_is_that_of_each_graph():
    graphs = list(RandomGraphs(num_sets=4))
    pairs, tensors = pair_tensor(Batch.from_data_list(graphs))
    parts = pairs.split((tensors.sizes**2).tolist())
    for data, part in zip(graphs, parts, strict=True):
        torch.testing.assert_close(pair_tensor(data)[0], part)
        assert part.sum() == data.num_edges


def test_pair_tensor_needs_no_ptr_beside_batch():
    batch = Batch.from_data_list([graph(3, 2), graph(2, 2)])
    bare = Data(x=batch.x, edge_index=batch.edge_index, batch=batch.batch)
    pairs, tensors = pair_tensor(bare)
    assert torch.equal(pairs, pair_tensor(batch)[0])
    assert tensors.sizes.tolist() == [3, 2]


@pytest.mark.parametrize("orders", [(2, 2, 0), (1, 2, 2), (2, 3, 2, 0)])
def test_is_its_layers(orders):
    network = InvariantGraphNetwork(2, 3, 4, orders)
    tensors = TensorIndex.build(ptr=torch.tensor([0, 3, 3, 5]))
    x = torch.randn(tensors.num_rows(orders[0]), 2)
    expected = x
    for layer in network.layers:
        expected = silu(layer(expected, tensors))
    out = network(x, ptr=torch.tensor([0, 3, 3, 5]))
    torch.testing.assert_close(out, network.head(expected))
    assert out.shape == (tensors.num_rows(orders[-1]), 3)


def test_elements_to_elements_is_equivariant():
    network = InvariantGraphNetwork(3, 2, 4, (1, 2, 1)).double()
    sets = testing.random_sets(3, dtype=torch.float64)
    testing.assert_permutation_equivariant(network, sets)
    testing.assert_batch_independent(network, sets)


def test_order_3_tells_triangles_apart_where_order_2_cannot():
    """Two triangles and a hexagon: all degrees are 2."""
    triangles = torch.tensor([[0, 1, 2, 3, 4, 5], [1, 2, 0, 4, 5, 3]])
    hexagon = torch.tensor([[0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 0]])
    both = [
        Data(edge_index=torch.cat([e, e.flip(0)], 1), num_nodes=6)
        for e in (triangles, hexagon)
    ]
    pairs, tensors = pair_tensor(Batch.from_data_list(both))
    outs = []
    for orders in ((2, 2, 2, 0), (2, 3, 2, 0)):
        network = InvariantGraphNetwork(1, 4, 8, orders).double()
        outs.append(network(pairs.double(), tensors))
    torch.testing.assert_close(outs[0][0], outs[0][1])
    assert (outs[1][0] - outs[1][1]).abs().max() > 1e-9


def test_wrong_orders_are_refused():
    with pytest.raises(ValueError, match="'orders'"):
        InvariantGraphNetwork(1, 1, 1, (2,))
