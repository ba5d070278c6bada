import pytest
import torch
from torch_geometric.data import Batch, Data

from pyg_setops.transforms import RadiusEdges


def molecule(size):
    return Data(pos=3 * torch.randn(size, 3, dtype=torch.float64))


def expected_edges(pos, cutoff):
    return [
        (j, i)
        for i in range(len(pos))
        for j in range(len(pos))
        if i != j and float((pos[i] - pos[j]).square().sum()) ** 0.5 < cutoff
    ]


@pytest.mark.parametrize("size", [0, 1, 2, 17])
def test_edges_are_all_near_pairs_sorted_by_target(size):
    data = RadiusEdges(cutoff=4.0)(molecule(size))
    assert list(map(tuple, data.edge_index.t().tolist())) == expected_edges(
        data.pos, 4.0
    )


@pytest.mark.parametrize("max_pairs", [1, 30, 10**6])
def test_edges_do_not_depend_on_batching_or_blocks(max_pairs):
    molecules = [molecule(size) for size in (5, 1, 9, 3)]
    transform = RadiusEdges(cutoff=4.0, max_pairs=max_pairs)
    together = transform(Batch.from_data_list([m.clone() for m in molecules]))
    alone = Batch.from_data_list([RadiusEdges(cutoff=4.0)(m) for m in molecules])
    assert alone.num_edges > 0
    assert torch.equal(together.edge_index, alone.edge_index)


def test_many_graphs_are_connected_as_each_alone():
    molecules = [molecule(size) for size in (5, 0, 1, 9, 3)]
    alone = [RadiusEdges(cutoff=4.0)(m.clone()).edge_index for m in molecules]
    RadiusEdges(cutoff=4.0).connect(molecules)
    for graph, expected in zip(molecules, alone, strict=True):
        assert torch.equal(graph.edge_index, expected)
    RadiusEdges(cutoff=4.0).connect([])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.int64])
def test_edges_are_exact_for_positions_of_any_type(dtype):
    pos = (10 * torch.randn(60, 3)).to(dtype)
    edges = RadiusEdges(cutoff=10.01)(Data(pos=pos)).edge_index
    assert list(map(tuple, edges.t().tolist())) == expected_edges(pos.double(), 10.01)


def test_bonds_are_replaced():
    data = molecule(4)
    data.edge_index, data.edge_attr = torch.tensor([[0], [1]]), torch.ones(1, 4)
    data = RadiusEdges(cutoff=100.0)(data)
    assert data.num_edges == 12
    assert data.edge_attr is None


def test_errors():
    with pytest.raises(ValueError, match="'cutoff' must be positive, got 0"):
        RadiusEdges(cutoff=0)
    with pytest.raises(ValueError, match="'pos'"):
        RadiusEdges(cutoff=1)(Data(x=torch.ones(2, 1)))
    with pytest.raises(ValueError, match="'pos'"):
        RadiusEdges(cutoff=1).connect([molecule(2), Data(x=torch.ones(2, 1))])


def test_repr():
    assert repr(RadiusEdges(5.0)) == "RadiusEdges(cutoff=5.0)"
