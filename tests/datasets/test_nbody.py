import numpy as np
import pytest
import torch
from scipy import stats

from pyg_setops.datasets import ChargedNBody, GravityNBody
from pyg_setops.datasets.simulation import inverse_square_law, move
from tests.oracles.dynamics import charged_forces, charged_frames, gravity_energy


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(ChargedNBody, "block", 10)
    monkeypatch.setattr(GravityNBody, "block", 10)


@pytest.mark.parametrize("num_particles", [5, 13])  # fewer and more than 12
def test_charged_frames_are_those_of_a_loop(tmp_path, num_particles):
    dataset = ChargedNBody("train", 2, num_particles, (0, 2), root=tmp_path)
    start = dataset.start(1)
    frames = charged_frames(start["pos"], start["vel"], start["charge"], 3)
    data = dataset[1]
    for place, number in enumerate((0, 2)):
        pos, vel = frames[number]
        np.testing.assert_allclose(data.pos_t[:, place], pos, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(data.vel_t[:, place], vel, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("num_particles", [2, 5, 11, 12, 20])
def test_accelerations_are_those_of_a_loop(num_particles):
    rng = np.random.default_rng(0)
    pos = rng.normal(size=(4, num_particles, 3))
    pos[0, 1] = pos[0, 0] + 0.01  # a force to clip
    charge = rng.choice([-1.0, 1.0], (4, num_particles))
    law = inverse_square_law(charge[:, :, None] * charge[:, None], largest=100)
    expected = np.stack(
        [charged_forces(*each) for each in zip(pos, charge, strict=True)]
    )
    assert abs(expected).max() == 100
    np.testing.assert_allclose(law(pos), expected, rtol=1e-9, atol=1e-9)


def test_leapfrog_is_of_second_order_and_euler_of_first():
    rng = np.random.default_rng(1)
    pos, vel = rng.normal(size=(2, 3, 5, 3))
    law = inverse_square_law(-np.ones((3, 5, 5)), softening=0.5)
    for synchronised, order in ((True, 2), (False, 1)):
        ends = [
            move(law, pos, vel, 0.4 / num, [num], synchronised)[0]
            for num in (64, 128, 256)
        ]
        errors = [np.abs(ends[i] - ends[i + 1]).max() for i in (0, 1)]
        assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.15)


def test_charges_follow_the_protocol(tmp_path):
    dataset = ChargedNBody("train", 1, 20, (0,), root=tmp_path)
    starts = [dataset.start(number) for number in range(300)]
    charge, pos, vel = (
        np.stack([start[key] for start in starts]) for key in ("charge", "pos", "vel")
    )
    assert set(np.unique(charge)) == {-1.0, 1.0}
    assert abs(charge.mean()) < 0.05
    assert stats.kstest(pos.ravel(), stats.norm(0, 4 ** (1 / 3)).cdf).pvalue > 1e-3
    np.testing.assert_allclose(np.linalg.norm(vel, axis=-1), 0.5)
    # A coordinate of a random direction is uniform.
    assert stats.kstest(vel.ravel(), stats.uniform(-0.5, 1).cdf).pvalue > 1e-3


def test_charged_momentum_is_conserved_while_nothing_is_clipped(tmp_path):
    dataset = ChargedNBody("train", 10, frames=(0, 10), root=tmp_path)
    change = [
        (data.vel_t[:, 1] - data.vel_t[:, 0]).sum(0).abs().max() for data in dataset
    ]
    assert np.median(change) < 1e-5


def test_published_draws_are_one_stream(tmp_path):
    rng = np.random.RandomState(43)
    for number in range(2):
        charge = rng.choice([-1.0, 0.0, 1.0], (5, 1), p=[0.5, 0, 0.5])
        pos = rng.randn(3, 5)
        vel = rng.randn(3, 5)
        rng.randn(49, 3, 5), rng.randn(49, 3, 5)
        start = ChargedNBody(
            "train", 1, frames=(0,), published=True, root=tmp_path
        ).start(number)
        np.testing.assert_allclose(start["charge"], charge[:, 0])
        np.testing.assert_allclose(start["pos"], pos.T)
        np.testing.assert_allclose(
            start["vel"], 0.5 * (vel / np.linalg.norm(vel, axis=0)).T
        )


def test_published_splits_come_one_after_another(tmp_path):
    firsts = {
        split: ChargedNBody(split, 1, frames=(0,), published=True, root=tmp_path).start(
            0
        )["pos"]
        for split in ("train", "val", "test")
    }
    train = ChargedNBody("train", 1, frames=(0,), published=True, root=tmp_path)
    from pyg_setops.datasets.charged_nbody import _published_stream

    stream = _published_stream(43, 5)["pos"]
    assert len(stream) == 14_000
    for split, place in (("train", 0), ("val", 10_000), ("test", 12_000)):
        np.testing.assert_array_equal(firsts[split], stream[place])
    np.testing.assert_array_equal(train.start(10_050)["pos"], stream[9_999])


def test_gravity_keeps_energy_momentum_and_centre(tmp_path):
    dataset = GravityNBody("train", 10, (5, 14), frames=(0, 5, 10), root=tmp_path)
    for data in dataset:
        mass = data.mass[:, None, None]
        assert (mass * data.vel_t).sum(0).abs().max() < 1e-5
        assert (mass * data.pos_t).sum(0).abs().max() < 1e-5
        arrays = (data[key].double() for key in ("pos_t", "vel_t", "mass"))
        pos, vel, mass = (array.numpy() for array in arrays)
        energy = [
            gravity_energy(pos[:, t], vel[:, t], mass, 1.0, 0.1) for t in range(3)
        ]
        assert np.ptp(energy) < 2e-3 * abs(energy[0])
        torch.testing.assert_close(
            dataset.energy(data)[0],
            torch.tensor(energy).float(),
            rtol=1e-4,
            atol=1e-4,
        )


def test_gravity_is_near_the_virial_balance(tmp_path):
    for n in (5, 20):
        dataset = GravityNBody("train", 10, n, frames=(0,), root=tmp_path)
        kinetic = total = 0.0
        for data in dataset:
            kinetic += float((data.mass[:, None] * data.vel**2).sum() / 2)
            total += float(dataset.energy(data)[0, 0])
        assert total < 0  # bound
        assert 0.25 < -kinetic / (total - kinetic) < 0.75


@pytest.mark.parametrize("cls", [ChargedNBody, GravityNBody])
@pytest.mark.parametrize("frames", [(), (3, 2), (-1, 2), (0, 51), (1, 1)])
def test_wrong_frames_are_named(tmp_path, cls, frames):
    with pytest.raises(ValueError, match="frames"):
        cls("train", 1, frames=frames, root=tmp_path)


def test_published_has_its_limits(tmp_path):
    with pytest.raises(ValueError, match="num_particles"):
        ChargedNBody("train", 1, (5, 20), published=True, root=tmp_path)
    with pytest.raises(ValueError, match="num_systems"):
        ChargedNBody("val", 2001, published=True, root=tmp_path)
    with pytest.raises(ValueError, match=r"^split"):
        ChargedNBody("valid", 5, published=True, root=tmp_path)
