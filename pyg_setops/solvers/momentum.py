"""Gradient descent with momentum, of learned rates."""

from __future__ import annotations

from math import exp, expm1, log, log1p
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.nn.functional import softplus

from .objective import Objective
from .result import SolveResult
from .solver import Solver, classify

# softplus(0.1) and sigmoid(0.9): where PyG's optimiser begins.
LEARNING_RATE = log1p(exp(0.1))
MOMENTUM = 1 / (1 + exp(-0.9))


class Momentum(Solver):
    r"""The heavy ball: :math:`v \leftarrow \mu v - \eta g`, :math:`y \leftarrow y + v`.

    Every row takes the same number of steps, and :math:`\eta` and :math:`\mu` are
    learned. The gradient is not evaluated again after the last step: status and
    residual are those of the step before.

    Args:
        steps: The number of steps.
        learning_rate: The first :math:`\eta`.
        momentum: The first :math:`\mu`, in (0, 1).
        tol: A row has converged when :math:`\lVert g \rVert` is at most this.

    Cost:
        A gradient for each step.
    """

    is_unrollable: ClassVar[bool] = True

    def __init__(
        self,
        steps: int = 5,
        learning_rate: float = LEARNING_RATE,
        momentum: float = MOMENTUM,
        tol: float = 1e-5,
    ):
        super().__init__()
        if steps < 1:
            raise ValueError(f"'steps' must be at least 1, got {steps}")
        if not (learning_rate > 0 and 0 < momentum < 1):
            raise ValueError(
                f"'learning_rate' must be positive and 'momentum' in (0, 1), got "
                f"{learning_rate} and {momentum}"
            )
        self.steps = steps
        self.tol = tol
        # What softplus and sigmoid map to the rates.
        self._initial = log(expm1(learning_rate)), -log(1 / momentum - 1)
        self._lr = Parameter(torch.empty(1))
        self._mom = Parameter(torch.empty(1))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Restores the first rates."""
        with torch.no_grad():
            self._lr.fill_(self._initial[0])
            self._mom.fill_(self._initial[1])

    def rates(self, y: Tensor) -> tuple[Tensor, Tensor]:
        r""":math:`\eta` and :math:`\mu`, in the type of ``y``."""
        return softplus(self._lr.to(y.dtype)), torch.sigmoid(self._mom.to(y.dtype))

    def forward(self, objective: Objective) -> SolveResult:
        """Takes the steps."""
        y = objective.start()
        learning_rate, momentum = self.rates(y)
        velocity = torch.zeros_like(y)
        for _ in range(self.steps):
            grad = objective.grad(y)
            velocity = momentum * velocity - learning_rate * grad
            y = y + velocity
        occupied, residual = objective.occupied, grad.detach().norm(dim=1)
        y = torch.where(occupied[:, None], y, 0)
        status = classify(occupied, residual, residual <= self.tol)
        return SolveResult(y, status, occupied.long() * self.steps, residual)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"steps={self.steps}"
