"""What every solver offers."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from .objective import Objective
from .result import SolveResult, Status


class Solver(torch.nn.Module):
    """Finds a minimum for each row of an objective.

    Attributes:
        is_unrollable: Whether the steps themselves can be differentiated.
        needs_curvature: Whether it serves only objectives that have curvature.
    """

    is_unrollable: ClassVar[bool] = False
    needs_curvature: ClassVar[bool] = False

    def forward(self, objective: Objective) -> SolveResult:
        """Minimises every row by itself."""
        raise NotImplementedError

    def reset_parameters(self) -> None:
        """Restores what the solver learned, if it learns."""


def classify(
    occupied: Tensor,
    residual: Tensor,
    converged: Tensor,
    stalled: Tensor | None = None,
) -> Tensor:
    """The :class:`Status` of each row, of what is known about its end."""
    status = torch.full_like(residual, Status.MAX_STEPS, dtype=torch.long)
    status = status.masked_fill(converged, int(Status.CONVERGED))
    if stalled is not None:
        status = status.masked_fill(stalled, int(Status.STALLED))
    status = status.masked_fill(~residual.isfinite(), int(Status.NONFINITE))
    return status.masked_fill(~occupied, int(Status.EMPTY))
