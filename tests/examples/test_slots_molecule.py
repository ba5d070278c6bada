import pytest
import slots_molecule
import torch
from torch_geometric.data import Batch, Data

from pyg_setops.datasets import QM9


@pytest.fixture(scope="module")
def molecules():
    return [QM9()[number] for number in (0, 50, 9000)]


@pytest.mark.parametrize("name", slots_molecule.READOUTS)
def test_predictions_do_not_depend_on_the_batch(name, molecules):
    torch.manual_seed(0)
    network = slots_molecule.Network(slots_molecule.READOUTS[name], -6.0).eval()
    together = network(Batch.from_data_list(molecules))
    for number, data in enumerate(molecules):
        alone = network(Batch.from_data_list([data]))
        torch.testing.assert_close(alone[0], together[number])


def test_contents_count_every_atom_once(molecules):
    shares = [torch.eye(4)[torch.arange(len(data.z)) % 4] for data in molecules]
    lines = slots_molecule.contents(shares, molecules)
    atoms = sum(float(line.split()[2]) for line in lines)
    expected = sum(len(data.z) for data in molecules) / len(molecules)
    assert atoms == pytest.approx(expected, abs=0.2)
    methane = Data(z=torch.tensor([6, 1, 1, 1, 1]))
    held = slots_molecule.contents([torch.eye(4)[[0, 0, 1, 2, 3]]], [methane])
    assert held[0].startswith("slot 1: 2.0 atoms (H 50%, C 50%")


def test_a_drawing_shows_the_colours(molecules):
    data = molecules[-1]
    share = torch.zeros(len(data.z), 4)
    share[:, 1] = 1
    image = slots_molecule.draw_molecule(data, share).convert("RGB")
    wanted = tuple(round(255 * value) for value in slots_molecule.COLOURS[1].tolist())
    found = image.getcolors(2**20)
    near = [
        n
        for n, c in found
        if max(abs(a - b) for a, b in zip(c, wanted, strict=True)) <= 2
    ]
    assert sum(near) > 100
