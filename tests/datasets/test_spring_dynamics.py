import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import solve_ivp

from pyg_setops.datasets import SpringDynamics
from tests.oracles.dynamics import spring_energy, spring_forces, spring_rk4

NUM_SYSTEMS = 40


@pytest.fixture
def make(tmp_path, monkeypatch):
    monkeypatch.setattr(SpringDynamics, "block", NUM_SYSTEMS)

    def build(num_particles=6, num_frames=500, split="train", **kwargs):
        kwargs = {"root": tmp_path, **kwargs}
        return SpringDynamics(split, NUM_SYSTEMS, num_particles, num_frames, **kwargs)

    return build


def start_of(dataset):
    """All starts, stacked, in float64."""
    starts = [dataset.start(number) for number in range(NUM_SYSTEMS)]
    return {key: np.stack([start[key] for start in starts]) for key in starts[0]}


def test_exact_solution_keeps_the_energy(make):
    dataset = make()
    start = start_of(dataset)
    moved = dataset.simulate(start)
    for system in range(NUM_SYSTEMS):
        mass, stiffness = start["mass"][system], start["stiffness"][system]
        energy = [
            spring_energy(pos, mass[:, None] * vel, mass, stiffness)
            for pos, vel in zip(
                moved["pos_t"][system].swapaxes(0, 1),
                moved["vel_t"][system].swapaxes(0, 1),
                strict=True,
            )
        ]
        assert np.ptp(energy) < 1e-9 * max(energy)


def test_exact_solution_solves_the_equations(make):
    dataset = make(num_particles=3)
    start = start_of(dataset)
    moved = dataset.simulate(start)
    mass, stiffness = start["mass"][0], start["stiffness"][0]

    def slope(_, state):
        q, v = state.reshape(2, 3, 2)
        return np.stack([v, spring_forces(q, stiffness) / mass[:, None]]).ravel()

    first = np.stack([moved["pos_t"][0, :, 0], moved["vel_t"][0, :, 0]])
    times = np.linspace(0, 5, 500)
    peer = solve_ivp(
        slope, (0, 5), first.ravel(), "DOP853", times, rtol=1e-11, atol=1e-11
    )
    expected = peer.y.reshape(2, 3, 2, 500)
    np.testing.assert_allclose(moved["pos_t"][0].swapaxes(1, 2), expected[0], atol=1e-7)
    np.testing.assert_allclose(moved["vel_t"][0].swapaxes(1, 2), expected[1], atol=1e-6)


def test_rk4_is_runge_kutta_at_the_distance_of_the_states(make):
    dataset = make(solution="rk4", centre=None)
    start = start_of(dataset)
    moved = dataset.simulate(start)
    for system in (0, 1):
        mass = start["mass"][system]
        states = spring_rk4(
            start["pos"][system],
            start["momentum"][system],
            mass,
            start["stiffness"][system],
            5 / 499,
            499,
        )
        for number in (0, 1, 7, 499):
            pos, momentum = states[number]
            np.testing.assert_allclose(
                moved["pos_t"][system, :, number], pos, rtol=1e-7, atol=1e-9
            )
            np.testing.assert_allclose(
                mass[:, None] * moved["vel_t"][system, :, number],
                momentum,
                rtol=1e-7,
                atol=1e-8,
            )


def test_frames_are_consecutive_states_from_a_random_one_on(make, tmp_path):
    whole, chunk = make(), make(num_frames=5)
    starts = start_of(chunk)["first"][:, 0].astype(int)
    assert starts.min() >= 0
    assert starts.max() <= 495
    assert len(np.unique(starts)) > NUM_SYSTEMS / 2
    # Frames begin after other draws are made of the same stream, so that the number
    # of frames does not change the systems.
    torch.testing.assert_close(whole[3].mass, chunk[3].mass)
    first = starts[3]
    torch.testing.assert_close(whole[3].pos_t[:, first : first + 5], chunk[3].pos_t)


def test_momentum_is_conserved_and_zero_where_centred(make):
    for centre, largest in (("particles", 1e-5), (None, 10), ("published", 10)):
        batch = make(centre=centre).get(0)
        total = (batch.mass[:, None, None] * batch.vel_t).sum(0)
        assert total.abs().max() < largest
        torch.testing.assert_close(total, total[:1].expand_as(total), atol=1e-4, rtol=0)
        assert (total.abs().max() < 1e-4) == (centre == "particles")


def test_published_centring_is_over_systems(make):
    dataset = make(centre="published", num_frames=500)
    batch = dataset._data
    momentum = (batch.mass[:, None] * batch.vel_t[:, 0]).view(NUM_SYSTEMS, 6, 2)
    assert momentum.mean(0).abs().max() < 1e-6
    assert momentum.mean(1).abs().max() > 0.1


def test_quantities_follow_their_laws(make):
    start = start_of(make(num_particles=50))
    assert stats.kstest(start["mass"].ravel(), stats.uniform(0.1, 3).cdf).pvalue > 1e-3
    assert (
        stats.kstest(start["stiffness"].ravel(), stats.uniform(0, 5).cdf).pvalue > 1e-3
    )
    assert stats.kstest(start["pos"].ravel(), stats.norm(0, 0.4).cdf).pvalue > 1e-3
    assert stats.kstest(start["momentum"].ravel(), stats.norm(0, 0.6).cdf).pvalue > 1e-3


def test_energy_is_that_of_the_law(make):
    dataset = make(num_frames=2)
    data = dataset[0]
    mass = data.mass.double().numpy()
    expected = spring_energy(
        data.pos.double().numpy(),
        mass[:, None] * data.vel.double().numpy(),
        mass,
        data.stiffness.double().numpy(),
    )
    assert float(dataset.energy(data)[0, 0]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "arguments",
    [{"centre": "systems"}, {"solution": "euler"}, {"num_frames": 501}],
)
def test_wrong_arguments_are_named(make, arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        make(**arguments)
