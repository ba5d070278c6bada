from itertools import combinations, pairwise, permutations, product

import pytest
import torch
from torch_geometric.utils import to_dense_adj

from pyg_setops.datasets import RandomGraphs


def count(a):
    """Walks and cycles, one by one."""
    n = range(len(a))
    walks = [
        sum(all(a[u][v] for u, v in pairwise(w)) for w in product(n, repeat=r))
        for r in (3, 4)
    ]
    triangles = sum(a[u][v] and a[v][w] and a[w][u] for u, v, w in combinations(n, 3))
    cycles = sum(
        a[u][v] and a[v][w] and a[w][x] and a[x][u] for u, v, w, x in permutations(n, 4)
    )
    return [*walks, triangles, cycles // 8]


def test_targets_are_numbers_of_walks_and_cycles():
    for data in RandomGraphs((1, 7), num_sets=20):
        assert data.is_undirected()
        assert not data.has_self_loops()
        a = to_dense_adj(data.edge_index, max_num_nodes=data.num_nodes)[0].bool()
        assert data.y[0].tolist() == count(a.tolist())


def test_densities_are_counts_by_size():
    graphs = RandomGraphs(num_sets=5), RandomGraphs(density=True, num_sets=5)
    for counts, density in zip(*graphs, strict=True):
        size = torch.tensor(float(counts.num_nodes))
        torch.testing.assert_close(
            density.y * size ** torch.tensor([3, 4, 3, 4]), counts.y
        )


def test_sizes_are_those_that_were_asked_for():
    assert {data.num_nodes for data in RandomGraphs((3, 6), num_sets=99)} == {
        3,
        4,
        5,
        6,
    }


def test_geometric_graphs_have_more_triangles_at_the_same_degrees():
    """Two kinds: the share of closed pairs of edges has two modes."""
    closed = []
    for data in RandomGraphs((30, 30), num_sets=60):
        degree = data.edge_index[0].bincount(minlength=30).double()
        paths = (degree * (degree - 1)).sum() / 2
        density = degree.mean() / 29
        if 0.2 < density < 0.5:
            closed.append(float(3 * data.y[0, 2] / paths - density))
    assert min(closed) < 0.05
    assert max(closed) > 0.2


def test_wrong_sizes_are_refused():
    with pytest.raises(ValueError, match="num_elements"):
        RandomGraphs((4, 3))
