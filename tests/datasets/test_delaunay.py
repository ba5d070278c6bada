import pytest
import torch

from pyg_setops.datasets import Delaunay


def test_edges_are_those_with_an_empty_circle():
    """Two points are joined where a circle through both has no point inside."""
    for data in Delaunay((3, 9), num_sets=10):
        p, found = data.pos.double(), set(map(tuple, data.edge_index.t().tolist()))
        for i in range(len(p)):
            for j in range(i):
                middle, along = (p[i] + p[j]) / 2, p[j] - p[i]
                across = torch.stack([-along[1], along[0]])
                # Centres middle + t across: each other point bounds t from one side.
                low, high = -float("inf"), float("inf")
                for k in set(range(len(p))) - {i, j}:
                    side = float(across @ (p[k] - middle))
                    bound = float(
                        ((p[k] - middle).square().sum() - along.square().sum() / 4)
                        / (2 * side)
                    )
                    low, high = (
                        (low, min(high, bound)) if side > 0 else (max(low, bound), high)
                    )
                assert ((i, j) in found) == (low < high)
                assert ((j, i) in found) == (low < high)


def test_sizes_and_order():
    sizes = set()
    for data in Delaunay(num_sets=100):
        sizes.add(data.num_nodes)
        source, target = data.edge_index
        assert (source != target).all()
        key = source * data.num_nodes + target
        assert (key.diff() > 0).all()
    assert min(sizes) < 30
    assert max(sizes) > 70


def test_wrong_sizes_are_refused():
    with pytest.raises(ValueError, match="num_elements"):
        Delaunay((2, 5))
