import lie_constellations
import pytest
import se3_dipoles
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

from pyg_setops.datasets import Constellations
from pyg_setops.transforms import RadiusEdges

CONFIG = lie_constellations.Config(steps=5, num_train=12, num_test=20, batch_size=4)


class Knowing(torch.nn.Module):
    def forward(self, batch):
        return torch.nn.functional.one_hot(batch.y, 3).float().flatten(1)


@pytest.mark.parametrize("shift", lie_constellations.SHIFTS)
def test_whoever_knows_the_counts_is_right(shift):
    assert lie_constellations.accuracy(Knowing(), CONFIG, shift) == 1
    batch = next(iter(DataLoader(Constellations("test", 20), 20)))
    assert lie_constellations.loss(Knowing(), batch)["accuracy"] == 1


def test_training_sets_are_the_same_for_all_but_turned():
    plain, turned = (
        lie_constellations.make_batches(CONFIG, training)
        for training in lie_constellations.TRAINING
    )
    assert len(plain) == len(turned) == CONFIG.steps
    for one, other in zip(plain, turned, strict=True):
        assert torch.equal(one.x, other.x)
        assert torch.equal(one.y, other.y)
        assert not torch.allclose(one.pos, other.pos, atol=0.1)
        for number in range(4):
            still, moved = one[number].pos, other[number].pos
            torch.testing.assert_close(
                torch.pdist(moved), torch.pdist(still), rtol=0, atol=1e-5
            )


@pytest.mark.parametrize(("features", "width"), lie_constellations.FEATURES.items())
def test_every_model_gives_a_logit_for_each_count(features, width):
    batch = next(iter(DataLoader(Constellations("test", 4, features=features), 4)))
    for make in lie_constellations.make_models(width).values():
        assert make()(batch).shape == (4, 12)


def molecules():
    graphs = [
        Data(z=torch.randint(1, 9, (n,)), pos=torch.randn(n, 3), y=torch.rand(1, 19))
        for n in (3, 5)
    ]
    RadiusEdges(se3_dipoles.CUTOFF).connect(graphs)
    return graphs


@pytest.mark.parametrize("name", se3_dipoles.make_models(0, 1))
def test_dipoles_under_motion(name):
    torch.manual_seed(0)
    network = se3_dipoles.make_models(mean=2.0, deviation=1.5)[name]()
    magnitude, vector = se3_dipoles.under_motion(network, molecules())
    assert magnitude < 1e-4
    assert (vector is None) == ("charges" not in name and "vectors" not in name)
    assert vector is None or vector < 1e-4


def test_vectors_add_to_the_dipole_of_the_charges():
    class Fixed(torch.nn.Module):
        def forward(self, batch):
            return torch.cat([batch.z[:, None].float(), batch.pos.flip(1)], dim=1)

    first, second = molecules()
    batch = Batch.from_data_list([first, second])
    found = se3_dipoles.Dipole(Fixed(), deviation=2.0).vectors(batch)
    for number, data in enumerate((first, second)):
        centred = data.pos - data.pos.mean(0)
        expected = (data.z[:, None] * centred + data.pos.flip(1)).sum(0)
        torch.testing.assert_close(found[number], 2 * expected)
