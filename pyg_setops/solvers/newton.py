"""Newton's method with conjugate gradients."""

from __future__ import annotations

from typing import ClassVar

import torch

from ..ragged.eager import is_eager
from .linear import solve_positive
from .objective import Objective
from .result import SolveResult
from .solver import Solver, classify

# Of the systems: enough for a step that is to be followed by others.
STEP_TOLERANCE = 1e-3
SHORTEST_STEP = 2.0**-10


class Newton(Solver):
    r"""Newton's method, :math:`y \leftarrow y - t H^{-1} g`, for convex objectives.

    Each step evaluates gradient and curvature once, at a trial point. A row whose
    gradient has become shorter moves there and begins again with :math:`t = 1`; any
    other stays and halves its :math:`t`. So every row descends in
    :math:`\lVert g \rVert`, at its own pace.

    Args:
        max_steps: The largest number of trial points. Compiled, all are taken.
        tol: A row is done when :math:`\lVert g \rVert` is at most this, or this
            fraction of the first :math:`\lVert g \rVert` where that exceeds 1.

    Cost:
        A step costs one :meth:`Objective.curvature` and some products with the
        Hessian, about five on well-conditioned problems.
    """

    needs_curvature: ClassVar[bool] = True

    def __init__(self, max_steps: int = 16, tol: float = 1e-5):
        super().__init__()
        self.max_steps = max_steps
        self.tol = tol

    @torch.no_grad()
    def forward(self, objective: Objective) -> SolveResult:
        """Minimises every row by itself."""
        y, occupied = objective.start(), objective.occupied
        grad, product = objective.curvature(y)
        norm = grad.norm(dim=1)
        goal = self.tol * norm.clamp(min=1)
        active = fresh = occupied & norm.isfinite() & (norm > goal)
        direction, length = torch.zeros_like(y), torch.ones_like(norm)
        num_steps = torch.zeros_like(norm, dtype=torch.long)
        for _ in range(self.max_steps):
            if is_eager() and not active.any():
                break
            right = torch.where(fresh[:, None], grad, 0)
            newest = solve_positive(product, right, STEP_TOLERANCE)
            direction = torch.where(fresh[:, None], newest, direction)
            trial = torch.where(active[:, None], y - length[:, None] * direction, y)
            trial_grad, product = objective.curvature(trial)
            trial_norm = trial_grad.norm(dim=1)
            num_steps = num_steps + active
            fresh = active & (trial_norm < norm)
            y = torch.where(fresh[:, None], trial, y)
            grad = torch.where(fresh[:, None], trial_grad, grad)
            norm = torch.where(fresh, trial_norm, norm)
            length = torch.where(fresh, 1, length / 2)
            active = active & (norm > goal) & (length >= SHORTEST_STEP)
            fresh = fresh & active
        converged = norm <= goal
        stalled = ~converged & (length < SHORTEST_STEP)
        status = classify(occupied, norm, converged, stalled)
        return SolveResult(y, status, num_steps, norm)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"max_steps={self.max_steps}, tol={self.tol}"
