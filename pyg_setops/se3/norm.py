"""Normalisation that rotation does not see."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .e3nn import import_o3


class IrrepsNorm(torch.nn.Module):
    r"""Divides each kind of irrep of a node by its root mean square, then scales.

    .. math::
        y_{u m} = g_u \, x_{u m} \Big/ \sqrt{\mathrm{mean}_{v n}\, x_{v n}^2 + 10^{-5}}

    over the channels and components of one irrep of one node, with learned
    :math:`g`. e3nn's own normalisation is over the batch, on which a node would
    depend.

    Args:
        irreps: The irreps of the features.

    Shapes:
        - **input:** :math:`(N, \mathrm{dim})`
        - **output:** :math:`(N, \mathrm{dim})`

    Example:
        >>> IrrepsNorm("4x0e + 2x1o")(torch.randn(5, 10)).shape
        torch.Size([5, 10])
    """

    def __init__(self, irreps: Any):
        super().__init__()
        self.irreps = import_o3(type(self).__name__).Irreps(irreps)
        self._shapes = [(mul, irrep.dim) for mul, irrep in self.irreps]
        self.gain = torch.nn.Parameter(torch.ones(self.irreps.num_irreps))

    def reset_parameters(self) -> None:
        """Sets the gains to 1."""
        torch.nn.init.ones_(self.gain)

    def forward(self, x: Tensor) -> Tensor:
        """Normalises nodes ``[N, dim]``."""
        gains = self.gain.split([mul for mul, _ in self._shapes])
        parts = x.split([mul * dim for mul, dim in self._shapes], dim=-1)
        outs = []
        for part, gain, shape in zip(parts, gains, self._shapes, strict=True):
            size = (part.square().mean(dim=-1, keepdim=True) + 1e-5).sqrt()
            outs.append(
                ((part / size).unflatten(-1, shape) * gain[:, None]).flatten(-2)
            )
        return torch.cat(outs, dim=-1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.irreps})"
