"""Limited-memory BFGS on a batch."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..ragged.eager import is_eager
from .objective import Objective
from .result import SolveResult
from .solver import Solver, classify

SUFFICIENT_DECREASE = 1e-4
SHORTEST_STEP = 2.0**-20


class LBFGS(Solver):
    r"""Quasi-Newton steps from the last gradients, for any smooth objective.

    Each step evaluates value and gradient once, at a trial point. A row whose value
    has decreased enough moves there; any other stays and halves its step. A row
    remembers a pair :math:`(s, g' - g)` only where its curvature is positive, and
    begins again along the gradient where its direction would not descend.

    Args:
        max_steps: The largest number of trial points. Compiled, all are taken.
        memory: The pairs that are remembered.
        tol: A row is done when :math:`\lVert g \rVert` is at most this.

    Cost:
        A step costs one value, one gradient and :math:`O(\mathrm{memory} \cdot B Y)`.
    """

    def __init__(self, max_steps: int = 50, memory: int = 8, tol: float = 1e-5):
        super().__init__()
        if memory < 1:
            raise ValueError(f"'memory' must be at least 1, got {memory}")
        self.max_steps = max_steps
        self.memory = memory
        self.tol = tol

    @torch.no_grad()
    def forward(self, objective: Objective) -> SolveResult:
        """Minimises every row by itself."""
        y, occupied = objective.start(), objective.occupied
        value, grad = objective.value(y), objective.grad(y)
        norm = grad.norm(dim=1)
        active = occupied & norm.isfinite() & (norm > self.tol)
        history = _History(self.memory)
        direction, length = -grad, _first_length(norm)
        num_steps = torch.zeros_like(norm, dtype=torch.long)
        for _ in range(self.max_steps):
            if is_eager() and not active.any():
                break
            trial = torch.where(active[:, None], y + length[:, None] * direction, y)
            trial_value, trial_grad = objective.value(trial), objective.grad(trial)
            num_steps = num_steps + active
            slope = (grad * direction).sum(1)
            # Rounding alone must not refuse the last steps.
            slack = 10 * torch.finfo(y.dtype).eps * value.abs()
            bound = value + SUFFICIENT_DECREASE * length * slope + slack
            better = active & (trial_value <= bound) & trial_grad.isfinite().all(1)
            moved = better[:, None]
            history.append(
                torch.where(moved, trial - y, 0),
                torch.where(moved, trial_grad - grad, 0),
            )
            y = torch.where(moved, trial, y)
            grad = torch.where(moved, trial_grad, grad)
            value = torch.where(better, trial_value, value)
            norm = grad.norm(dim=1)
            newest = history.direction(grad)
            descends = ((newest * grad).sum(1) < 0)[:, None]
            newest = torch.where(descends, newest, -grad)
            direction = torch.where(moved, newest, direction)
            length = torch.where(better, 1, length / 2)
            active = active & (norm > self.tol) & (length >= SHORTEST_STEP)
        converged = norm <= self.tol
        stalled = ~converged & (length < SHORTEST_STEP)
        status = classify(occupied, norm, converged, stalled)
        return SolveResult(y, status, num_steps, norm)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"max_steps={self.max_steps}, memory={self.memory}, tol={self.tol}"


@dataclass
class _History:
    """The last pairs of each row; one that tells nothing counts as none."""

    size: int
    steps: list[Tensor] = field(default_factory=list)
    changes: list[Tensor] = field(default_factory=list)

    def append(self, step: Tensor, change: Tensor) -> None:
        self.steps = [*self.steps, step][-self.size :]
        self.changes = [*self.changes, change][-self.size :]

    def direction(self, grad: Tensor) -> Tensor:
        """The two-loop recursion for each row: minus the gradient, preconditioned."""
        pairs = [
            (step, change, *_inverse_curvature(step, change))
            for step, change in zip(self.steps, self.changes, strict=True)
        ]
        q, scale = grad, torch.ones_like(grad[:, :1])
        weights = []
        for step, change, rho, _ in reversed(pairs):
            weight = rho * (step * q).sum(1, keepdim=True)
            weights.append(weight)
            q = q - weight * change
        for _, change, rho, told in pairs:  # the last that tells something decides
            square = (change * change).sum(1, keepdim=True)
            newest = 1 / torch.where(told, rho * square, 1)
            scale = torch.where(told, newest, scale)
        q = scale * q
        for (step, change, rho, _), weight in zip(
            pairs, reversed(weights), strict=True
        ):
            q = q + (weight - rho * (change * q).sum(1, keepdim=True)) * step
        return -q


def _inverse_curvature(step: Tensor, change: Tensor) -> tuple[Tensor, Tensor]:
    """1 / (step . change) where that is safely positive, else 0; and where."""
    curvature = (step * change).sum(1, keepdim=True)
    eps = torch.finfo(step.dtype).eps
    told = curvature > eps * (change * change).sum(1, keepdim=True)
    return torch.where(told, 1 / torch.where(told, curvature, 1), 0), told


def _first_length(norm: Tensor) -> Tensor:
    """A first step no longer than 1: nothing is known of the curvature yet."""
    return 1 / norm.clamp(min=1)
