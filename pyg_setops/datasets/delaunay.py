"""Points in the plane, and the triangulation that is to be found."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch_geometric.data import Data

from pyg_setops.datasets.generated import GeneratedSets, Split


class Delaunay(GeneratedSets):
    """Points in the unit square with the edges of their Delaunay triangulation.

    A set of points that is to be mapped to a graph, as in `"Set2Graph: Learning Graphs
    From Sets" <https://arxiv.org/abs/2002.08772>`_. Needs scipy.

    A set has ``pos`` ``[n, 2]``, uniformly distributed, and ``edge_index`` ``[2, E]``,
    each edge both ways, sorted.

    Args:
        num_elements: the least and the largest number of points, at least 3 (default:
            20 to 80).
        split: ``'train'``, ``'val'`` or ``'test'``; no set is in two of them
            (default: ``'train'``).
        num_sets: the length (default: 10,000). A longer dataset begins with the sets of
            a shorter one.
        seed: another seed gives other sets (default: 0).
        transform: applied to a set at every access (default: ``None``).

    Raises:
        ValueError: if an argument is wrong.
        ImportError: if scipy is missing.

    Example:
        >>> data = Delaunay()[0]
        >>> 20 <= data.num_nodes <= 80, data.is_undirected()
        (True, True)
    """

    def __init__(
        self,
        num_elements: tuple[int, int] = (20, 80),
        split: Split = "train",
        num_sets: int = 10_000,
        seed: int = 0,
        transform: Callable[[Data], Data] | None = None,
    ) -> None:
        super().__init__(split, num_sets, seed, transform)
        if not 3 <= num_elements[0] <= num_elements[1]:
            raise ValueError(
                "num_elements: expected a least and a largest size of at least 3, got "
                f"{num_elements}"
            )
        self.num_elements = num_elements
        try:
            from scipy.spatial import Delaunay as Triangulation
        except ImportError as error:
            raise ImportError(
                "Delaunay needs scipy: pip install 'pyg-setops[train]'"
            ) from error
        self.triangulate = Triangulation

    def draw(self, rng: np.random.Generator) -> Data:
        """Draw a set."""
        size = int(rng.integers(*self.num_elements, endpoint=True))
        points = rng.random((size, 2))
        corners = self.triangulate(points).simplices
        sides = np.concatenate(
            [corners[:, [a, b]] for a, b in ((0, 1), (1, 2), (2, 0))]
        )
        edges = np.unique(np.concatenate([sides, sides[:, ::-1]]), axis=0)
        return Data(
            pos=torch.from_numpy(points).float(),
            edge_index=torch.from_numpy(edges.T.astype(np.int64)),
        )
