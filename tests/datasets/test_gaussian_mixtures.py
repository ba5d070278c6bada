import numpy as np
import pytest
import torch
from scipy import stats

from pyg_setops.datasets import GaussianMixtures


@pytest.mark.parametrize(
    ("protocol", "components", "elements"),
    [("clustering", (3, 10), (100, 1000)), ("mixture", (4, 4), (100, 500))],
)
def test_sizes_cover_the_published_ranges(protocol, components, elements):
    sets = list(GaussianMixtures(protocol, num_sets=400))
    counts = [len(data.weight) for data in sets]
    sizes = [data.num_nodes for data in sets]
    assert (min(counts), max(counts)) == components
    assert elements[0] <= min(sizes) < elements[0] + 20
    assert elements[1] - 20 < max(sizes) <= elements[1]


def test_a_set_depends_on_seed_split_and_number_alone():
    dataset = GaussianMixtures("mixture", num_sets=5)
    again = GaussianMixtures("mixture", num_sets=50)
    assert torch.equal(dataset[3].pos, again[3].pos)
    assert torch.equal(dataset[1:][2].pos, again[3].pos)
    others = [
        dataset[2],
        GaussianMixtures("mixture", "val")[3],
        GaussianMixtures("mixture", "test")[3],
        GaussianMixtures("mixture", seed=1)[3],
    ]
    assert all(not torch.equal(dataset[3].mean, other.mean) for other in others)


def test_points_follow_the_mixture_of_their_set():
    deviations, labels = [], 0.0
    for data in GaussianMixtures("clustering", "test", num_sets=100):
        inverse = torch.linalg.inv(data.covariance.double())[data.y]
        centred = (data.pos - data.mean[data.y]).double()
        deviations.append(torch.einsum("ni,nij,nj->n", centred, inverse, centred))
        labels += float((data.y == 0).sum() / data.num_nodes - data.weight[0])
    # Squared Mahalanobis distances in the plane are chi-squared with 2 degrees.
    assert stats.kstest(torch.cat(deviations), stats.chi2(2).cdf).pvalue > 1e-3
    assert abs(labels / 100) < 0.01


def test_covariances_are_inverse_wishart():
    sets = GaussianMixtures("clustering", num_sets=500)
    covariance = torch.cat([data.covariance for data in sets]).double().numpy()
    expected = stats.invwishart(4, 0.05 * np.eye(2))
    # The law of the determinant settles scale and degrees of freedom.
    peer = np.linalg.det(expected.rvs(4000, random_state=0))
    assert stats.ks_2samp(np.linalg.det(covariance), peer).pvalue > 1e-3


def test_mixture_prior():
    sets = list(GaussianMixtures("mixture", num_sets=500))
    mean = torch.cat([data.mean for data in sets]).flatten()
    weight = torch.stack([data.weight for data in sets])
    assert stats.kstest(mean, stats.uniform(-4, 8).cdf).pvalue > 1e-3
    assert torch.allclose(weight.sum(1), torch.ones(500))
    # A share of Dirichlet(1, 1, 1, 1) is Beta(1, 3).
    assert stats.kstest(weight[:, 0], stats.beta(1, 3).cdf).pvalue > 1e-3
    assert torch.equal(sets[0].covariance, (0.3**2 * torch.eye(2)).expand(4, 2, 2))


@pytest.mark.parametrize(
    "arguments",
    [{"protocol": "em"}, {"split": "dev"}, {"num_sets": 0}, {"seed": -1}],
)
def test_wrong_arguments_are_named(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        GaussianMixtures(**arguments)
