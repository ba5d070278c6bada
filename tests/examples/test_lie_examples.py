import lie_qm9
import motions
import pytest
import torch
from torch_geometric.data import Batch

from pyg_setops.datasets import QM9
from pyg_setops.transforms import RandomMotion


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return lie_qm9.load(lie_qm9.Config(tested=6))


def test_the_loss_is_in_deviations_from_the_median(data):
    y = torch.cat([molecule.y for molecule in data.train])
    assert data.unit == QM9.targets["homo"].unit
    scaled = (y - data.median) / data.deviation
    assert abs(float(scaled.median())) < 1e-5
    assert abs(float(scaled.abs().mean()) - 1) < 1e-5


def test_turning_by_an_angle_is_a_rotation_by_it(data):
    batches = motions.make_batches(data.test, 4)
    for angle in (0, 90, 180):
        for before, after in zip(batches, motions.turned(batches, angle), strict=True):
            for one, other in zip(
                before.to_data_list(), after.to_data_list(), strict=True
            ):
                p, q = (part.pos.double() for part in (one, other))
                torch.testing.assert_close(p @ p.T, q @ q.T, rtol=1e-4, atol=1e-4)
                turn = torch.linalg.lstsq(p, q).solution.T
                cosine = (turn.trace() - 1) / 2
                expected = torch.tensor(angle).deg2rad().cos().double()
                assert abs(float(cosine - expected)) < 1e-4


@pytest.mark.parametrize("name", lie_qm9.ENTRIES)
def test_networks_keep_to_their_groups(name, data):
    torch.manual_seed(0)
    network = lie_qm9.MoleculeNetwork(lie_qm9.ENTRIES[name]).eval()
    for block in network.model.blocks:
        for weight in block.attention.scores.parameters():
            weight.data.mul_(4)  # fresh networks hardly look at coordinates
    tested = lie_qm9.measure_entry(network, 1, data, turns=2)
    assert tested.by_angle[0] == 0
    # Shifts matter to none of them, rotations to all that have one lift.
    batch = Batch.from_data_list(data.test)
    shifted = RandomMotion(3.0, rotate=False)(batch.clone())
    with torch.no_grad():
        torch.testing.assert_close(network(shifted), network(batch), atol=1e-4, rtol=0)


def test_all_octahedral_lifts_are_exact_for_quarter_turns(data):
    torch.manual_seed(0)
    network = lie_qm9.MoleculeNetwork(lie_qm9.ENTRIES["octahedral"]).eval()
    network.model.num_lifts = 24
    batch = Batch.from_data_list(data.test[:1])
    turned = batch.clone()
    x, y, z = batch.pos.unbind(1)
    turned.pos = torch.stack([-y, x, z], dim=1)
    with torch.no_grad():
        torch.testing.assert_close(network(turned), network(batch), atol=1e-5, rtol=0)


def test_batches_of_an_epoch_are_always_the_same(data):
    task = lie_qm9.make_task(
        lie_qm9.Config(), lie_qm9.Entry(lie_qm9.T(3), augment=True), data
    )
    first, again, other = (next(iter(task.train(epoch))) for epoch in (0, 0, 1))
    assert torch.equal(first.pos, again.pos)
    assert not torch.equal(first.z[:50], other.z[:50]) or not torch.equal(
        first.pos[:50], other.pos[:50]
    )


def test_the_schedule_rises_and_falls():
    values = [lie_qm9.schedule(spent) for spent in (0, 0.025, 0.05, 0.5, 1)]
    assert values[0] == 0
    assert values[1] < values[2] > values[3] > values[4] == pytest.approx(0)
