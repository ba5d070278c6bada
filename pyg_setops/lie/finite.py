"""Translations with finitely many rotations: exact, by taking all of them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .group import LieGroup
from .groups import Embedding
from .planar import Planar
from .point_group import PointGroup
from .spatial import Spatial

_GOLDEN = (1 + 5**0.5) / 2
_HALF = [0.5, 0.5, 0.5, 0.5]
_TETRAHEDRAL = [_HALF, [0.0, 1.0, 0.0, 0.0]]
_OCTAHEDRAL = [_HALF, [0.5**0.5, 0.5**0.5, 0.0, 0.0]]
_ICOSAHEDRAL = [_HALF, [_GOLDEN / 2, 0.5 / _GOLDEN, 0.5, 0.0]]


class FiniteRotations(LieGroup):
    """Translations with the group that some linear parts generate.

    A lift takes every element of it at every point, so that outputs are exact under
    all of the group, where those of sampled lifts are right on average.

    Args:
        points: Where the linear parts are from.
        generators: Some that generate all, ``[*, size]``.
        embedding: See :class:`LieGroup`.
    """

    def __init__(
        self, points: PointGroup, generators: Tensor, embedding: Embedding = "matrix"
    ):
        table = _generate(points, generators)
        super().__init__(points, translations=True, table=table, embedding=embedding)


class Cyclic(FiniteRotations):
    """Translations of the plane with ``n`` rotations.

    Args:
        n: The number of rotations.
        inversion: Whether ``-1``, the half turn, is to be among them: with odd ``n``
            there are ``2 n`` then.
        embedding: See :class:`LieGroup`.
    """

    def __init__(
        self, n: int, *, inversion: bool = False, embedding: Embedding = "matrix"
    ):
        self.n = _order(n, inversion)
        super().__init__(Planar(), _turn(self.n), embedding)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.n})"


class Dihedral(FiniteRotations):
    """Translations of the plane with ``n`` rotations and ``n`` reflections.

    Args:
        n: The number of rotations.
        inversion: As of :class:`Cyclic`.
        embedding: See :class:`LieGroup`.
    """

    def __init__(
        self, n: int, *, inversion: bool = False, embedding: Embedding = "matrix"
    ):
        self.n = _order(n, inversion)
        turn = torch.cat([_turn(self.n), torch.ones(1, 1, dtype=torch.float64)], 1)
        mirror = torch.tensor([[1.0, 0.0, -1.0]], dtype=torch.float64)
        super().__init__(Planar(True), torch.cat([turn, mirror]), embedding)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.n})"


class _Polyhedral(FiniteRotations):
    generators: list[list[float]]

    def __init__(self, *, inversion: bool = False, embedding: Embedding = "matrix"):
        rows = torch.tensor(self.generators, dtype=torch.float64)
        if inversion:
            signed = torch.cat([rows, torch.ones_like(rows[:, :1])], dim=1)
            inverted = torch.tensor([[1.0, 0, 0, 0, -1]], dtype=torch.float64)
            rows = torch.cat([signed, inverted])
        super().__init__(Spatial(inversion), rows, embedding)

    def __repr__(self) -> str:
        inversion = "inversion=True" if self.points.has_reflections else ""
        return f"{type(self).__name__}({inversion})"


class Tetrahedral(_Polyhedral):
    """Translations of space with the 12 rotations of the tetrahedron.

    Args:
        inversion: Whether ``-1`` is to be an element, which makes 24.
        embedding: See :class:`LieGroup`.
    """

    generators = _TETRAHEDRAL


class Octahedral(_Polyhedral):
    """Translations of space with the 24 rotations of the cube.

    Args:
        inversion: Whether ``-1`` is to be an element, which makes 48.
        embedding: See :class:`LieGroup`.
    """

    generators = _OCTAHEDRAL


class Icosahedral(_Polyhedral):
    """Translations of space with the 60 rotations of the icosahedron.

    Args:
        inversion: Whether ``-1`` is to be an element, which makes 120.
        embedding: See :class:`LieGroup`.
    """

    generators = _ICOSAHEDRAL


def _order(n: int, inversion: bool) -> int:
    if n < 1:
        raise ValueError(f"'n' must be positive, got {n}")
    return 2 * n if inversion and n % 2 else n


def _turn(n: int) -> Tensor:
    angle = 2 * math.pi / n
    return torch.tensor([[math.cos(angle), math.sin(angle)]], dtype=torch.float64)


def _generate(points: PointGroup, generators: Tensor) -> Tensor:
    """All products of the generators, the identity first."""
    found = points.identity(generators)[None]
    fresh = found
    while len(fresh):
        products = points.multiply(
            fresh[:, None].expand(-1, len(generators), -1),
            generators.expand(len(fresh), -1, -1),
        ).flatten(0, 1)
        before = len(found)
        for product in products:
            entries = points.entries(torch.cat([found, product[None]]))
            if (entries[:-1] - entries[-1]).abs().amax(-1).min() > 1e-6:
                found = torch.cat([found, product[None]])
        fresh = found[before:]
    return found
