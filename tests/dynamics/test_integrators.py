import math

import numpy as np
import pytest
import torch

from pyg_setops.dynamics import leapfrog, rk4, symplectic_euler, yoshida4
from pyg_setops.dynamics.integrators import INTEGRATORS, resolve_integrator

ORDERS = {symplectic_euler: 1, leapfrog: 2, yoshida4: 4, rk4: 4}
SYMPLECTIC = [symplectic_euler, leapfrog, yoshida4]
named = pytest.mark.parametrize("integrator", ORDERS, ids=lambda f: f.__name__)


def velocity(p):
    return p / (1 + p**2) ** 0.5  # of a relativistic particle: not linear


def force(q):
    return -np.sin(q)  # of a pendulum


def follow(integrator, q, p, step, num_steps):
    states = [(q, p)]
    for _ in range(num_steps):
        states.append(integrator(velocity, force, *states[-1], step))
    return np.array(states)


def energy(states):
    q, p = states.T
    return np.sqrt(1 + p**2) - np.cos(q)


@named
def test_order_by_richardson(integrator):
    ends = [follow(integrator, 1.0, 0.4, 1 / num, num)[-1] for num in (16, 32, 64)]
    errors = [np.abs(ends[i] - ends[i + 1]).max() for i in (0, 1)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(
        ORDERS[integrator], abs=0.15
    )


@pytest.mark.parametrize("integrator", SYMPLECTIC, ids=lambda f: f.__name__)
def test_energy_of_symplectic_integrators_does_not_drift(integrator):
    states = follow(integrator, 1.0, 0.4, 0.3, 20_000)
    off = np.abs(energy(states) - energy(states)[0])
    first, last = off[:2000].max(), off[-2000:].max()
    assert last < 1.05 * first


def test_that_of_runge_kutta_does():
    states = follow(rk4, 1.0, 0.4, 0.3, 20_000)
    off = np.abs(energy(states) - energy(states)[0])
    assert off[-2000:].max() > 5 * off[:2000].max()


@pytest.mark.parametrize("integrator", SYMPLECTIC, ids=lambda f: f.__name__)
def test_steps_keep_the_symplectic_form(integrator):
    def step(state):
        q, p = state
        pendulum = lambda q: -q.sin()  # noqa: E731
        return torch.stack(integrator(velocity, pendulum, q, p, 0.3))

    state = torch.tensor([0.7, -0.4], dtype=torch.double)
    jacobian = torch.autograd.functional.jacobian(step, state)
    assert float(torch.linalg.det(jacobian)) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("integrator", [leapfrog, yoshida4], ids=lambda f: f.__name__)
def test_steps_can_be_undone(integrator):
    state = 0.7, -0.4
    back = integrator(velocity, force, *integrator(velocity, force, *state, 0.3), -0.3)
    assert back == pytest.approx(state, abs=1e-14)


@named
def test_steps_have_derivatives_of_second_order(integrator):
    def step(q, p):
        return integrator(velocity, torch.sin, q, p, 0.3)

    q, p = torch.randn(2, 3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(step, (q, p))
    assert torch.autograd.gradgradcheck(step, (q, p))


@pytest.mark.parametrize(
    ("integrator", "forces"),
    [(symplectic_euler, 1), (leapfrog, 1), (yoshida4, 3), (rk4, 4)],
)
def test_forces_taken_in_a_step(integrator, forces):
    taken = []

    def counted(q):
        taken.append(q)
        return force(q)

    integrator(velocity, counted, 1.0, 0.0, 0.1)
    assert len(taken) == forces


def test_names():
    for name, integrator in INTEGRATORS.items():
        assert resolve_integrator(name) is resolve_integrator(integrator)
    with pytest.raises(ValueError, match=r"'integrator'.*'euler'"):
        resolve_integrator("euler")
