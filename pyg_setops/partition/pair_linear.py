"""The layer from pairs to pairs on nodes and edges, for graphs of any sparsity."""

from __future__ import annotations

from numbers import Integral
from typing import Literal

import torch
from torch import Tensor
from torch.nn import Linear

from ..ragged import GraphIndex, gather, segment_mean, segment_sum
from ..ragged.precision import accumulator
from .linear import EquivariantLinear
from .set_partitions import Partition


class PairLinear(torch.nn.Module):
    r"""All 15 equivariant maps of pairs to pairs, on the nodes and edges there are.

    .. math::
        x_i' &= A x_i + \sum_{j \to i} B e_{ji} + \sum_{i \to j} C e_{ij}
            + \sum_j D x_j + \sum_{jk} E e_{jk} + b \\
        e_{ji}' &= F e_{ji} + G e_{ij} + H x_i + I x_j + \dots + d

    where nodes are the diagonal of a pair tensor and edges the rest: 2 maps from nodes
    to nodes, 3 from edges to nodes, 3 from nodes to edges and 7 from edges to edges (an
    edge, its reverse, the sums into and out of both its ends, and over the graph). A
    reverse edge that does not exist counts as zero. On complete graphs, with
    ``aggr='sum'``, it is :class:`EquivariantLinear` from order 2 to order 2; see
    :meth:`on_edges`. From `"Invariant and Equivariant Graph Networks"
    <https://arxiv.org/abs/1812.09902>`_.

    Args:
        in_channels: The width of nodes and edges, or both widths as a pair.
        out_channels: The width of both outputs.
        bias: Whether there are biases, one of nodes and one of edges.
        aggr: ``'mean'`` divides a sum by the number of its terms; ``'sum'`` does not.

    Shapes:
        - **input:** nodes :math:`(N, C_x)`, edges :math:`(E, C_e)`
        - **output:** nodes :math:`(N, C_{out})`, edges :math:`(E, C_{out})`

    Cost:
        :math:`O(N + E)` additions a channel; two matrix products of :math:`E` rows,
        nine of :math:`N` rows and four of a row per graph.

    Example:
        >>> layer = PairLinear((4, 2), 8)
        >>> edge_index = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> x, edge_attr = layer(torch.randn(3, 4), torch.randn(4, 2), edge_index)
        >>> x.shape, edge_attr.shape
        (torch.Size([3, 8]), torch.Size([4, 8]))
    """

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        bias: bool = True,
        aggr: Literal["mean", "sum"] = "mean",
    ):
        super().__init__()
        if isinstance(in_channels, int | Integral):  # of NumPy too
            in_channels = (int(in_channels), int(in_channels))
        self.in_channels = in_channels
        for name, values in (
            ("in_channels", self.in_channels),
            ("out_channels", (out_channels,)),
        ):
            if min(values) < 1:
                raise ValueError(f"'{name}' must be positive, got {values}")
        if aggr not in ("mean", "sum"):
            raise ValueError(f"'aggr' must be 'mean' or 'sum', got {aggr!r}")
        self.out_channels = out_channels
        self.aggr = aggr
        node, edge = self.in_channels
        # Rows: to nodes, to edges. Columns: the graph's nodes, its edges.
        self.lin_graph = Linear(node + edge, 2 * out_channels, bias)
        # To the node, to edges into it, to edges out of it. The node, the same edges.
        self.lin_node = Linear(node + 2 * edge, 3 * out_channels, bias=False)
        # From the edge, from its reverse.
        self.lin_edge = Linear(edge, 2 * out_channels, bias=False)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draws all weights anew, and sets biases to zero."""
        node, edge = self.in_channels
        # What is added up in an edge; a node has fewer terms.
        terms = (node + edge) + 2 * (node + 2 * edge) + 2 * edge
        bound = (3 / terms) ** 0.5
        for lin in (self.lin_graph, self.lin_node, self.lin_edge):
            lin.weight.uniform_(-bound, bound)
            if lin.bias is not None:
                lin.bias.zero_()

    def forward(
        self,
        x: Tensor,
        edge_attr: Tensor,
        edge_index: Tensor | GraphIndex,
        batch: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Maps nodes and edges to nodes and edges.

        Args:
            x: Nodes ``[N, C_x]``.
            edge_attr: Edges ``[E, C_e]``.
            edge_index: Edges ``[2, E]``, none listed twice; or a
                :class:`~pyg_setops.ragged.GraphIndex`, which several layers share.
            batch: The graph of each node (default: one graph).

        Returns:
            Nodes ``[N, C_out]`` and edges ``[E, C_out]``.

        Raises:
            TypeError: If ``edge_index`` or ``batch`` does not hold integers.
            ValueError: If the graphs are none (see
                :meth:`pyg_setops.ragged.GraphIndex.build`), or ``x`` or ``edge_attr``
                has not the rows and columns expected.
        """
        if isinstance(edge_index, GraphIndex):
            graphs = edge_index
        else:
            graphs = GraphIndex.build(edge_index, batch, x.size(0))
        node, edge = self.in_channels
        _expect("x", x, graphs.nodes.num_elements, node)
        _expect("edge_attr", edge_attr, graphs.source.num_elements, edge)
        reduce = segment_mean if self.aggr == "mean" else segment_sum
        into = reduce(edge_attr, graphs.target)
        out_of = reduce(edge_attr, graphs.source)
        whole = torch.cat(
            [reduce(x, graphs.nodes), self._edges_of_graphs(edge_attr, graphs)], dim=1
        )
        of_nodes, of_edges = self.lin_graph(whole).chunk(2, dim=1)
        own, below, above = self.lin_node(torch.cat([x, into, out_of], 1)).chunk(3, 1)
        # An edge is in the graph of its target.
        below = below + gather(of_edges, graphs.nodes)
        same, back = self.lin_edge.weight.chunk(2)
        edges = torch.nn.functional.linear(edge_attr, same)
        edges = edges + graphs.reverse(torch.nn.functional.linear(edge_attr, back))
        edges = edges + gather(below, graphs.target) + gather(above, graphs.source)
        return own + gather(of_nodes, graphs.nodes), edges

    def _edges_of_graphs(self, edge_attr: Tensor, graphs: GraphIndex) -> Tensor:
        """The sum, or mean, of the edges of each graph."""
        # In half precision a sum need not fit until it is divided.
        wide = edge_attr.to(accumulator(edge_attr.dtype))
        total = segment_sum(segment_sum(wide, graphs.target), graphs.nodes)
        if self.aggr == "mean":
            degree = segment_sum(graphs.target.sizes[:, None], graphs.nodes)
            total = total / degree.clamp(min=1).to(total.dtype)
        return total.to(edge_attr.dtype)

    @classmethod
    @torch.no_grad()
    def on_edges(cls, layer: EquivariantLinear) -> PairLinear:
        """The layer that gives on complete graphs what ``layer`` gives on pairs.

        The pair tensor has the node's row on its diagonal, and at place ``(i, j)`` the
        edge from ``j`` to ``i``.

        Args:
            layer: From order 2 to order 2 with ``aggr='sum'``, ``typical_size=1`` and
                no size exponents, of a known width.

        Raises:
            ValueError: If it is another.
        """
        if (
            (layer.order_in, layer.order_out) != (2, 2)
            or layer.aggr != "sum"
            or layer.typical_size != 1
            or layer.exponent is not None
            or layer.in_channels == -1
        ):
            raise ValueError(
                "'layer' must map order 2 to order 2 with aggr='sum', typical_size=1, "
                f"without size exponents and of a known width, got {layer} with "
                f"typical_size={layer.typical_size}"
            )
        width, bias = layer.in_channels, layer.bias
        pair = cls(width, layer.out_channels, bias is not None, "sum").to(layer.weight)
        w = _by_digits(layer.per_diagram())
        row, column = w["0102"] + w["0112"], w["0120"] + w["0121"]
        graph, graph_nodes = w["0123"], w["0122"]
        # A sum over pairs is one over edges and one over nodes.
        pair.lin_graph.weight.copy_(
            _blocks(
                [graph + graph_nodes + w["0012"] + w["0011"], graph + w["0012"]],
                [graph + graph_nodes, graph],
            )
        )
        into, out_of = row + w["0001"], column + w["0010"]
        same = w["0101"] + w["0110"] + w["0100"] + w["0111"] + w["0000"]
        pair.lin_node.weight.copy_(
            _blocks(
                [same + into + out_of, into, out_of],
                [w["0100"] + w["0102"] + w["0120"], w["0102"], w["0120"]],
                [w["0111"] + w["0112"] + w["0121"], w["0112"], w["0121"]],
            )
        )
        pair.lin_edge.weight.copy_(_blocks([w["0101"]], [w["0110"]]))
        if bias is not None:
            joined, apart = bias
            pair.lin_graph.bias.copy_(torch.cat([joined + apart, apart]))
        return pair

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.in_channels}, {self.out_channels}, "
            f"aggr='{self.aggr}')"
        )


def _expect(name: str, value: Tensor, rows: int, columns: int) -> None:
    if value.dim() != 2 or value.size(0) != rows or value.size(1) != columns:
        raise ValueError(
            f"'{name}' must have shape {[rows, columns]}, got {list(value.shape)}"
        )


def _by_digits(weights: list[tuple[Partition, Tensor]]) -> dict[str, Tensor]:
    return {"".join(map(str, partition)): matrix for partition, matrix in weights}


def _blocks(*rows: list[Tensor]) -> Tensor:
    return torch.cat([torch.cat(row, dim=1) for row in rows])
