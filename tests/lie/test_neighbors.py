import pytest
import torch

from pyg_setops.lie import KNN, SE3, FixedSubset, Radius, T
from pyg_setops.lie.neighbors import expand_edges
from pyg_setops.ragged import SetIndex
from tests.oracles.lie import nearest, sets_as_neighbours

INDEX = torch.tensor([0, 2, 2, 0, 5, 2, 0, 2, 0, 2, 0])


@pytest.fixture
def pos():
    return torch.randn(len(INDEX), 3, dtype=torch.float64)


@pytest.fixture
def sets():
    return SetIndex.build(INDEX, dim_size=7)


def as_lists(edges):
    source, target = edges
    assert (target[1:] >= target[:-1]).all()
    return [sorted(source[target == i].tolist()) for i in range(len(INDEX))]


@pytest.mark.parametrize("k", [1, 3, 20])
def test_nearest_are_those_of_a_sorted_list(pos, sets, k):
    expected = [sorted(each) for each in nearest(pos, INDEX, k)]
    assert as_lists(KNN(k).edges(pos, sets)) == expected


@pytest.mark.parametrize("radius", [0.1, 1.5, 100.0])
def test_radius_keeps_to_the_set_and_the_distance(pos, sets, radius):
    expected = [
        [j for j in same if (pos[i] - pos[j]).norm() <= radius]
        for i, same in enumerate(sets_as_neighbours(INDEX))
    ]
    assert as_lists(Radius(radius).edges(pos, sets)) == expected


@pytest.mark.parametrize("neighbors", [KNN(3), Radius(2.0)], ids=repr)
@pytest.mark.parametrize("value", [torch.nan, torch.inf, 1e200])
def test_a_set_that_flew_apart_keeps_to_itself(pos, sets, neighbors, value):
    clean = as_lists(neighbors.edges(pos, sets))
    broken = pos.clone()
    broken[INDEX == 2] = value
    found = as_lists(neighbors.edges(broken, sets))
    for i, own in enumerate(INDEX.tolist()):
        assert found[i] == ([i] if own == 2 else clean[i])


@pytest.mark.parametrize("k", [1, 2, 4])
def test_points_on_top_of_each_other_are_their_own_neighbours(pos, sets, k):
    lists = as_lists(KNN(k).edges(torch.zeros_like(pos), sets))
    for i, same in enumerate(sets_as_neighbours(INDEX)):
        assert i in lists[i]
        assert len(set(lists[i])) == len(lists[i]) == min(k, len(same))
        assert set(lists[i]) <= set(same)


@pytest.mark.parametrize("neighbors", [KNN(3), Radius(2.0), FixedSubset(2)], ids=repr)
def test_nobody_has_no_neighbours(neighbors):
    sets = SetIndex.build(torch.empty(0, dtype=torch.long), dim_size=2)
    assert neighbors.edges(torch.empty(0, 3), sets).shape == (2, 0)


def test_edges_do_not_change_by_a_shift_of_sets(pos, sets):
    """Sets are kept apart by one more axis, however far they are from each other."""
    far = pos + 1e4 * INDEX[:, None]
    for neighbors in (KNN(3), Radius(1.5)):
        assert torch.equal(neighbors.edges(far, sets), neighbors.edges(pos, sets))


def test_a_fixed_subset_is_the_same_for_all_of_a_set(pos, sets):
    lists = as_lists(FixedSubset(2, seed=3).edges(pos, sets))
    for i, same in enumerate(sets_as_neighbours(INDEX)):
        assert lists[i] == lists[same[0]]
        assert len(lists[i]) == min(2, len(same))
        assert set(lists[i]) <= set(same)


@pytest.mark.parametrize("seed", range(4))
def test_a_fixed_subset_does_not_depend_on_the_batch(pos, sets, seed):
    subset = FixedSubset(2, seed)
    members = (INDEX == 2).nonzero().flatten()
    alone = subset.edges(pos[members], SetIndex.build(num_elements=len(members)))
    source, target = subset.edges(pos, sets)
    own = INDEX[target] == 2
    assert torch.equal(members[alone], torch.stack([source[own], target[own]]))


def test_all_lifts_of_neighbours_are_neighbours():
    edges = torch.tensor([[0, 1], [1, 1]])
    expected = {
        (2 * i + a, 2 * j + b)
        for i, j in edges.t().tolist()
        for a in range(2)
        for b in range(2)
    }
    assert set(map(tuple, expand_edges(edges, 2).t().tolist())) == expected
    target = expand_edges(edges, 2)[1]
    assert target.numel() == 8


def test_looks_at_points_whatever_their_lift(pos, sets):
    for group, k in ((T(3), 1), (SE3(), 2)):
        lifted = group.lift(pos, sets, k)
        edges = KNN(3)(lifted)
        assert torch.equal(edges, expand_edges(KNN(3).edges(pos, sets), k))


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: KNN(0), "k"),
        (lambda: Radius(0), "radius"),
        (lambda: FixedSubset(0), "size"),
    ],
)
def test_errors(make, name):
    with pytest.raises(ValueError, match=f"'{name}' must be positive"):
        make()
