r"""One step of a separable Hamiltonian :math:`H(q, p) = T(p) + V(q)`, in four ways.

All have the form ``integrator(velocity, force, q, p, step)`` and return the next
``(q, p)``, with ``velocity`` :math:`p \mapsto \partial T / \partial p` and ``force``
:math:`q \mapsto -\partial V / \partial q`. They add and multiply only, so that states
may be tensors, with derivatives of any order, or arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Field = Callable[[Any], Any]
Integrator = Callable[[Field, Field, Any, Any, float], tuple[Any, Any]]

# The weights of Yoshida's three steps: with them the error of third order cancels.
_OUTER = 1 / (2 - 2 ** (1 / 3))
_INNER = 1 - 2 * _OUTER


def symplectic_euler(
    velocity: Field, force: Field, q: Any, p: Any, step: float
) -> tuple[Any, Any]:
    """Kicks, then drifts: order 1, symplectic, one force a step.

    Example:
        >>> symplectic_euler(lambda p: p, lambda q: -q, 1.0, 0.0, 0.1)
        (0.99, -0.1)
    """
    p = p + step * force(q)
    return q + step * velocity(p), p


def leapfrog(
    velocity: Field, force: Field, q: Any, p: Any, step: float
) -> tuple[Any, Any]:
    """Drifts by half, kicks, drifts by half: order 2, symplectic, one force a step.

    Also called position Verlet.

    Example:
        >>> leapfrog(lambda p: p, lambda q: -q, 1.0, 0.0, 0.1)
        (0.995, -0.1)
    """
    q = q + step / 2 * velocity(p)
    p = p + step * force(q)
    return q + step / 2 * velocity(p), p


def yoshida4(
    velocity: Field, force: Field, q: Any, p: Any, step: float
) -> tuple[Any, Any]:
    """Three leapfrogs, the second backwards: order 4, symplectic, three forces a step.

    From `"Construction of higher order symplectic integrators"
    <https://doi.org/10.1016/0375-9601(90)90092-3>`_.

    Example:
        >>> q, p = yoshida4(lambda p: p, lambda q: -q, 1.0, 0.0, 0.1)
        >>> round(q**2 + p**2, 6)
        1.0
    """
    for weight in (_OUTER, _INNER, _OUTER):
        q, p = leapfrog(velocity, force, q, p, weight * step)
    return q, p


def rk4(velocity: Field, force: Field, q: Any, p: Any, step: float) -> tuple[Any, Any]:
    """Takes the classical Runge-Kutta step: order 4, not symplectic, four forces.

    Example:
        >>> q, p = rk4(lambda p: p, lambda q: -q, 1.0, 0.0, 0.1)
        >>> round(q**2 + p**2, 6)
        1.0
    """
    v1, f1 = velocity(p), force(q)
    v2, f2 = velocity(p + step / 2 * f1), force(q + step / 2 * v1)
    v3, f3 = velocity(p + step / 2 * f2), force(q + step / 2 * v2)
    v4, f4 = velocity(p + step * f3), force(q + step * v3)
    q = q + step / 6 * (v1 + 2 * (v2 + v3) + v4)
    return q, p + step / 6 * (f1 + 2 * (f2 + f3) + f4)


INTEGRATORS: dict[str, Integrator] = {
    integrator.__name__: integrator
    for integrator in (symplectic_euler, leapfrog, yoshida4, rk4)
}


def resolve_integrator(integrator: str | Integrator) -> Integrator:
    """Returns the integrator of this name, or what was given.

    Raises:
        ValueError: If there is none.
    """
    if not isinstance(integrator, str):
        return integrator
    if integrator not in INTEGRATORS:
        raise ValueError(
            f"'integrator' must be one of {[*INTEGRATORS]} or a function, got "
            f"{integrator!r}"
        )
    return INTEGRATORS[integrator]
