"""Particle systems moved one by one, particle by particle, from the equations."""

import numpy as np


def charged_forces(pos, charge):
    """Coulomb forces, each component clipped to 100."""
    force = np.zeros_like(pos)
    for i in range(len(pos)):
        for j in range(len(pos)):
            if i != j:
                away = pos[i] - pos[j]
                force[i] += charge[i] * charge[j] * away / np.sqrt(away @ away) ** 3
    return np.clip(force, -100, 100)


def charged_frames(pos, vel, charge, num_frames, every=100, step=0.001):
    """The frames of the EGNN protocol: a whole first kick, then drift and kick."""
    frames = []
    vel = vel + step * charged_forces(pos, charge)
    for number in range(1, num_frames * every + 1):
        pos = pos + step * vel
        if number % every == 0:
            frames.append((pos, vel))
        vel = vel + step * charged_forces(pos, charge)
    return frames


def gravity_energy(pos, vel, mass, constant, softening):
    energy = sum(m * (v @ v) / 2 for m, v in zip(mass, vel, strict=True))
    for i in range(len(pos)):
        for j in range(i):
            away = pos[i] - pos[j]
            distance = np.sqrt(away @ away + softening**2)
            energy -= constant * mass[i] * mass[j] / distance
    return energy


def spring_energy(pos, momentum, mass, stiffness):
    energy = sum(p @ p / (2 * m) for m, p in zip(mass, momentum, strict=True))
    for i in range(len(pos)):
        for j in range(i):
            away = pos[i] - pos[j]
            energy += stiffness[i] * stiffness[j] * (away @ away)
    return energy


def spring_forces(pos, stiffness):
    force = np.zeros_like(pos)
    for i in range(len(pos)):
        for j in range(len(pos)):
            force[i] -= 2 * stiffness[i] * stiffness[j] * (pos[i] - pos[j])
    return force


def spring_rk4(pos, momentum, mass, stiffness, step, num_steps):
    """States after 0 to ``num_steps`` classical Runge-Kutta steps."""

    def slope(q, p):
        return p / mass[:, None], spring_forces(q, stiffness)

    states = [(pos, momentum)]
    for _ in range(num_steps):
        q, p = states[-1]
        v1, f1 = slope(q, p)
        v2, f2 = slope(q + step / 2 * v1, p + step / 2 * f1)
        v3, f3 = slope(q + step / 2 * v2, p + step / 2 * f2)
        v4, f4 = slope(q + step * v3, p + step * f3)
        q = q + step / 6 * (v1 + 2 * v2 + 2 * v3 + v4)
        states.append((q, p + step / 6 * (f1 + 2 * f2 + 2 * f3 + f4)))
    return states
