"""One form for the edges of a graph, whatever form PyG sends."""

from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.typing import Adj
from torch_geometric.utils import is_sparse, to_edge_index


def as_edges(adjacency: Adj) -> Tensor:
    """Edges ``[2, E]`` from source to target."""
    if is_sparse(adjacency):  # PyG passes adjacency matrices transposed
        return to_edge_index(adjacency)[0].flip(0)
    return adjacency.as_tensor() if isinstance(adjacency, EdgeIndex) else adjacency
