"""From the arguments of an aggregation to its parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch.nn import Module

from ..solvers import (
    Adjoint,
    Implicit,
    Momentum,
    Nesterov,
    Newton,
    Solver,
    Unrolled,
)
from .convex import ConvexEnergy
from .energy import Energy
from .module import ModuleEnergy
from .residual import ResNetEnergy
from .squared import SquaredResidualEnergy

EnergyFactory = Callable[[int, int], Energy]


def resolve_energy(
    energy: str | Sequence[int] | EnergyFactory | None,
    lamb: float | None = None,
    batch_scaled_regulariser: bool = False,
) -> EnergyFactory:
    """A function that makes the energy for given widths.

    Args:
        energy: ``'convex'`` or ``None``, ``'resnet'``, the widths of a resnet,
            ``'paper'``, or such a function.
        lamb: The first regularisation of the residual energies, before softplus.
        batch_scaled_regulariser: See :class:`~pyg_setops.equilibrium.ResNetEnergy`.

    Raises:
        ValueError: If ``energy`` is no such thing, or knows no such argument.

    Example:
        >>> type(resolve_energy("paper")(3, 2)).__name__
        'SquaredResidualEnergy'
    """
    given: dict[str, Any] = {} if lamb is None else {"lamb": lamb}
    if batch_scaled_regulariser:
        given["batch_scaled_regulariser"] = True
    if isinstance(energy, Sequence) and not isinstance(energy, str):
        return partial(ResNetEnergy, num_layers=list(energy), **given)
    if energy == "resnet":
        return partial(ResNetEnergy, **given)
    if batch_scaled_regulariser:
        raise ValueError(
            f"'compat' needs the widths of PyG's potential as 'energy', got {energy!r}"
        )
    if energy == "paper":
        return partial(SquaredResidualEnergy, **given)
    if lamb is not None:
        raise ValueError(
            f"'lamb' is an argument of the residual energies, which 'energy' "
            f"{energy!r} is not"
        )
    if energy is None or energy == "convex":
        return ConvexEnergy
    if callable(energy):
        return energy
    raise ValueError(
        f"'energy' must be 'convex', 'resnet', 'paper', a list of widths, an Energy, a "
        f"module or a function that makes an Energy, got {energy!r}"
    )


def module_energy(
    module: Module, in_channels: int, out_channels: int | None
) -> ModuleEnergy:
    """An energy of a module, whose widths must be given."""
    if in_channels == -1:
        raise ValueError(
            "'in_channels' must be given where 'energy' is a module, whose widths are "
            "its own"
        )
    return ModuleEnergy(module, in_channels, out_channels or in_channels)


def check_widths(energy: Energy, in_channels: int, out_channels: int | None) -> None:
    """Raises a ValueError if widths are given that are not those of the energy."""
    for name, ours, its in (
        ("in_channels", in_channels, energy.in_channels),
        ("out_channels", out_channels, energy.out_channels),
    ):
        if ours not in (-1, None, its):
            raise ValueError(f"'{name}' must be that of 'energy', {its}, got {ours}")


def resolve_solver(
    solver: Solver | None, energy: Energy, grad_iter: int | None
) -> Solver:
    """The solver, by default the one that suits the energy."""
    if grad_iter is not None:
        if solver is not None or energy.has_curvature:
            raise ValueError(
                "'grad_iter' is for the default solver of the residual energies; other "
                "solvers take their number of steps themselves"
            )
        return Momentum(grad_iter)
    if solver is None and energy.has_curvature:
        return Newton()
    if solver is None:
        return Nesterov() if isinstance(energy, SquaredResidualEnergy) else Momentum()
    if solver.needs_curvature and not energy.has_curvature:
        raise ValueError(
            f"'solver' {type(solver).__name__} needs an energy with curvature, which "
            f"{type(energy).__name__} has not; use Momentum, Nesterov or LBFGS"
        )
    return solver


def resolve_adjoint(adjoint: Adjoint | None, solver: Solver) -> Adjoint:
    """The adjoint, by default the exact one that suits the solver."""
    if adjoint is None:
        return Unrolled() if solver.is_unrollable else Implicit()
    adjoint.check(solver)
    return adjoint
