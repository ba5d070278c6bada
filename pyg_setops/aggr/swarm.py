"""SWARM as an aggregation."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch_geometric.nn.aggr import Aggregation
from torch_geometric.nn.inits import reset

from ..ragged import SetIndex
from ..swarm.layer import SwarmLayer
from ..swarm.pooling import MapsPooling, Pooling, resolve_pooling
from .base import SetAggregation


class SwarmAggregation(SetAggregation):
    r"""Elements that exchange their states, and are then read out.

    The :class:`~pyg_setops.swarm.SwarmLayer` of the `"Learning Set-equivariant
    Functions with SWARM Mappings" <https://arxiv.org/abs/1906.09400>`_ paper,
    followed by

    .. math::
        y = W_o \, \mathrm{readout}_i\, [h_i ; c_i] + b_o .

    With the mean this equals the mean of the layer's outputs, at the cost of one
    product per set instead of one per element.

    Args:
        in_channels: The input width, or -1 to take it from the first input.
        out_channels: The output width; ``None`` keeps the input's.
        hidden_channels: The width of the states; ``None`` takes the output's.
        num_iterations: How often the cell is applied.
        pool: What elements hear of each other in between; see
            :class:`~pyg_setops.swarm.SwarmLayer`. A causal pool makes the result
            depend on the order.
        readout: ``'mean'``, ``'sum'``, ``'max'`` or any aggregation that keeps the
            width.
        forget_bias: What the bias of the forget gate is raised by at the start.
        dropout: The dropout probability on the states.
        mode: ``'keep'``, ``'recompute'`` or ``'plain'``; see
            :class:`~pyg_setops.swarm.SwarmLayer`.

    Shapes:
        - **input:** elements :math:`(*, N, C_{in})`, in any order
        - **output:** sets :math:`(*, B, C_{out})`, zeros for empty sets

    Cost:
        :math:`O(T N H^2)` time. With ``mode='recompute'``, :math:`O(N H)` memory,
        whatever the number of iterations :math:`T`.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import SAGEConv
        >>> conv = SAGEConv(8, 16, aggr=SwarmAggregation())
        >>> edge_index = torch.tensor([[0, 1, 2], [1, 2, 1]])
        >>> conv(torch.randn(3, 8), edge_index).shape
        torch.Size([3, 16])
    """

    width_key = "layer.cell.lin_x.weight"

    def __init__(
        self,
        in_channels: int = -1,
        out_channels: int | None = None,
        hidden_channels: int | None = None,
        num_iterations: int = 8,
        pool: str | Pooling | Aggregation | None = "mean",
        readout: Literal["mean", "sum", "max"] | Aggregation = "mean",
        forget_bias: float = 0.0,
        dropout: float = 0.0,
        mode: Literal["keep", "recompute", "plain"] = "keep",
    ):
        super().__init__(in_channels, out_channels)
        if isinstance(readout, str) and readout not in ("mean", "sum", "max"):
            raise ValueError(
                f"'readout' must be 'mean', 'sum', 'max' or a PyG Aggregation, got "
                f"{readout!r}"
            )
        self.hidden_channels = hidden_channels
        self.num_iterations = num_iterations
        self.pool = None if pool is None else resolve_pooling(pool)
        self.forget_bias = forget_bias
        self.dropout = dropout
        self.mode = mode
        self.readout = resolve_pooling(readout)
        if isinstance(self.pool, MapsPooling):
            self.any_channels = 2 * self.pool.num_slices + 1  # the least it takes
        self.start(in_channels)

    def create(self, in_channels: int, out_channels: int) -> None:
        """Creates the layer."""
        self.layer = SwarmLayer(
            in_channels,
            out_channels,
            out_channels if self.hidden_channels is None else self.hidden_channels,
            self.num_iterations,
            pool=self.pool,
            forget_bias=self.forget_bias,
            dropout=self.dropout,
            mode=self.mode,
        )

    def reset_parameters(self) -> None:
        """Draws all weights anew."""
        if self.in_channels == -1:
            reset(self.pool)
        else:
            self.layer.reset_parameters()
        reset(self.readout)

    def aggregate(self, x: Tensor, sets: SetIndex) -> Tensor:
        """Maps elements ``[N, in_channels]`` to sets ``[B, out_channels]``."""
        states = torch.cat(self.layer.states(x, sets), dim=-1)
        return self.layer.lin_out(self.readout(states, sets))
