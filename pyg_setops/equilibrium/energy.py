"""What every energy offers."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ..ragged import SetIndex
from ..solvers import Objective


class Energy(torch.nn.Module):
    r"""An energy :math:`E_b(y_b)` of each set, with learned parameters.

    Args:
        in_channels: The width of the elements.
        out_channels: The width of ``y``.

    Attributes:
        has_curvature: Whether the objectives have :meth:`Objective.curvature`.
    """

    has_curvature: ClassVar[bool] = False

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels

    def bind(self, x: Tensor, sets: SetIndex) -> Objective:
        """Fixes the elements ``[N, in_channels]``, leaving a function of ``y``.

        Whatever depends on ``x`` alone is computed here, once.
        """
        raise NotImplementedError

    def reset_parameters(self) -> None:
        """Draws all weights anew."""
        raise NotImplementedError
