"""Slot Attention as a pooling of graphs."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.nn.pool.select import SelectOutput

from ..ragged import GraphIndex, SetIndex
from ..ragged.precision import accumulator
from ..slots import SlotAttention
from ..slots.coarsen import (
    CoarseningLosses,
    coarse_adjacency,
    coarsening_losses,
    normalised,
)
from ..slots.weights import Assignment, Gradient, HeadMode, Init


class PooledGraph(NamedTuple):
    """A batch of graphs whose nodes are slots, in the order of PyG's poolings.

    Attributes:
        x: The slots, ``[B K, D]``.
        edge_index: All pairs of slots of each graph, ``[2, B K K]``.
        edge_attr: The weight of each pair, ``[E']`` or ``[E', F]``.
        batch: The graph of each slot, ``[B K]``.
        shares: How each node was shared among its graph's slots, ``[N, K]``.
    """

    x: Tensor
    edge_index: Tensor
    edge_attr: Tensor
    batch: Tensor
    shares: Tensor


class SlotPooling(Module):
    r"""Pools each graph to :math:`K` nodes: slots that compete for its nodes.

    The slots of a :class:`~pyg_setops.SlotAttention` are the new nodes, and with the
    shares :math:`S` of its last iteration

    .. math::
        X' = \mathrm{slots}(X), \qquad A' = S^\top A S .

    Unlike in DiffPool or MinCUT pooling no graph is padded, and shares come from a
    competition over iterations.

    Args:
        in_channels: The width of the nodes, or -1 to take it from the first input.
        slot_channels: The width of the new nodes.
        num_slots: :math:`K`.
        num_iterations: The number of iterations.
        hidden_channels: The width of the slots' MLP.
        heads: The number of heads.
        head_mode: As are the following, see :class:`~pyg_setops.SlotAttention`.
        init: ``'learned'`` (here the default) or ``'gaussian'``.
        attn: ``'softmax'``, ``'sinkhorn'`` or ``'mesh'``.
        grad: ``'unrolled'``, ``'implicit'`` or ``'bilevel'``.
        loops: Whether a slot has an edge to itself, which holds the edges inside it.
        normalise: Whether weights are divided by the roots of both slots' degrees.

    Shapes:
        - **input:** nodes :math:`(N, C_{in})`, edges :math:`(2, E)`, their weights
          :math:`(E)` or features :math:`(E, F)`, graphs :math:`(N)`
        - **output:** a :class:`~pyg_setops.pool.PooledGraph`

    Cost:
        That of the slots and :math:`O(E K + N K^2)` for each channel of edges.

    Example:
        >>> import torch
        >>> pool = SlotPooling(in_channels=8, slot_channels=16, num_slots=2)
        >>> edge_index = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> graph = pool(torch.randn(3, 8), edge_index)
        >>> graph.x.shape, graph.edge_index.tolist()
        (torch.Size([2, 16]), [[0, 0, 1, 1], [0, 1, 0, 1]])
        >>> round(graph.edge_attr.sum().item(), 4)
        4.0
    """

    def __init__(
        self,
        in_channels: int,
        slot_channels: int,
        num_slots: int,
        num_iterations: int = 3,
        hidden_channels: int = 128,
        heads: int = 1,
        head_mode: HeadMode = "per_head",
        init: Init = "learned",
        attn: Assignment = "softmax",
        grad: Gradient = "unrolled",
        loops: bool = True,
        normalise: bool = False,
    ):
        super().__init__()
        self.layer = SlotAttention(
            in_channels,
            slot_channels,
            num_slots,
            num_iterations,
            hidden_channels,
            heads,
            head_mode,
            init,
            attn,
            grad,
        )
        self.loops = loops
        self.normalise = normalise

    def reset_parameters(self) -> None:
        """Draws all weights anew."""
        self.layer.reset_parameters()

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_attr: Tensor | None = None,
        batch: Tensor | None = None,
        *,
        batch_size: int | None = None,
    ) -> PooledGraph:
        """Pools each graph.

        Args:
            x: Nodes ``[N, in_channels]``.
            edge_index: Edges inside graphs, ``[2, E]``.
            edge_attr: Weights ``[E]`` or features ``[E, F]``; 1 by default.
            batch: The graph of each node, in any order; one graph by default.
            batch_size: The number of graphs.

        Raises:
            TypeError: If ``edge_index`` or ``batch`` does not hold integers.
            ValueError: If an edge joins two graphs or names no node, or shapes do not
                fit.
        """
        sets = GraphIndex.build(edge_index, batch, x.size(0), batch_size).nodes
        weight = _channels(edge_index, edge_attr, x)
        slots, shares = self.layer(
            x, batch, dim_size=sets.num_sets, return_attention=True
        )
        coarse = coarse_adjacency(shares, edge_index, weight, sets)
        if self.normalise:
            coarse = normalised(coarse)
        if edge_attr is None or edge_attr.dim() == 1:
            coarse = coarse.squeeze(3)
        pairs, graphs = _pairs(sets.num_sets, self.layer.num_slots, x.device)
        attr = coarse.flatten(0, 2)
        if not self.loops:
            apart = pairs[0] != pairs[1]
            pairs, attr = pairs[:, apart], attr[apart]
        return PooledGraph(slots.flatten(0, 1), pairs, attr, graphs, shares)

    def select_output(self, graph: PooledGraph, batch: Tensor | None) -> SelectOutput:
        """The shares as PyG's own connections and un-poolings take them.

        Args:
            graph: What :meth:`forward` returned.
            batch: What it was given.
        """
        num_nodes, num_slots = graph.shares.shape
        node = torch.arange(num_nodes, device=graph.shares.device)
        first = torch.zeros_like(node) if batch is None else batch * num_slots
        slot = torch.arange(num_slots, device=node.device)
        return SelectOutput(
            node_index=node.repeat_interleave(num_slots),
            num_nodes=num_nodes,
            cluster_index=(first[:, None] + slot).flatten(),
            num_clusters=graph.x.size(0),
            weight=graph.shares.flatten(),
        )

    def losses(
        self,
        graph: PooledGraph,
        edge_index: Tensor,
        edge_weight: Tensor | None = None,
        batch: Tensor | None = None,
    ) -> CoarseningLosses:
        """Auxiliary losses of each graph: links, entropy, cut and balance.

        In float32 or wider, also of half-precision shares.

        Args:
            graph: What :meth:`forward` returned.
            edge_index: What it was given, without repeated edges.
            edge_weight: Weights ``[E]``; 1 by default.
            batch: What it was given.

        Raises:
            ValueError: If ``edge_weight`` is not one number for each edge.

        Cost:
            :math:`O(E K + N K^2)`; no matrix of node pairs is made.
        """
        num_edges = edge_index.size(1)
        if edge_weight is not None and edge_weight.shape != (num_edges,):
            raise ValueError(
                f"'edge_weight' must be [{num_edges}], got {list(edge_weight.shape)}"
            )
        # Squares of sizes, and the like, leave the range of half precision.
        shares = graph.shares.to(accumulator(graph.shares.dtype))
        num_graphs = graph.x.size(0) // shares.size(1)
        sets = SetIndex.build(batch, None, num_graphs, len(shares), shares.device)
        weight = _channels(edge_index, edge_weight, shares)
        coarse = coarse_adjacency(shares, edge_index, weight, sets).squeeze(3)
        return coarsening_losses(shares, edge_index, weight[:, 0], coarse, sets)

    def __repr__(self) -> str:
        layer = self.layer
        return (
            f"{type(self).__name__}({layer.in_channels}, {layer.slot_channels}, "
            f"num_slots={layer.num_slots})"
        )


def _channels(edge_index: Tensor, edge_attr: Tensor | None, like: Tensor) -> Tensor:
    """The edges' channels, ``[E, F]``."""
    if edge_attr is None:
        return like.new_ones(edge_index.size(1), 1)
    if edge_attr.dim() not in (1, 2) or edge_attr.size(0) != edge_index.size(1):
        raise ValueError(
            f"'edge_attr' must be [{edge_index.size(1)}] or "
            f"[{edge_index.size(1)}, F], got {list(edge_attr.shape)}"
        )
    edge_attr = edge_attr.to(like.dtype)
    return edge_attr[:, None] if edge_attr.dim() == 1 else edge_attr


def _pairs(
    num_graphs: int, num_slots: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """All pairs of slots of the same graph, by source; and the graph of each slot."""
    slot = torch.arange(num_graphs * num_slots, device=device)
    graph = slot.div(num_slots, rounding_mode="floor")
    target = graph[:, None] * num_slots + torch.arange(num_slots, device=device)
    return torch.stack([slot.repeat_interleave(num_slots), target.flatten()]), graph
