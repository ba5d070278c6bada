r"""How the minimum is differentiated in what the objective depends on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from ..ragged.eager import is_eager
from .linear import (
    conjugate_gradients,
    differentiable,
    solve_positive,
)
from .objective import HessianProduct, Objective
from .result import SolveResult, Status
from .solver import Solver


class Adjoint(ABC):
    """Runs a solver such that the minimum it finds can be differentiated."""

    def check(self, solver: Solver) -> None:  # noqa: B027
        """Raises a ValueError if the solver does not suit."""

    @abstractmethod
    def __call__(self, solver: Solver, objective: Objective) -> SolveResult:
        """Solves; the result's ``y`` has the adjoint's derivatives."""


@dataclass(frozen=True)
class Unrolled(Adjoint):
    """Differentiates every step: exact for what was computed, converged or not.

    Cost:
        Memory grows with the number of steps.
    """

    def check(self, solver: Solver) -> None:
        """Raises a ValueError if the solver's steps cannot be differentiated."""
        if not solver.is_unrollable:
            raise ValueError(
                f"'adjoint' Unrolled() needs a solver with differentiable steps, "
                f"Momentum or Nesterov; {type(solver).__name__} takes Implicit()"
            )

    def __call__(self, solver: Solver, objective: Objective) -> SolveResult:
        """Solves with a graph through all steps."""
        result = solver(objective)
        return _finish(result, result.y)


@dataclass(frozen=True)
class OneStep(Adjoint):
    r"""Differentiates one more gradient step, :math:`y^* - \eta g(y^*, \theta)`.

    This puts :math:`\eta I` in the place of the inverse Hessian: near a minimum, a
    direction of descent for the outer loss, wrongly scaled. It is not a gradient, and
    finite differences will not confirm it.

    Args:
        step_size: :math:`\eta`.

    Cost:
        One gradient; memory does not depend on the number of steps.
    """

    step_size: float = 0.1

    def __call__(self, solver: Solver, objective: Objective) -> SolveResult:
        """Solves without a graph, then takes the step."""
        with torch.no_grad():
            result = solver(objective)
        step = self.step_size * _masked(objective.grad(result.y), _regular(result))
        return _finish(result, result.y - step)


@dataclass(frozen=True)
class Implicit(Adjoint):
    r"""Differentiates the condition :math:`g(y^*, \theta) = 0` that the minimum meets.

    .. math::
        \frac{d y^*}{d \theta} = -H^{-1} \frac{\partial g}{\partial \theta}

    An objective with curvature takes ``order`` steps
    :math:`y \leftarrow y - H^{-1} g(y, \theta)` with constant :math:`H`, which polish
    the value and are exact in derivatives up to that order. One without has
    :math:`H` multiplied by automatic differentiation in the backward pass, to first
    order; a row that turns out not to be convex there takes the step of
    :class:`OneStep`, and its status becomes ``INDEFINITE``.

    Args:
        order: The highest derivative that is to be right: 2 for losses on forces.

    Cost:
        ``order`` gradients and linear systems; memory does not depend on the number
        of steps of the solver.
    """

    order: int = 2

    def __post_init__(self) -> None:
        if self.order < 1:
            raise ValueError(f"'order' must be at least 1, got {self.order}")

    def __call__(self, solver: Solver, objective: Objective) -> SolveResult:
        """Solves without a graph, then attaches the derivatives."""
        with torch.no_grad():
            result = solver(objective)
        if objective.has_curvature:
            return self._polish(result, objective)
        return self._attach(result, objective) if torch.is_grad_enabled() else result

    def _polish(self, result: SolveResult, objective: Objective) -> SolveResult:
        y, regular = result.y, _regular(result)
        with torch.no_grad():
            _, product = objective.curvature(y)
        tol = torch.finfo(y.dtype).eps ** 0.75
        inverse = partial(solve_positive, product, tol=tol)
        for _ in range(self.order):
            grad = _masked(objective.grad(y), regular)
            y = y - (differentiable(inverse, grad) if is_eager() else inverse(grad))
        return _finish(result, y)

    def _attach(self, result: SolveResult, objective: Objective) -> SolveResult:
        regular = _regular(result)
        at = result.y.detach().requires_grad_()
        grad_at = objective.grad(at)

        def product(v: Tensor) -> Tensor:
            return torch.autograd.grad(grad_at, at, v, retain_graph=True)[0]

        def inverse(v: Tensor) -> Tensor:
            return _solve_or_step(product, _masked(v, regular), result.status)

        grad = _masked(objective.grad(result.y), regular)
        return _finish(result, result.y - differentiable(inverse, grad - grad.detach()))


def _solve_or_step(product: HessianProduct, v: Tensor, status: Tensor) -> Tensor:
    tol = torch.finfo(v.dtype).eps ** 0.75
    found = conjugate_gradients(product, v, tol, max_steps=4 * v.size(1))
    status.masked_fill_(found.indefinite, int(Status.INDEFINITE))
    return torch.where(found.indefinite[:, None], OneStep.step_size * v, found.z)


def _regular(result: SolveResult) -> Tensor:
    """Which rows have a minimum that can be differentiated, ``[B, 1]``."""
    broken = result.status == int(Status.NONFINITE)
    return ~(broken | (result.status == int(Status.EMPTY)))[:, None]


def _masked(grad: Tensor, regular: Tensor) -> Tensor:
    return torch.where(regular, grad, 0)


def _finish(result: SolveResult, y: Tensor) -> SolveResult:
    """Says NaN where the solver met it: a frozen row is not a result."""
    broken = (result.status == int(Status.NONFINITE))[:, None]
    return replace(result, y=torch.where(broken, torch.nan, y))
