"""Edges between elements that lie near one another in the same graph."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from ..ragged import SetIndex, pair_blocks


class RadiusEdges(BaseTransform):
    r"""Connects all pairs of nodes of a graph that are within a cutoff.

    Replaces ``edge_index`` by :math:`\{(j, i) : \|p_j - p_i\| < r, j \ne i\}`, sorted
    by target, and drops ``edge_attr``. Unlike PyG's ``RadiusGraph`` it needs neither
    torch-cluster nor a bound on the number of neighbours.

    Args:
        cutoff: The radius :math:`r`, in the unit of ``pos``.
        max_pairs: How many pairs are looked at at once, which bounds the memory.

    Shapes:
        - **input:** ``pos`` :math:`(N, D)`; ``batch`` :math:`(N)`, sorted, where the
          data is a batch
        - **output:** ``edge_index`` :math:`(2, E)`

    Raises:
        ValueError: If ``cutoff`` is not positive, or the data has no ``pos``.

    Cost:
        :math:`O(\sum_b n_b^2)` time, once per graph.

    Example:
        >>> data = Data(pos=torch.tensor([[0.0], [1.0], [5.0]]))
        >>> RadiusEdges(cutoff=2.0)(data).edge_index.tolist()
        [[1, 0], [0, 1]]
    """

    def __init__(self, cutoff: float, max_pairs: int = 2**22):
        if not cutoff > 0:
            raise ValueError(f"'cutoff' must be positive, got {cutoff}")
        self.cutoff = cutoff
        self.max_pairs = max_pairs

    def forward(self, data: Data) -> Data:
        """Returns the data with its edges replaced."""
        pos = _positions(data)
        sets = SetIndex.build(
            index=data.batch, num_elements=pos.size(0), device=pos.device
        )
        data.edge_index = self._edges(pos, sets)
        data.edge_attr = None
        return data

    def connect(self, graphs: Sequence[Data]) -> None:
        """Does the same to many graphs, in place, with a few calls for all of them."""
        for start in range(0, len(graphs), 1024):
            chunk = graphs[start : start + 1024]
            pos = [_positions(graph) for graph in chunk]
            sizes = torch.tensor([0] + [len(one) for one in pos], device=pos[0].device)
            sets = SetIndex.build(ptr=sizes.cumsum(0))
            edges = self._edges(torch.cat(pos), sets)
            counts = sets.index[edges[1]].bincount(minlength=len(chunk)).tolist()
            firsts = sets.ptr[:-1].tolist()
            parts = edges.split(counts, dim=1)
            for graph, part, first in zip(chunk, parts, firsts, strict=True):
                graph.edge_index = part - first
                graph.edge_attr = None

    def _edges(self, pos: Tensor, sets: SetIndex) -> Tensor:
        # Half precision would round distances, and the cutoff, to a per cent.
        pos = pos.to(torch.promote_types(pos.dtype, torch.float32))
        edges = [torch.empty(2, 0, dtype=torch.long, device=pos.device)]
        for source, target in pair_blocks(sets, self.max_pairs):
            distance = (pos[source] - pos[target]).norm(dim=-1)
            near = (distance < self.cutoff) & (source != target)
            edges.append(torch.stack([source[near], target[near]]))
        return torch.cat(edges, dim=1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(cutoff={self.cutoff})"


def _positions(data: Data) -> Tensor:
    if data.pos is None:
        raise ValueError("'data' must have positions ('pos') to find edges by")
    return data.pos
