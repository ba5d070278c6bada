"""An E(n)-equivariant network of messages, as a baseline."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import Linear, Module, ModuleList
from torch_geometric.nn import MLP
from torch_geometric.nn.aggr import Aggregation, SumAggregation

from pyg_setops.ragged import SetIndex, pair_index, segment_mean


class _Layer(Module):
    """One round of messages between all pairs."""

    def __init__(self, channels: int, edge_channels: int, aggr: Aggregation):
        super().__init__()
        self.lin_nodes = Linear(channels, 2 * channels, bias=False)
        self.lin_edges = Linear(1 + edge_channels, channels)
        self.message = MLP(
            [channels, channels], act="silu", norm=None, plain_last=False
        )
        self.towards = MLP([channels, channels, 1], act="silu", norm=None)
        self.onwards = MLP([channels, channels, 1], act="silu", norm=None)
        self.update = MLP([2 * channels, channels, channels], act="silu", norm=None)
        self.aggr = aggr
        # Positions hardly move at first.
        for mlp in (self.towards, self.onwards):
            mlp.lins[-1].weight.data.mul_(1e-3)
            mlp.lins[-1].bias.data.zero_()

    def forward(
        self,
        h: Tensor,
        pos: Tensor,
        vel: Tensor | None,
        pairs: tuple[Tensor, Tensor],
        edges: Tensor,
    ) -> tuple[Tensor, Tensor]:
        source, target = pairs
        away = pos[target] - pos[source]
        square = away.square().sum(-1, keepdim=True)
        sent, heard = self.lin_nodes(h).chunk(2, dim=-1)
        mixed = self.lin_edges(torch.cat([square, edges], dim=-1))
        mixed = mixed + sent[source] + heard[target]
        message = self.message(torch.nn.functional.silu(mixed))
        partners = SetIndex.build(target, dim_size=len(h))
        pos = pos + segment_mean(away * self.towards(message), partners)
        if vel is not None:
            pos = pos + self.onwards(h) * vel
        total = self.aggr(message, target, dim_size=len(h))
        return h + self.update(torch.cat([h, total], dim=-1)), pos


class EquivariantNetwork(Module):
    r"""Particles that push each other along the lines between them.

    .. math::
        m_{ij} = \phi_e(h_i, h_j, |x_i - x_j|^2, e_{ij}), \quad
        x_i \leftarrow x_i + \tfrac{1}{n - 1} \sum_j (x_i - x_j)\, \phi_x(m_{ij})
        + \phi_v(h_i)\, v_i, \quad
        h_i \leftarrow h_i + \phi_h(h_i, \mathrm{aggr}_j\, m_{ij})

    In the style of the `"EGNN" <https://arxiv.org/abs/2102.09844>`_ paper, with its
    sum or any other aggregation of the messages.

    Args:
        in_channels: Invariant features of a particle.
        edge_channels: Invariant features of a pair.
        channels: The width.
        num_layers: The number of rounds.
        make_aggr: Makes the aggregation of a round (default: the sum).
    """

    def __init__(
        self,
        in_channels: int,
        edge_channels: int = 0,
        channels: int = 64,
        num_layers: int = 4,
        make_aggr: Callable[[], Aggregation] = SumAggregation,
    ):
        super().__init__()
        self.lin_in = Linear(in_channels, channels)
        self.layers = ModuleList(
            _Layer(channels, edge_channels, make_aggr()) for _ in range(num_layers)
        )

    def forward(
        self,
        x: Tensor,
        pos: Tensor,
        vel: Tensor | None = None,
        batch: Tensor | None = None,
        pair_features: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Maps features and positions to features ``[N, C]`` and positions.

        ``pair_features`` maps sources and targets to features of pairs.
        """
        sets = SetIndex.build(batch, None, None, len(pos), pos.device)
        source, target = pairs = pair_index(sets, loops=False)
        if pair_features is None:
            edges = pos.new_zeros(len(source), 0)
        else:
            edges = pair_features(source, target)
        h = self.lin_in(x)
        for layer in self.layers:
            h, pos = layer(h, pos, vel, pairs, edges)
        return h, pos
