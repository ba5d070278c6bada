"""From what users name an energy by, to what makes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .convex import ConvexEnergy
from .energy import Energy

EnergyFactory = Callable[[int, int], Energy]


def resolve_energy(
    energy: str | Sequence[int] | EnergyFactory | None, lamb: float | None = None
) -> EnergyFactory:
    """A function that makes the energy for given widths.

    Args:
        energy: ``'convex'`` or ``None``, ``'resnet'``, the widths of a resnet,
            ``'paper'``, or such a function.
        lamb: The first regularisation, before softplus, of the residual energies.

    Raises:
        ValueError: If ``energy`` is no such thing, or has no ``lamb``.
    """
    if energy in (None, "convex"):
        factory: EnergyFactory = ConvexEnergy
    elif callable(energy):
        factory = energy
    else:
        raise ValueError(
            f"'energy' must be 'convex', 'resnet', 'paper', a list of widths, an "
            f"Energy, a module or a function that makes an Energy, got {energy!r}"
        )
    if lamb is not None:
        raise ValueError("'lamb' is an argument of the residual energies only")
    return factory
