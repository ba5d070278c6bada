"""A potential of pairs as it is written for dense batches: padded and masked."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import Linear
from torch_geometric.nn import MLP


class DensePairPotential(torch.nn.Module):
    """The maths and the state of ``PairPotential`` on ``[B, L, *]`` with a mask."""

    def __init__(self, in_channels: int, hidden_channels: int):
        super().__init__()
        self.lin_square = Linear(1, hidden_channels)
        self.lin_x = Linear(in_channels, 2 * hidden_channels, bias=False)
        widths = [hidden_channels] * 2
        self.mlp = MLP([*widths, 1], act="silu", norm=None)

    def forward(self, x: Tensor, pos: Tensor, mask: Tensor) -> Tensor:
        """Energies ``[B]`` of systems whose particles ``mask`` ``[B, L]`` marks."""
        size = pos.size(1)
        square = (pos[:, :, None] - pos[:, None]).square().sum(-1, keepdim=True)
        sent, heard = self.lin_x(x).chunk(2, dim=-1)
        hidden = self.lin_square(square) + sent[:, None] + heard[:, :, None]
        energy = self.mlp(torch.nn.functional.silu(hidden).flatten(0, 2))
        energy = energy.view(-1, size, size)
        pairs = mask[:, None] & mask[:, :, None]
        pairs = pairs & ~torch.eye(size, dtype=torch.bool)
        return torch.where(pairs, energy, 0).sum((1, 2))
