"""Limited-memory BFGS on a batch."""

from __future__ import annotations

import torch
from torch import Tensor

from .loop import State, repeat
from .objective import Objective
from .result import SolveResult
from .solver import Solver, classify

SUFFICIENT_DECREASE = 1e-4
SHORTEST_STEP = 2.0**-30


class LBFGS(Solver):
    r"""Quasi-Newton steps from the last gradients, for any smooth objective.

    Each step evaluates value and gradient once, at a trial point. A row whose value
    has decreased enough moves there; any other stays and halves its step. A row
    makes use of a pair :math:`(s, g' - g)` only where its curvature is positive, and
    begins again along the gradient where its direction would not descend.

    Args:
        max_steps: The largest number of trial points.
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
        objective = objective.detach()
        y, occupied = objective.start(), objective.occupied
        value, grad = objective.value(y), objective.grad(y)
        norm = grad.norm(dim=1)
        sound = occupied & norm.isfinite()
        # Nothing is known of the curvature yet: no further than 1.
        direction = -grad / norm.clamp(min=1)[:, None]
        # Tensors, since compiled loops cannot take numbers from outside.
        goal = torch.full_like(norm, self.tol)
        shortest = torch.full_like(norm, SHORTEST_STEP)

        def step(
            y: Tensor,
            value: Tensor,
            grad: Tensor,
            direction: Tensor,
            length: Tensor,
            pairs: Tensor,
            taken: Tensor,
        ) -> tuple[Tensor, ...]:
            active = is_active(y, value, grad, direction, length, pairs, taken)
            trial = torch.where(active[:, None], y + length[:, None] * direction, y)
            trial_value, trial_grad = objective.value(trial), objective.grad(trial)
            moved = active & _decreased(
                trial_value, value, length * (grad * direction).sum(1)
            )
            moved = moved & trial_grad.isfinite().all(1)
            pair = torch.stack([trial - y, trial_grad - grad])
            pair = torch.where(moved[:, None], pair, 0)
            pairs = torch.cat([pairs[1:], pair[None]])
            grad = torch.where(moved[:, None], trial_grad, grad)
            return (
                torch.where(moved[:, None], trial, y),
                torch.where(moved, trial_value, value),
                grad,
                torch.where(moved[:, None], _direction(grad, pairs), direction),
                torch.where(moved, 1, torch.where(active, length / 2, length)),
                pairs,
                taken + active,
            )

        def is_active(
            y: Tensor,
            value: Tensor,
            grad: Tensor,
            direction: Tensor,
            length: Tensor,
            pairs: Tensor,
            taken: Tensor,
        ) -> Tensor:
            return sound & (grad.norm(dim=1) > goal) & (length >= shortest)

        length, taken = torch.ones_like(norm), torch.zeros_like(norm, dtype=torch.long)
        pairs = y.new_zeros(self.memory, 2, *y.shape)
        state: State = (y, value, grad, direction, length, pairs, taken)
        state = repeat(step, state, is_active, self.max_steps)
        y, _, grad, _, length, _, taken = state
        norm = grad.norm(dim=1)
        status = classify(occupied, norm, norm <= goal, length < shortest)
        return SolveResult(y, status, taken, norm)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"max_steps={self.max_steps}, memory={self.memory}, tol={self.tol}"


def _decreased(value: Tensor, before: Tensor, slope: Tensor) -> Tensor:
    """Whether a value is low enough, give or take the rounding of its sum."""
    slack = 10 * torch.finfo(value.dtype).eps * before.abs()
    return value <= before + SUFFICIENT_DECREASE * slope + slack


def _direction(grad: Tensor, pairs: Tensor) -> Tensor:
    """The two-loop recursion for each row, of pairs ``[memory, 2, B, Y]``.

    A pair without positive curvature counts as none.
    """
    steps, changes = pairs.unbind(1)
    curvature = (steps * changes).sum(-1, keepdim=True)
    square = (changes * changes).sum(-1, keepdim=True)
    told = curvature > torch.finfo(grad.dtype).eps * square
    rho = torch.where(told, 1 / torch.where(told, curvature, 1), 0)
    q, weights = grad, []
    for number in reversed(range(len(pairs))):
        weight = rho[number] * (steps[number] * q).sum(1, keepdim=True)
        weights.append(weight)
        q = q - weight * changes[number]
    scale = torch.ones_like(grad[:, :1])
    for number in range(len(pairs)):  # the last that tells something decides
        ratio = curvature[number] / torch.where(told[number], square[number], 1)
        scale = torch.where(told[number], ratio, scale)
    q = scale * q
    for number, weight in enumerate(reversed(weights)):
        change = rho[number] * (changes[number] * q).sum(1, keepdim=True)
        q = q + (weight - change) * steps[number]
    descends = (q * grad).sum(1, keepdim=True) > 0
    return torch.where(descends, -q, -grad)
