r"""How the minimum is differentiated in what the objective depends on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..ragged.eager import is_eager
from .linear import (
    attainable,
    conjugate_gradients,
    differentiable,
    solve_positive,
    step_tolerance,
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
        grad = torch.where(_regular(result), objective.grad(result.y), 0)
        return _finish(result, result.y - self.step_size * grad)


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
        if not torch.is_grad_enabled():
            return _finish(result, result.y)
        attach = self._polish if objective.has_curvature else self._attach
        return _finish(result, attach(result, objective))

    def _polish(self, result: SolveResult, objective: Objective) -> Tensor:
        y, regular = result.y, _regular(result)
        grad, product = objective.curvature(y)
        step = partial(solve_positive, product, tol=step_tolerance(y.dtype))
        exact = partial(solve_positive, product, tol=attainable(y.dtype))
        for number in range(self.order):
            if number > 0:
                y = _higher_order(y)
                grad = objective.grad(y)
            right = torch.where(regular, grad, 0)
            y = y - (differentiable(step, right, exact) if is_eager() else step(right))
        return y

    def _attach(self, result: SolveResult, objective: Objective) -> Tensor:
        regular = _regular(result)
        at = result.y.detach().requires_grad_()
        grad_at = objective.grad(at)

        def product(v: Tensor) -> Tensor:
            return torch.autograd.grad(grad_at, at, v, retain_graph=True)[0]

        def inverse(v: Tensor) -> Tensor:
            return _solve_or_step(product, torch.where(regular, v, 0), result.status)

        grad = torch.where(regular, objective.grad(result.y), 0)
        return result.y - differentiable(inverse, grad - grad.detach(), inverse)


def _higher_order(y: Tensor) -> Tensor:
    """``y``, for second and higher derivatives; constant for a first one.

    That is exact without the steps before the last.
    """
    return _HigherOrder.apply(y) if is_eager() else y


class _HigherOrder(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.differentiated = False
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor | None:
        # A second derivative comes back here through the graph of the first.
        ctx.differentiated |= torch.is_grad_enabled()
        return grads[0] if ctx.differentiated else None


def _solve_or_step(product: HessianProduct, v: Tensor, status: Tensor) -> Tensor:
    tol, max_steps = attainable(v.dtype), 4 * v.size(1)
    found = conjugate_gradients(product, v, tol, max_steps)
    status.masked_fill_(found.indefinite, int(Status.INDEFINITE))
    return torch.where(found.indefinite[:, None], OneStep.step_size * v, found.z)


def _regular(result: SolveResult) -> Tensor:
    """Which rows have a minimum that can be differentiated, ``[B, 1]``."""
    broken = result.status == int(Status.NONFINITE)
    return ~(broken | (result.status == int(Status.EMPTY)))[:, None]


def _finish(result: SolveResult, y: Tensor) -> SolveResult:
    """Says NaN where the solver met it: a frozen row is not a result."""
    broken = (result.status == int(Status.NONFINITE))[:, None]
    return replace(result, y=torch.where(broken, torch.nan, y))
