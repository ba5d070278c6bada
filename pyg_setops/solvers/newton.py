"""Newton's method with conjugate gradients."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from .linear import attainable, solve_positive, step_tolerance
from .loop import State, repeat
from .objective import HessianProduct, Objective
from .result import SolveResult
from .solver import Solver, classify

SHORTEST_STEP = 2.0**-10


class Newton(Solver):
    r"""Newton's method, :math:`y \leftarrow y - t H^{-1} g`, for convex objectives.

    Each step evaluates gradient and curvature once, at a trial point. A row whose
    gradient has become shorter moves there and begins again with :math:`t = 1`; any
    other stays and halves its :math:`t`. So every row descends in
    :math:`\lVert g \rVert`, at its own pace. One that is done takes the step that it
    has prepared, without another evaluation.

    Args:
        max_steps: The largest number of trial points.
        tol: A row is done when :math:`\lVert g \rVert` is at most this, or this
            fraction of the first :math:`\lVert g \rVert` where that exceeds 1;
            ``None`` takes what the type allows, 6e-6 in float32.

    Cost:
        A step costs one :meth:`Objective.curvature` and some products with the
        Hessian, about five on well-conditioned problems.
    """

    needs_curvature: ClassVar[bool] = True

    def __init__(self, max_steps: int = 16, tol: float | None = None):
        super().__init__()
        self.max_steps = max_steps
        self.tol = tol

    @torch.no_grad()
    def forward(self, objective: Objective) -> SolveResult:
        """Minimises every row by itself."""
        objective = objective.detach()
        y, occupied = objective.start(), objective.occupied
        grad, product = objective.curvature(y)
        norm = grad.norm(dim=1)
        tol = attainable(y.dtype) if self.tol is None else self.tol
        goal = tol * norm.clamp(min=1)
        sound = occupied & norm.isfinite()
        direction = _direction(product, grad, sound)
        # A tensor, since compiled loops cannot take numbers from outside.
        shortest = torch.full_like(norm, SHORTEST_STEP)

        def step(
            y: Tensor, norm: Tensor, direction: Tensor, length: Tensor, taken: Tensor
        ) -> tuple[Tensor, ...]:
            active = is_active(y, norm, direction, length, taken)
            trial = torch.where(active[:, None], y - length[:, None] * direction, y)
            grad, product = objective.curvature(trial)
            trial_norm = grad.norm(dim=1)
            moved = active & (trial_norm < norm)
            newest = _direction(product, grad, moved)
            return (
                torch.where(moved[:, None], trial, y),
                torch.where(moved, trial_norm, norm),
                torch.where(moved[:, None], newest, direction),
                torch.where(moved, 1, torch.where(active, length / 2, length)),
                taken + active,
            )

        def is_active(
            y: Tensor, norm: Tensor, direction: Tensor, length: Tensor, taken: Tensor
        ) -> Tensor:
            return sound & (norm > goal) & (length >= shortest)

        taken = torch.zeros_like(norm, dtype=torch.long)
        state: State = (y, norm, direction, torch.ones_like(norm), taken)
        state = repeat(step, state, is_active, self.max_steps)
        y, norm, direction, length, taken = state
        converged = norm <= goal
        status = classify(occupied, norm, converged, length < shortest)
        # One more, as it is known already.
        y = torch.where((sound & converged)[:, None], y - direction, y)
        return SolveResult(y, status, taken, norm)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"max_steps={self.max_steps}, tol={self.tol}"


def _direction(product: HessianProduct, grad: Tensor, wanted: Tensor) -> Tensor:
    right = torch.where(wanted[:, None], grad, 0)
    return solve_positive(product, right, step_tolerance(right.dtype))
