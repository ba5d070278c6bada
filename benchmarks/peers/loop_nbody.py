"""Particle systems simulated one after another, vectorised over their pairs only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def charged(
    pos: Array, vel: Array, charge: Array, step: float, num_steps: int, every: int
) -> Array:
    """The frames of one system by the EGNN protocol, ``[T, n, 3]``."""
    coupling = np.outer(charge, charge)
    itself = np.eye(len(pos))

    def force(pos: Array) -> Array:
        away = pos[:, None] - pos
        cube = ((away**2).sum(2) + itself) ** 1.5
        total = ((coupling * (1 - itself) / cube)[:, :, None] * away).sum(1)
        return np.clip(total, -100, 100)

    frames = []
    vel = vel + step * force(pos)
    for number in range(1, num_steps + 1):
        pos = pos + step * vel
        if number % every == 0:
            frames.append(pos)
        vel = vel + step * force(pos)
    return np.stack(frames)


def springs(
    pos: Array, vel: Array, mass: Array, stiffness: Array, step: float, num_steps: int
) -> Array:
    """The states of one system by RK4 at the distance of the states, ``[T, n, 2]``."""

    def slope(state: Array) -> Array:
        away = state[0][:, None] - state[0]
        weight = 2 * np.outer(stiffness, stiffness)
        force = -(weight[:, :, None] * away).sum(1)
        return np.stack([state[1], force / mass[:, None]])

    states = [np.stack([pos, vel])]
    for _ in range(num_steps):
        state = states[-1]
        k1 = slope(state)
        k2 = slope(state + step / 2 * k1)
        k3 = slope(state + step / 2 * k2)
        k4 = slope(state + step * k3)
        states.append(state + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4))
    return np.stack(states)[:, 0]
