"""SWARM on graphs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import Linear
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.aggr import Aggregation
from torch_geometric.typing import Adj
from torch_geometric.utils import (
    add_self_loops,
    is_sparse,
    remove_self_loops,
    to_edge_index,
)

from ..arguments import check_positive
from ..lazy import LazyChannels
from ..swarm.cell import SwarmCell


class SwarmConv(LazyChannels, MessagePassing):
    r"""The SWARM layer where a node hears its neighbours instead of its set.

    .. math::
        p_i = \mathrm{aggr}_{j \in \mathcal{N}(i)}\, h_j

    before each of :math:`T` iterations of one
    :class:`~pyg_setops.swarm.SwarmCell` but the first, then
    :math:`y_i = W_o [h_i ; c_i] + b_o`. On the complete graph with self-loops it
    equals :class:`~pyg_setops.swarm.SwarmLayer` with the mean, and takes its
    ``state_dict``. From the `"Learning Set-equivariant Functions with SWARM Mappings"
    <https://arxiv.org/abs/1906.09400>`_ paper.

    Args:
        in_channels: The input width, or -1 to take it from the first input.
        out_channels: The output width.
        hidden_channels: The width :math:`H` of the states; ``None`` takes the
            output's.
        num_iterations: :math:`T`: how often the cell is applied. Information travels
            :math:`T - 1` edges.
        aggr: How neighbours are aggregated: a name or an aggregation that keeps the
            width.
        add_self_loops: Whether a node hears itself.
        forget_bias: What the bias of the forget gate is raised by at the start.
        dropout: The dropout probability on the states.
        **kwargs: Of :class:`~torch_geometric.nn.MessagePassing`.

    Shapes:
        - **input:** nodes :math:`(N, C_{in})`, edges :math:`(2, E)` or sparse
        - **output:** nodes :math:`(N, C_{out})`

    Cost:
        :math:`O(T (N H^2 + E H))` time, :math:`O(T N H)` memory.
    """

    width_key = "cell.lin_x.weight"
    propagate: Callable[..., Tensor]  # of PyG, which is not typed

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden_channels: int | None = None,
        num_iterations: int = 8,
        aggr: str | list[str] | Aggregation = "mean",
        add_self_loops: bool = False,
        forget_bias: float = 0.0,
        dropout: float = 0.0,
        **kwargs: object,
    ):
        super().__init__(aggr=aggr, **kwargs)
        hidden = out_channels if hidden_channels is None else hidden_channels
        check_positive(
            out_channels=out_channels,
            hidden_channels=hidden,
            num_iterations=num_iterations,
        )
        self.out_channels = out_channels
        self.hidden_channels = hidden
        self.num_iterations = num_iterations
        self.add_self_loops = add_self_loops
        self.forget_bias = forget_bias
        self.dropout = dropout
        self.lin_out = Linear(2 * hidden, out_channels)
        self.start(in_channels)

    def build(self, in_channels: int) -> None:
        """Creates the cell; see :class:`~pyg_setops.lazy.LazyChannels`."""
        self.cell = SwarmCell(
            in_channels,
            self.hidden_channels,
            forget_bias=self.forget_bias,
            dropout=self.dropout,
        )

    def reset_parameters(self) -> None:
        """Draws all weights anew."""
        super().reset_parameters()
        if self.in_channels != -1:
            self.cell.reset_parameters()
        self.lin_out.reset_parameters()

    def forward(self, x: Tensor, edge_index: Adj) -> Tensor:
        """Transforms every node, in the light of its neighbours.

        Args:
            x: Nodes ``[N, in_channels]``.
            edge_index: Edges ``[2, E]`` from source to target, or a transposed
                sparse adjacency matrix.

        Returns:
            Nodes ``[N, out_channels]``.
        """
        self.see(x)
        if self.add_self_loops:
            edge_index = _with_self_loops(edge_index, x.size(0))
        h, c = self.cell(x, self.num_iterations, self._exchange(edge_index))
        return self.lin_out(torch.cat([h, c], dim=-1))

    def _exchange(self, edge_index: Adj) -> Callable[[Tensor], Tensor]:
        return lambda h: self.cell.lin_p(self.propagate(edge_index, h=h))

    def message(self, h_j: Tensor) -> Tensor:
        """What a neighbour sends: its state."""
        return h_j

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.in_channels}, {self.out_channels}, "
            f"hidden_channels={self.hidden_channels}, "
            f"num_iterations={self.num_iterations}, aggr={self.aggr})"
        )


def _with_self_loops(edge_index: Adj, num_nodes: int) -> Tensor:
    if is_sparse(edge_index):  # PyG passes adjacency matrices transposed
        edge_index = to_edge_index(edge_index)[0].flip(0)
    edge_index, _ = remove_self_loops(edge_index)
    return add_self_loops(edge_index, num_nodes=num_nodes)[0]
