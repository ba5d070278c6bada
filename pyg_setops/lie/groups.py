"""The groups by name: translations, rotations, motions of plane and space."""

from __future__ import annotations

from .embedding import PairEmbedding
from .group import LieGroup
from .planar import Planar, ScaledPlanar
from .point_group import NoRotation
from .spatial import Spatial

Embedding = str | PairEmbedding


class Trivial(LieGroup):
    """No symmetry: the invariants of a point are its coordinates.

    Args:
        dim: The dimension of space.
    """

    def __init__(self, dim: int, *, embedding: Embedding = "matrix"):
        super().__init__(NoRotation(dim), translations=False, embedding=embedding)

    def __repr__(self) -> str:
        return f"Trivial({self.dim})"


class T(LieGroup):
    """Translations of ``dim`` dimensions.

    Args:
        dim: The dimension of space.
        embedding: See :class:`LieGroup`.

    Example:
        >>> import torch
        >>> lifted = T(3).lift(torch.randn(7, 3))
        >>> lifted.g.shape
        torch.Size([7, 3])
    """

    def __init__(self, dim: int, *, embedding: Embedding = "matrix"):
        super().__init__(NoRotation(dim), translations=True, embedding=embedding)

    def __repr__(self) -> str:
        return f"T({self.dim})"


class SO2(LieGroup):
    """Rotations of the plane about the origin; a point's invariant is its length."""

    def __init__(self, *, embedding: Embedding = "matrix"):
        super().__init__(Planar(), translations=False, embedding=embedding)


class O2(LieGroup):
    """Rotations and reflections of the plane; two lifts a point."""

    def __init__(self, *, embedding: Embedding = "matrix"):
        super().__init__(Planar(True), translations=False, embedding=embedding)


class RxSO2(LieGroup):
    """Rotations and scalings of the plane about the origin, which is no point of it.

    A point at the origin cannot be moved to any other; it is lifted to the identity.
    """

    def __init__(self, *, embedding: Embedding = "matrix"):
        super().__init__(ScaledPlanar(), translations=False, embedding=embedding)


class SE2(LieGroup):
    """Rigid motions of the plane; lifts are sampled."""

    def __init__(self, *, embedding: Embedding = "matrix"):
        super().__init__(Planar(), translations=True, embedding=embedding)


class E2(LieGroup):
    """Rigid motions and reflections of the plane; lifts are sampled."""

    def __init__(self, *, embedding: Embedding = "matrix"):
        super().__init__(Planar(True), translations=True, embedding=embedding)


class SO3(LieGroup):
    """Rotations of space about the origin; a point's invariant is its length.

    Lifts are sampled: any turn about the point's own direction.
    """

    def __init__(self, *, embedding: Embedding = "matrix"):
        super().__init__(Spatial(), translations=False, embedding=embedding)


class O3(LieGroup):
    """Rotations and reflections of space about the origin; lifts are sampled."""

    def __init__(self, *, embedding: Embedding = "matrix"):
        super().__init__(Spatial(True), translations=False, embedding=embedding)


class SE3(LieGroup):
    """Rigid motions of space; lifts are sampled.

    Example:
        >>> import torch
        >>> group = SE3()
        >>> lifted = group.lift(torch.randn(7, 3), k=2)
        >>> lifted.g.shape, group.pair(lifted.g, lifted.g).shape
        (torch.Size([14, 7]), torch.Size([14, 12]))
    """

    def __init__(self, *, embedding: Embedding = "matrix"):
        super().__init__(Spatial(), translations=True, embedding=embedding)


class E3(LieGroup):
    """Rigid motions and reflections of space; lifts are sampled."""

    def __init__(self, *, embedding: Embedding = "matrix"):
        super().__init__(Spatial(True), translations=True, embedding=embedding)
