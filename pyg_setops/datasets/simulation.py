"""Motion under inverse-square forces, of many systems at once.

Arrays are in float64, systems first: ``[S, n, d]``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Law = Callable[[Array], Array]

# Matrices of fewer particles than this are too small for matrix products: there the
# loops run over the systems.
_SMALL = 12
# The pairs of the systems that move together: their matrices stay in cache.
_PAIRS = 12_500


def inverse_square_law(
    strength: Array, softening: float = 0.0, largest: float = np.inf
) -> Law:
    r"""Returns the function that maps positions to accelerations.

    .. math::
        a_i = \sum_{j \ne i} c_{ij} \frac{r_i - r_j}
        {(|r_i - r_j|^2 + \epsilon^2)^{3/2}}

    Args:
        strength: :math:`c_{ij}`, ``[S, n, n]``; positive repels.
        softening: :math:`\epsilon`.
        largest: what every component is clipped to.
    """
    n = strength.shape[1]
    rows = np.arange(n)
    square_softening = softening**2

    def weigh(square: Array, strength: Array) -> Array:
        return strength / (square * np.sqrt(square))

    if n < _SMALL:
        systems_last = np.ascontiguousarray(strength.transpose(1, 2, 0))

        def law(pos: Array) -> Array:
            pos = np.ascontiguousarray(pos.transpose(1, 2, 0))
            norm = (pos * pos).sum(1) + square_softening / 2
            square = norm[:, None] + norm - 2 * np.einsum("ids,jds->ijs", pos, pos)
            square[rows, rows] = 1.0
            weight = weigh(square, systems_last)
            pulled = np.einsum("ijs,jds->ids", weight, pos)
            out = weight.sum(1)[:, None] * pos - pulled
            return out.clip(-largest, largest).transpose(2, 0, 1)
    else:

        def law(pos: Array) -> Array:
            norm = (pos * pos).sum(2) + square_softening / 2
            square = norm[:, :, None] + norm[:, None] - 2 * pos @ pos.swapaxes(1, 2)
            square[:, rows, rows] = 1.0
            weight = weigh(square, strength)
            out = weight.sum(2, keepdims=True) * pos - weight @ pos
            return out.clip(-largest, largest)

    return law


def move(
    law: Law,
    pos: Array,
    vel: Array,
    step: float,
    stops: Sequence[int],
    synchronised: bool = True,
) -> tuple[Array, Array]:
    """Kicks and drifts in turn, and looks at the particles after some of the steps.

    Args:
        law: maps positions to accelerations.
        pos: positions ``[S, n, d]``.
        vel: velocities ``[S, n, d]``.
        step: the time of a step.
        stops: the numbers of steps after which to look, ascending.
        synchronised: begin with half a kick, and complete it wherever one looks:
            leapfrog, of second order. Otherwise begin with a whole one: symplectic
            Euler, of first order.

    Returns:
        Positions and velocities at the stops, ``[S, n, T, d]``.
    """
    seen = [(pos, vel)] if stops[0] == 0 else []
    lag = step / 2 if synchronised else 0.0
    vel = vel + (step - lag) * law(pos)
    for number in range(1, stops[-1] + 1):
        pos = pos + step * vel
        acceleration = law(pos)
        if number in stops:
            seen.append((pos, vel + lag * acceleration))
        vel = vel + step * acceleration
    positions, velocities = zip(*seen, strict=True)
    return np.stack(positions, axis=2), np.stack(velocities, axis=2)


def systems_at_once(num_particles: int) -> int:
    """How many systems to move together, so that they stay in cache."""
    return max(1, _PAIRS // num_particles**2)
