"""The layout of a batch of graphs: nodes, edges, and each edge's way back."""

from __future__ import annotations

import torch
from torch import Tensor

from .eager import is_readable
from .segment import gather
from .set_index import SetIndex


class GraphIndex:
    """Which graph a node, and which nodes an edge belongs to.

    Layers that work on the same batch share one.

    Attributes:
        nodes: The graph of each node.
        source: The node that each edge comes from.
        target: The node that each edge goes to.

    Example:
        >>> import torch
        >>> graphs = GraphIndex.build(torch.tensor([[0, 1, 2], [1, 0, 1]]))
        >>> graphs.reverse(torch.tensor([[1.0], [2.0], [3.0]])).flatten()
        tensor([2., 1., 0.])
    """

    def __init__(self, nodes: SetIndex, source: SetIndex, target: SetIndex):
        self.nodes = nodes
        self.source = source
        self.target = target
        self._back: tuple[SetIndex, Tensor] | None = None

    @classmethod
    def build(
        cls,
        edge_index: Tensor,
        batch: Tensor | None = None,
        num_nodes: int | None = None,
        num_graphs: int | None = None,
    ) -> GraphIndex:
        """Validates graphs in PyG's form and describes them.

        Args:
            edge_index: Edges ``[2, E]`` from source to target, none listed twice.
            batch: The graph of each node, in any order (default: one graph).
            num_nodes: The number of nodes, where it is not to be found by ``batch``.
            num_graphs: The number of graphs.

        Raises:
            TypeError: If ``edge_index`` or ``batch`` does not hold integers.
            ValueError: If an edge leaves its graph, or names no node, or is listed
                twice.
        """
        if edge_index.dim() != 2 or edge_index.size(0) != 2:
            raise ValueError(
                f"'edge_index' must have shape [2, E], got {list(edge_index.shape)}"
            )
        if num_nodes is None:
            num_nodes = _num_nodes(edge_index) if batch is None else batch.numel()
        device = edge_index.device
        try:
            nodes = SetIndex.build(batch, None, num_graphs, num_nodes, device)
        except (TypeError, ValueError) as error:
            raise type(error)(f"'batch' names no graphs: {error}") from error
        try:
            source, target = (
                SetIndex.build(end, dim_size=num_nodes) for end in edge_index.unbind()
            )
        except (TypeError, ValueError) as error:
            raise type(error)(f"'edge_index' names no nodes: {error}") from error
        graphs = cls(nodes, source, target)
        if is_readable(edge_index):
            ends = nodes.index[source.index], nodes.index[target.index]
            if not torch.equal(*ends):
                raise ValueError("'edge_index' must not join nodes of two graphs")
        return graphs

    def reverse(self, edge_attr: Tensor) -> Tensor:
        """Gives every edge the row of the edge back, or zeros where there is none."""
        if self._back is None:
            self._back = self._find_back()
        back, exists = self._back
        return torch.where(exists, gather(edge_attr, back), 0)

    def _find_back(self) -> tuple[SetIndex, Tensor]:
        """The edge back of each, and whether it exists, ``[E, 1]``."""
        source, target = self.source.index, self.target.index
        count, num_nodes = source.numel(), self.nodes.num_elements
        key, order = (source * num_nodes + target).sort()
        if is_readable(key) and bool((key[1:] == key[:-1]).any()):
            raise ValueError("'edge_index' must not list an edge twice; coalesce it")
        wanted = target * num_nodes + source
        place = torch.searchsorted(key, wanted).clamp(max=max(count - 1, 0))
        exists = key[place] == wanted
        return SetIndex(order[place], None, count, count), exists[:, None]

    def __repr__(self) -> str:
        return (
            f"GraphIndex(num_graphs={self.nodes.num_sets}, "
            f"num_nodes={self.nodes.num_elements}, "
            f"num_edges={self.source.num_elements})"
        )


def _num_nodes(edge_index: Tensor) -> int:
    return int(edge_index.max()) + 1 if edge_index.numel() > 0 else 0
