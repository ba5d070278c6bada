from itertools import permutations

import numpy as np
import pytest
import swarm_clustering
import swarm_digits
import swarm_mixture
import torch
from sklearn.mixture import GaussianMixture
from torch_geometric.data import Batch

from pyg_setops.datasets import Digits, GaussianMixtures
from pyg_setops.ragged import SetIndex


def test_matching_is_the_best_of_all_permutations(monkeypatch):
    monkeypatch.setattr(swarm_clustering, "NUM_LABELS", 4)
    torch.manual_seed(0)
    logits, y = torch.randn(9, 4).double(), torch.randint(4, (9,))
    ptr = torch.tensor([0, 5, 9])
    total, output = swarm_clustering.match(logits, y, ptr)
    log_p = logits.log_softmax(dim=1)
    for number, rows in enumerate([range(5), range(5, 9)]):
        costs = {
            names: -sum(float(log_p[i, names[y[i]]]) for i in rows)
            for names in permutations(range(4))
        }
        assert float(total[number]) == pytest.approx(min(costs.values()))
        assert costs[tuple(output[number].tolist())] == pytest.approx(
            min(costs.values())
        )


def test_bayes_agrees_with_the_anchor():
    # Measured elsewhere on 300 sets: 0.1152 ± 0.006 nats, accuracy 0.950.
    best = swarm_clustering.bayes(GaussianMixtures("clustering", "test", 300))
    assert best["loss"] == pytest.approx(0.1152, abs=0.012)
    assert best["accuracy"] == pytest.approx(0.950, abs=0.01)


def test_oracle_agrees_with_the_published_one():
    value = swarm_mixture.oracle(GaussianMixtures("mixture", "test", 1000))
    assert value == pytest.approx(-1.4726, abs=0.03)


def test_one_step_of_expectation_maximisation_is_that_of_scikit_learn():
    data = GaussianMixtures("mixture")[0]
    sets = SetIndex.build(ptr=torch.tensor([0, data.num_nodes]))
    pos = data.pos.double()
    start = swarm_mixture.Mixtures(
        torch.full((1, 4), 0.25).double().log(),
        data.mean.double()[None] + 0.3,
        torch.ones(1, 4, 2).double(),
    )
    ours = swarm_mixture.maximise(start.log_joint(pos, sets), pos, sets)
    peer = GaussianMixture(
        4,
        covariance_type="diag",
        reg_covar=0,
        weights_init=np.full(4, 0.25),
        means_init=start.mean[0].numpy(),
        precisions_init=np.ones((4, 2)),
        max_iter=1,
    )
    with pytest.warns(match="did not converge"):
        peer.fit(pos.numpy())
    torch.testing.assert_close(ours.log_weight[0].exp(), torch.tensor(peer.weights_))
    torch.testing.assert_close(ours.mean[0], torch.tensor(peer.means_))
    torch.testing.assert_close(ours.deviation[0] ** 2, torch.tensor(peer.covariances_))


@pytest.mark.parametrize("name", ["SWARM, causal", "GRU", "prefix mean"])
def test_a_pixel_is_predicted_from_earlier_pixels_alone(name):
    torch.manual_seed(0)
    models = swarm_digits.make_models(swarm_digits.Config(iterations=3), 8)
    network = models[name]().eval()
    batch = Batch.from_data_list([Digits(8)[0], Digits(8)[1]])
    before = network(batch)
    batch.level[64 + 20] = (batch.level[64 + 20] + 1) % 17
    after = network(batch)
    same = (before == after).all(dim=1)
    assert same[: 64 + 21].all()
    assert not same[64 + 21]


def test_samples_follow_the_distribution_of_the_full_pass():
    torch.manual_seed(0)
    models = swarm_digits.make_models(swarm_digits.Config(iterations=3), 8)
    network = models["SWARM, causal"]()
    with torch.no_grad():
        # Sharp logits, so that the full pass must predict every sampled pixel.
        network.core.lin_out.weight *= 1000
    label = torch.tensor([3, 7])
    images = network.sample(label)
    batch = Batch.from_data_list([Digits(8)[0], Digits(8)[1]])
    batch.level, batch.y = images.flatten(), label
    agreement = (network(batch).argmax(dim=1) == batch.level).float().mean()
    assert agreement > 0.95
