import pytest
import torch
from scipy import stats

from pyg_setops.datasets import ScalarSets

DISTRIBUTIONS = (
    stats.norm(0.5, 0.4),
    stats.gamma(0.2, scale=2),
    stats.uniform(0, 1),
)


def test_sizes_are_those_that_were_asked_for():
    sizes = [data.num_nodes for data in ScalarSets(num_elements=(3, 6), num_sets=200)]
    assert set(sizes) == {3, 4, 5, 6}


def test_targets_are_quantiles_by_their_definition():
    for data in ScalarSets(quantiles=(0, 0.25, 1), num_sets=20):
        ranked = data.x.flatten().sort().values
        place = 0.25 * (len(ranked) - 1)
        below, above = ranked[int(place)], ranked[int(place) + 1]
        quarter = below + (above - below) * (place % 1)
        expected = torch.stack([ranked[0], quarter, ranked[-1]])
        torch.testing.assert_close(data.y, expected[None])


def test_each_set_follows_one_of_three_distributions_in_equal_shares():
    shares = torch.zeros(3)
    for data in ScalarSets(num_elements=(900, 900), num_sets=90):
        x = data.x.flatten().numpy()
        p_values = [stats.kstest(x, d.cdf).pvalue for d in DISTRIBUTIONS]
        assert max(p_values) > 1e-3
        assert sorted(p_values)[1] < 1e-3
        shares[int(torch.tensor(p_values).argmax())] += 1
    assert shares.min() > 20


def test_a_set_depends_on_seed_split_and_number_alone():
    dataset = ScalarSets(num_sets=5)
    assert torch.equal(dataset[3].x, ScalarSets(num_sets=9)[1:][2].x)
    others = [
        dataset[2],
        ScalarSets(split="val")[3],
        ScalarSets(split="test")[3],
        ScalarSets(seed=1)[3],
    ]
    assert all(not torch.equal(dataset[3].x[:5], other.x[:5]) for other in others)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"quantiles": (0.5, 2)}, r"quantiles.*\[0, 1\].*2"),
        ({"num_elements": (0, 5)}, "num_elements.*at least 1"),
        ({"num_elements": (6, 5)}, "num_elements"),
        ({"split": "tets"}, "split.*tets"),
        ({"num_sets": 0}, "num_sets=0"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        ScalarSets(**arguments)
