"""Who hears whom: neighbourhoods of points, found in about linear time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..ragged import SetIndex
from .lifted import LiftedSet

_FARTHEST = 1e120


class Neighbors(ABC):
    """Finds the neighbours of every point of a ragged batch, itself among them."""

    @abstractmethod
    def edges(self, pos: Tensor, sets: SetIndex) -> Tensor:
        """Source and target of each edge, ``[2, E]``, of points ``[N, d]``."""

    def __call__(self, lifted: LiftedSet) -> Tensor:
        """Source and target among all lifted elements of neighbouring points."""
        return expand_edges(self.edges(lifted.pos, lifted.nodes), lifted.num_lifts)


class Radius(Neighbors):
    """All points of the set within a distance.

    Args:
        radius: The distance, in the unit of the positions.

    Cost:
        About linear in points and edges, by SciPy's tree, on the CPU.

    Example:
        >>> pos = torch.tensor([[0.0], [1.0], [5.0]])
        >>> Radius(2.0).edges(pos, SetIndex.build(num_elements=3)).tolist()
        [[0, 1, 0, 1, 2], [0, 0, 1, 1, 2]]
    """

    def __init__(self, radius: float):
        if not radius > 0:
            raise ValueError(f"'radius' must be positive, got {radius}")
        self.radius = radius

    def edges(self, pos: Tensor, sets: SetIndex) -> Tensor:
        """Source and target of each edge, ``[2, E]``, of points ``[N, d]``."""
        from scipy.spatial import cKDTree

        points, numbers = _apart(pos, sets, self.radius)
        found = cKDTree(points).query_pairs(self.radius, output_type="ndarray")
        one, other = numbers[found.reshape(-1, 2)].T
        own = np.arange(len(pos))
        return _by_target(
            np.concatenate([one, other, own]), np.concatenate([other, one, own]), pos
        )

    def __repr__(self) -> str:
        return f"Radius({self.radius})"


class KNN(Neighbors):
    """The nearest points of the set, the point itself first.

    Args:
        k: How many, if the set has so many. Which of several at the same distance is
            not said.

    Cost:
        About linear in points and edges, by SciPy's tree, on the CPU.

    Example:
        >>> pos = torch.tensor([[0.0], [1.0], [5.0]])
        >>> KNN(2).edges(pos, SetIndex.build(num_elements=3)).tolist()
        [[0, 1, 0, 1, 1, 2], [0, 0, 1, 1, 2, 2]]
    """

    def __init__(self, k: int):
        if k < 1:
            raise ValueError(f"'k' must be positive, got {k}")
        self.k = k

    def edges(self, pos: Tensor, sets: SetIndex) -> Tensor:
        """Source and target of each edge, ``[2, E]``, of points ``[N, d]``."""
        from scipy.spatial import cKDTree

        points, numbers = _apart(pos, sets, 0.0)
        own = np.setdiff1d(np.arange(len(pos)), numbers)
        k = min(self.k, len(points))
        if k == 0:
            return _by_target(own, own, pos)
        _, near = cKDTree(points).query(points, k)
        near = _with_own(near.reshape(-1, k))
        target = numbers.repeat(k)
        source = numbers[near.reshape(-1)]
        index = _values(sets.index)
        same = index[source] == index[target]
        source = np.concatenate([source[same], own])
        target = np.concatenate([target[same], own])
        return _by_target(source, target, pos)

    def __repr__(self) -> str:
        return f"KNN({self.k})"


class FixedSubset(Neighbors):
    """The same few elements of a set for all of it, as in the published code.

    Which ones is a matter of the order of the set, so that layers with it are not
    equivariant to permutations: for comparisons only.

    Args:
        size: How many.
        seed: Tells which.
    """

    def __init__(self, size: int, seed: int = 0):
        if size < 1:
            raise ValueError(f"'size' must be positive, got {size}")
        self.size, self.seed = size, seed

    def edges(self, pos: Tensor, sets: SetIndex) -> Tensor:
        """Source and target of each edge, ``[2, E]``, of points ``[N, d]``."""
        ordered, order = sets.sorted()
        members = torch.arange(len(pos)) if order is None else order.cpu()
        sources, targets = [], []
        for members_of_one in members.split(ordered.sizes.tolist()):
            # Anew for each set, which is not to depend on those before it.
            generator = torch.Generator().manual_seed(self.seed)
            draw = torch.randperm(len(members_of_one), generator=generator)
            chosen = members_of_one[draw[: self.size]]
            sources.append(chosen.repeat(len(members_of_one)))
            targets.append(members_of_one.repeat_interleave(len(chosen)))
        if not sources:
            return torch.empty(2, 0, dtype=torch.long, device=pos.device)
        return _by_target(torch.cat(sources).numpy(), torch.cat(targets).numpy(), pos)

    def __repr__(self) -> str:
        return f"FixedSubset({self.size}, seed={self.seed})"


def expand_edges(edge_index: Tensor, num_lifts: int) -> Tensor:
    """Edges between points to edges between all of their lifts."""
    if num_lifts == 1:
        return edge_index
    lift = torch.arange(num_lifts, device=edge_index.device)
    source, target = (edge_index * num_lifts)[:, :, None, None]
    shape = (edge_index.size(1), num_lifts, num_lifts)
    source = (source + lift).expand(shape)
    target = (target + lift[:, None]).expand(shape)
    return torch.stack([source.flatten(), target.flatten()])


def _apart(
    pos: Tensor, sets: SetIndex, margin: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Finite points, sets far apart along one more axis, and their numbers.

    A point that is not finite, or so far that a square would overflow, is nobody's
    neighbour but its own.
    """
    points = _values(pos.double())
    numbers = np.flatnonzero((np.abs(points) < _FARTHEST).all(axis=1))
    points, index = points[numbers], _values(sets.index)[numbers]
    extent = np.ptp(points, axis=0).sum() if len(points) else 0.0
    axis = index * (2 * extent + 2 * margin + 1)
    return np.column_stack([points, axis]), numbers


def _with_own(near: NDArray[np.int64]) -> NDArray[np.int64]:
    """Neighbours ``[N, k]``, every point among its own.

    It may be missing where ``k`` others lie on top of it: then it takes the place of
    the last of them.
    """
    own = np.arange(len(near))
    missing = (near != own[:, None]).all(axis=1)
    near[missing, -1] = own[missing]
    return near


def _values(x: Tensor) -> NDArray[Any]:
    """The values of a tensor, also of one that ``torch.func`` differentiates."""
    x = x.detach().cpu()
    while torch._C._functorch.is_functorch_wrapped_tensor(x):
        x = torch._C._functorch.get_unwrapped(x)
    with torch._C._DisableFuncTorch():
        return x.detach().numpy()


def _by_target(
    source: NDArray[np.int64], target: NDArray[np.int64], pos: Tensor
) -> Tensor:
    order = np.lexsort((source, target))
    return torch.from_numpy(np.stack([source[order], target[order]])).to(pos.device)
