import pytest
import torch

from pyg_setops.ragged import GraphIndex

EDGES = [(0, 1), (3, 2), (1, 0), (2, 2), (1, 2), (4, 5)]
BATCH = torch.tensor([0, 0, 0, 0, 2, 2])


def build(**kwargs):
    return GraphIndex.build(torch.tensor(EDGES).t(), BATCH, **kwargs)


def test_edges_have_ends_and_nodes_have_graphs():
    graphs = build(num_graphs=4)
    assert graphs.nodes.index.tolist() == BATCH.tolist()
    assert graphs.nodes.num_sets == 4
    ends = zip(graphs.source.index.tolist(), graphs.target.index.tolist(), strict=True)
    assert list(ends) == EDGES
    assert repr(graphs) == "GraphIndex(num_graphs=4, num_nodes=6, num_edges=6)"


def test_reverse_is_the_edge_back_or_zero(backend):
    edge_attr = torch.randn(len(EDGES), 2, dtype=torch.float64, requires_grad=True)
    graphs = build()
    found = graphs.reverse(edge_attr)
    for number, (source, target) in enumerate(EDGES):
        expected = torch.zeros(2, dtype=torch.float64)
        if (target, source) in EDGES:
            expected = edge_attr[EDGES.index((target, source))]
        torch.testing.assert_close(found[number], expected)
    assert torch.autograd.gradcheck(graphs.reverse, edge_attr)


def test_a_nan_stays_on_its_edge():
    edge_attr = torch.ones(len(EDGES), 1)
    edge_attr[1] = torch.nan  # has no edge back, so it is nobody's
    assert build().reverse(edge_attr).isfinite().all()


def test_one_graph_of_as_many_nodes_as_its_edges_name():
    graphs = GraphIndex.build(torch.tensor([[0, 3], [1, 2]]))
    assert graphs.nodes.num_sets == 1
    assert graphs.nodes.num_elements == 4
    empty = GraphIndex.build(torch.empty(2, 0, dtype=torch.long), num_nodes=3)
    assert empty.reverse(torch.empty(0, 2)).shape == (0, 2)


def test_wrong_graphs_are_refused():
    with pytest.raises(ValueError, match="shape"):
        GraphIndex.build(torch.zeros(3, 2, dtype=torch.long))
    with pytest.raises(ValueError, match="names no nodes"):
        GraphIndex.build(torch.tensor([[0], [6]]), BATCH)
    with pytest.raises(ValueError, match="two graphs"):
        GraphIndex.build(torch.tensor([[0], [5]]), BATCH)
    with pytest.raises(ValueError, match="twice"):
        GraphIndex.build(torch.tensor([[0, 0], [1, 1]])).reverse(torch.ones(2, 1))


def test_wrong_batches_are_refused_by_their_name():
    edge_index = torch.tensor([[0], [1]])
    with pytest.raises(ValueError, match=r"'batch' names no graphs: .* 3, got 2"):
        GraphIndex.build(edge_index, torch.zeros(2, dtype=torch.long), 3)
    with pytest.raises(TypeError, match=r"'batch' names no graphs: .* integers"):
        GraphIndex.build(edge_index, torch.zeros(2))
