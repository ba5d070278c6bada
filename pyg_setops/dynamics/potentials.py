"""Energies of systems, made of networks on sets."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.nn import Linear, Module
from torch_geometric.nn import MLP

from ..ragged import SetIndex, gather, pair_index, segment_mean, segment_sum


class CentredPotential(Module):
    r"""Any set network as a potential, invariant to translation.

    .. math::
        V(q) = \mathrm{network}\big(\{[x_i ; q_i - \bar q]\}_i\big)

    Args:
        network: Maps elements ``[N, C + d]`` and ``index`` to sets ``[B, 1]``: an
            aggregation, or a network such as those of ``pyg_setops.models``. It must
            have smooth derivatives: no ReLU.

    Shapes:
        - **input:** particles :math:`(N, C)`, positions :math:`(N, d)`
        - **output:** energies :math:`(B, 1)`

    Example:
        >>> from pyg_setops.aggr import SwarmAggregation
        >>> potential = CentredPotential(SwarmAggregation(-1, 1, hidden_channels=16))
        >>> x, pos = torch.randn(5, 2), torch.randn(5, 3)
        >>> shifted = potential(x, pos + 1.0)
        >>> torch.allclose(shifted, potential(x, pos), atol=1e-6)
        True
    """

    def __init__(self, network: Module):
        super().__init__()
        self.network = network

    def forward(
        self, x: Tensor | None, pos: Tensor, batch: Tensor | None = None
    ) -> Tensor:
        """Returns the energy of each system."""
        sets = SetIndex.build(batch, None, None, pos.size(0), pos.device)
        pos = pos - gather(segment_mean(pos, sets), sets)
        elements = pos if x is None else torch.cat([x, pos], dim=-1)
        return self.network(elements, sets.index)


class PairPotential(Module):
    r"""A sum over pairs: invariant to translation, rotation and reflection.

    .. math::
        V(q) = \sum_{i \ne j} \phi\big(x_i, x_j, |q_i - q_j|^2\big)

    The right form for springs, charges and masses; it has no interaction of three.

    Args:
        in_channels: The width of ``x``; 0 for ``None``.
        hidden_channels: The width of the network :math:`\phi`.
        num_layers: Its linear layers, at least 2.

    Shapes:
        - **input:** particles :math:`(N, C)`, positions :math:`(N, d)`
        - **output:** energies :math:`(B, 1)`

    Cost:
        :math:`O(N H^2 + P H^2)` for :math:`P` ordered pairs.

    Example:
        >>> PairPotential(2)(torch.randn(5, 2), torch.randn(5, 3)).shape
        torch.Size([1, 1])
    """

    def __init__(
        self, in_channels: int, hidden_channels: int = 64, num_layers: int = 3
    ):
        super().__init__()
        if in_channels < 0 or hidden_channels < 1 or num_layers < 2:
            raise ValueError(
                "'in_channels' must not be negative, 'hidden_channels' be at least 1 "
                f"and 'num_layers' at least 2, got {in_channels}, {hidden_channels} "
                f"and {num_layers}"
            )
        self.in_channels = in_channels
        self.lin_square = Linear(1, hidden_channels)
        # The first layer is linear: its share of each particle is taken once.
        self.lin_x = (
            Linear(in_channels, 2 * hidden_channels, bias=False)
            if in_channels
            else None
        )
        widths = [hidden_channels] * (num_layers - 1)
        self.mlp = MLP([*widths, 1], act="silu", norm=None)

    def forward(
        self, x: Tensor | None, pos: Tensor, batch: Tensor | None = None
    ) -> Tensor:
        """Returns the energy of each system."""
        if (0 if x is None else x.size(-1)) != self.in_channels:
            raise ValueError(
                f"'x' must have {self.in_channels} channels, got "
                f"{None if x is None else list(x.shape)}"
            )
        sets = SetIndex.build(batch, None, None, pos.size(0), pos.device)
        source, target = pair_index(sets, loops=False)
        square = (pos[source] - pos[target]).square().sum(-1, keepdim=True)
        hidden = self.lin_square(square)
        if self.lin_x is not None:
            sent, heard = self.lin_x(cast(Tensor, x)).chunk(2, dim=-1)
            hidden = hidden + sent[source] + heard[target]
        energy = self.mlp(torch.nn.functional.silu(hidden))
        pairs = SetIndex.build(sets.index[target], dim_size=sets.num_sets)
        return segment_sum(energy, pairs)
