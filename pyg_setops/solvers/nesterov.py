"""Nesterov's accelerated gradient, as in the paper."""

from __future__ import annotations

import torch

from .momentum import Momentum
from .objective import Objective
from .result import SolveResult
from .solver import classify


class Nesterov(Momentum):
    r"""Momentum that looks ahead, and rows that stop by themselves.

    .. math::
        g = \nabla E(y + \mu v), \qquad v \leftarrow \mu v - \eta g, \qquad
        y \leftarrow y + [\max_c |g_c| \ge \mathrm{tol}]\, v,

    the bracket for each row; from the `"Equilibrium Aggregation: Encoding Sets via
    Optimization" <https://arxiv.org/abs/2202.12795>`_ paper. The velocity goes on while
    a row rests, as it does there.

    Args:
        steps: The number of steps.
        learning_rate: The first :math:`\eta`.
        momentum: The first :math:`\mu`, in (0, 1).
        tol: The tolerance.

    Cost:
        A gradient for each step.
    """

    def __init__(
        self,
        steps: int = 10,
        learning_rate: float = 0.125,
        momentum: float = 0.9,
        tol: float = 1e-3,
    ):
        super().__init__(steps, learning_rate, momentum, tol)

    def forward(self, objective: Objective) -> SolveResult:
        """Takes the steps."""
        y, occupied = objective.start(), objective.occupied
        learning_rate, momentum = self.rates(y)
        velocity = torch.zeros_like(y)
        num_steps = torch.zeros_like(occupied, dtype=torch.long)
        for _ in range(self.steps):
            grad = objective.grad(y + momentum * velocity)
            velocity = momentum * velocity - learning_rate * grad
            largest = grad.detach().abs().amax(1)
            moving = occupied & (largest >= self.tol)
            y = torch.where(moving[:, None], y + velocity, y)
            num_steps = num_steps + moving
        status = classify(occupied, largest, ~moving)
        return SolveResult(y, status, num_steps, grad.detach().norm(dim=1))
