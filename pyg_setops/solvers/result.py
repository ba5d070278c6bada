"""What a solver returns."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from torch import Tensor


class Status(IntEnum):
    """How the solution of one row ended."""

    CONVERGED = 0
    MAX_STEPS = 1
    STALLED = 2
    INDEFINITE = 3
    NONFINITE = 4
    EMPTY = 5


@dataclass(frozen=True)
class SolveResult:
    """The minimisers, and how each was reached.

    Attributes:
        y: The minimisers, ``[B, Y]``.
        status: A :class:`Status` for each row, ``[B]``.
        num_steps: The steps that each row took, ``[B]``.
        residual: The norm of each row's gradient where it was last evaluated, at ``y``
            or a step before, ``[B]``, detached.
    """

    y: Tensor
    status: Tensor
    num_steps: Tensor
    residual: Tensor

    @property
    def failed(self) -> Tensor:
        """Which rows have something to minimise, and have not reached it, ``[B]``."""
        return (self.status > int(Status.CONVERGED)) & (
            self.status < int(Status.NONFINITE)
        )
