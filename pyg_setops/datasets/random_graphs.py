"""Random graphs, whose walks and cycles are to be counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch_geometric.data import Data

from pyg_setops.datasets.generated import GeneratedSets, Split


class RandomGraphs(GeneratedSets):
    r"""Small graphs of two kinds, with the numbers of their walks and cycles.

    In equal shares: every edge drawn with one probability :math:`p \sim U(0.1, 0.7)`
    (Erdős-Rényi), or points in the unit square joined below a distance
    :math:`r \sim U(0.2, 0.7)` (geometric), where there are more triangles than the
    degrees let expect.

    A graph has ``edge_index`` ``[2, E]``, both ways, and the targets ``y`` ``[1, 4]``:
    walks of two and three steps (the graph moments :math:`\sum_{ij} (A^p)_{ij}`),
    triangles, and cycles of four.

    Args:
        num_elements: the least and the largest number of nodes (default: 5 to 12).
        density: divide each target by :math:`n^v` with its number :math:`v` of nodes,
            3, 4, 3 and 4 (default: counts as they are).
        split: ``'train'``, ``'val'`` or ``'test'``; no graph is in two of them
            (default: ``'train'``).
        num_sets: the length (default: 10,000). A longer dataset begins with the graphs
            of a shorter one.
        seed: another seed gives other graphs (default: 0).
        transform: applied to a graph at every access (default: ``None``).

    Raises:
        ValueError: if an argument is wrong.

    Example:
        >>> data = RandomGraphs()[0]
        >>> walks = data.y[0, 0]  # of two steps: one for each pair of edges at a node
        >>> bool(walks == data.edge_index[0].bincount().square().sum())
        True
    """

    targets: ClassVar[tuple[str, ...]] = ("walks 2", "walks 3", "triangles", "cycles 4")
    num_vertices: ClassVar[tuple[int, ...]] = (3, 4, 3, 4)

    def __init__(
        self,
        num_elements: tuple[int, int] = (5, 12),
        density: bool = False,
        split: Split = "train",
        num_sets: int = 10_000,
        seed: int = 0,
        transform: Callable[[Data], Data] | None = None,
    ) -> None:
        super().__init__(split, num_sets, seed, transform)
        if not 1 <= num_elements[0] <= num_elements[1]:
            raise ValueError(
                "num_elements: expected a least and a largest size of at least 1, got "
                f"{num_elements}"
            )
        self.num_elements = num_elements
        self.density = density

    def draw(self, rng: np.random.Generator) -> Data:
        """Draw a graph."""
        size = int(rng.integers(*self.num_elements, endpoint=True))
        draw = _erdos_renyi if rng.integers(2) == 0 else _geometric
        adjacency = np.triu(draw(rng, size), 1)
        adjacency = adjacency | adjacency.T
        y = np.array(_counts(adjacency.astype(np.float64)))
        if self.density:
            y = y / float(size) ** np.array(self.num_vertices)
        return Data(
            edge_index=torch.from_numpy(np.stack(adjacency.nonzero())),
            y=torch.from_numpy(y).float()[None],
            num_nodes=size,
        )


def _erdos_renyi(rng: np.random.Generator, size: int) -> NDArray[np.bool_]:
    return rng.random((size, size)) < rng.uniform(0.1, 0.7)


def _geometric(rng: np.random.Generator, size: int) -> NDArray[np.bool_]:
    points = rng.random((size, 1, 2))
    distance = np.linalg.norm(points - points.transpose(1, 0, 2), axis=2)
    return distance < rng.uniform(0.2, 0.7)


def _counts(a: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Of a symmetric matrix without loops, from its powers."""
    square, degrees = a @ a, a.sum(0)
    # A closed walk of four steps that is no cycle goes back over an edge.
    back = 2 * (degrees**2).sum() - degrees.sum()
    return (
        square.sum(),
        degrees @ a @ degrees,
        (square * a).sum() / 6,
        ((square * square).sum() - back) / 8,
    )
