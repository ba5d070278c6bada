import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from pyg_setops.metrics import adjusted_rand_index
from pyg_setops.ragged import SetIndex


def random_labelings(num_sets, seed):
    """Sets of 0 to 60 elements, in one to nine clusters, from alike to unrelated."""
    rng = np.random.default_rng(seed)
    for _ in range(num_sets):
        size = int(rng.integers(61))
        true = rng.integers(rng.integers(1, 10), size=size)
        other = rng.integers(rng.integers(1, 10), size=size)
        yield true, np.where(rng.random(size) < rng.random(), true, other)


def test_it_is_that_of_scikit_learn_for_a_thousand_labelings():
    pairs = list(random_labelings(1000, seed=0))
    expected = [adjusted_rand_score(true, predicted) for true, predicted in pairs]
    true, predicted = (
        torch.from_numpy(np.concatenate(x)) for x in zip(*pairs, strict=True)
    )
    sizes = torch.tensor([len(each) for each, _ in pairs])
    sets = SetIndex.build(torch.arange(1000).repeat_interleave(sizes), dim_size=1000)
    ours = adjusted_rand_index(true, predicted, sets)
    expected = torch.tensor(expected, dtype=torch.double)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)
    assert (sizes == 0).any()
    assert (sizes == 1).any()
    assert 0.1 < float(ours.mean()) < 0.9

    order = torch.randperm(len(true), generator=torch.Generator().manual_seed(0))
    shuffled = SetIndex.build(sets.index[order], dim_size=1000)
    again = adjusted_rand_index(true[order], predicted[order], shuffled)
    torch.testing.assert_close(again, ours, rtol=0, atol=1e-12)


def test_names_of_clusters_mean_nothing_and_may_be_any_integers():
    true = torch.tensor([-7, -7, 10**15, 3])
    sets = SetIndex.build(num_elements=4)
    for names in ([1, 1, 0, 2], [-(10**17), -(10**17), 4, 5]):
        ours = adjusted_rand_index(true, torch.tensor(names), sets)
        assert ours.tolist() == [1.0]


@pytest.mark.parametrize(
    ("true", "predicted", "expected"),
    [
        ([], [], 1.0),
        ([4], [2], 1.0),
        ([1, 1, 1], [5, 5, 5], 1.0),
        ([0, 1, 2], [7, 8, 9], 1.0),
        ([0, 0, 0], [0, 1, 2], 0.0),
    ],
)
def test_where_there_is_no_choice(true, predicted, expected):
    true, predicted = (torch.tensor(x, dtype=torch.long) for x in (true, predicted))
    sets = SetIndex.build(num_elements=len(true))
    assert adjusted_rand_index(true, predicted, sets).tolist() == [expected]


def test_a_set_is_scored_alone():
    first = torch.tensor([0, 0, 1, 1, 2])
    other = torch.tensor([1, 1, 1, 0, 0])
    alone = adjusted_rand_index(first, other, SetIndex.build(num_elements=5))
    ptr = torch.tensor([0, 0, 5, 10])
    both = adjusted_rand_index(
        torch.cat([first, other]), torch.cat([other, other]), SetIndex.build(ptr=ptr)
    )
    assert both.tolist() == [1.0, float(alone), 1.0]


def test_wrong_labels_are_named():
    sets = SetIndex.build(num_elements=3)
    with pytest.raises(ValueError, match=r"'true' must be integers \[3\].*float32"):
        adjusted_rand_index(torch.zeros(3), torch.zeros(3).long(), sets)
    with pytest.raises(ValueError, match=r"'predicted' must be integers \[3\].*\[2\]"):
        adjusted_rand_index(torch.zeros(3).long(), torch.zeros(2).long(), sets)
