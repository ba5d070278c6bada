"""What an edge knows of its direction and length, smooth everywhere."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.nn.models.schnet import GaussianSmearing

from .e3nn import eager_code, import_o3

# In units of the cutoff: within this length, a direction fades to nothing.
SOFTENING = 0.01


class EdgeGeometry(torch.nn.Module):
    r"""Harmonics, radial functions and the envelope of edge vectors :math:`r`.

    A direction :math:`r / |r|` has no derivative where two points coincide, so it is
    softened: with the cutoff :math:`c` and :math:`d = \sqrt{|r|^2 / c^2 + \epsilon^2}`,
    harmonics are polynomials :math:`Y_l(r / (c d))`, radial functions are Gaussians of
    :math:`d`, and the envelope is 1 at 0 and falls to 0 at the cutoff, with two
    derivatives. All are smooth functions of :math:`r`, coincident points included.

    Args:
        cutoff: :math:`c`, in the unit of positions.
        max_degree: The largest degree :math:`l` of the harmonics.
        num_radial: The number of Gaussians.

    Shapes:
        - **input:** vectors :math:`(E, 3)`
        - **output:** harmonics :math:`(E, (l + 1)^2)`, Gaussians :math:`(E, K)`, the
          envelope :math:`(E, 1)`
    """

    def __init__(self, cutoff: float, max_degree: int, num_radial: int):
        super().__init__()
        o3 = import_o3(type(self).__name__)
        self.cutoff = cutoff
        degrees = list(range(max_degree + 1))
        with eager_code():
            self.harmonics = o3.SphericalHarmonics(
                degrees, normalize=False, normalization="component"
            )
        self.gaussians = GaussianSmearing(0.0, 1.0, num_radial)

    def forward(self, vector: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Maps edge vectors to harmonics, Gaussians and the envelope."""
        vector = vector / self.cutoff
        square = vector.square().sum(dim=-1, keepdim=True)
        distance = (square + SOFTENING**2).sqrt()
        harmonics = self.harmonics(vector / distance)
        return harmonics, self.gaussians(distance.squeeze(-1)), _envelope(square)


def _envelope(square: Tensor) -> Tensor:
    """The quintic step of the squared length, from 1 at 0 to 0 at 1 and beyond."""
    s = square.clamp(max=1.0)
    return (1 - s) ** 3 * (1 + 3 * s + 6 * s.square())
