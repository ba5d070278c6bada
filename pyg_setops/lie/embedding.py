r"""What a location kernel sees of a pair: coordinates of :math:`g_j^{-1} g_i`."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..ragged.precision import accumulator
from .series import cosine

if TYPE_CHECKING:
    from .group import LieGroup


class PairEmbedding(ABC):
    """Maps elements of a group to coordinates, smoothly unless it says otherwise.

    Attributes:
        keeps_translations: Whether a pure translation is embedded as it is.
    """

    keeps_translations = True

    @abstractmethod
    def dim(self, group: LieGroup) -> int:
        """The number of coordinates.

        Raises:
            ValueError: If the group has no such coordinates.
        """

    @abstractmethod
    def __call__(self, group: LieGroup, g: Tensor) -> Tensor:
        """Maps ``[*, element_dim]`` to ``[*, dim]``."""

    def outer(self, group: LieGroup, g_i: Tensor, g_j: Tensor) -> Tensor:
        """Of ``[G, r, element_dim]`` and ``[G, n, element_dim]``, all pairs.

        Returns:
            The coordinates of each ``g_j^-1 g_i``, ``[G, r, n, dim]``.
        """
        return self(group, group.between(g_i[:, :, None], g_j[:, None]))

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class MatrixEmbedding(PairEmbedding):
    """The entries of the linear part, and the translation: polynomial, no jumps."""

    def dim(self, group: LieGroup) -> int:
        """9 in space, 2 in the plane, more with reflections, and a translation."""
        entries = group.points.entries(group.points.identity(torch.empty(0)))
        return len(entries) + group.element_dim - group.points.size

    def __call__(self, group: LieGroup, g: Tensor) -> Tensor:
        """Maps elements to entries."""
        a, t = group.split(g)
        return torch.cat([group.points.entries(a), t], dim=-1)

    def outer(self, group: LieGroup, g_i: Tensor, g_j: Tensor) -> Tensor:
        """All pairs, by one product of matrices where entries are those of one."""
        points = group.points
        if not points.entries_are_matrix:
            return super().outer(group, g_i, g_j)
        dtype = g_i.dtype
        # Half precision has no digits for the difference of two products.
        g_i, g_j = (g.to(accumulator(dtype)) for g in (g_i, g_j))
        (a, s), (b, t) = group.split(g_i), group.split(g_j)
        # Differences do not change by the shift; their rounding does.
        centre = t.detach().mean(1, keepdim=True)
        back = points.matrix(points.inverse(b))
        moved = points.matrix(a)
        if group.translations:
            moved = torch.cat([moved, (s - centre)[..., None]], dim=-1)
        # Columns q of targets by rows p of sources, with the sources n innermost.
        left = moved.permute(0, 3, 1, 2).flatten(1, 2)
        right = back.permute(0, 3, 2, 1).flatten(2)
        product = (left @ right).view(len(a), -1, a.size(1), group.dim, b.size(1))
        entries = product.permute(3, 1, 0, 2, 4)
        parts = [entries[:, : group.dim].flatten(0, 1)]
        if group.translations:
            start = points.act(points.inverse(b), t - centre).permute(2, 0, 1)
            parts.append(entries[:, group.dim] - start[:, :, None])
        return torch.cat(parts).permute(1, 2, 3, 0).to(dtype)


class LogEmbedding(PairEmbedding):
    """The Lie algebra, as in the LieTransformer paper, and the sign of reflections.

    It jumps at rotations by π: do not differentiate it twice in training.
    """

    def dim(self, group: LieGroup) -> int:
        """That of the algebra, and 1 for the sign."""
        return group.algebra_dim + group.points.has_reflections

    def __call__(self, group: LieGroup, g: Tensor) -> Tensor:
        """Maps elements to logarithms."""
        parts = [group.log(g)]
        if group.points.has_reflections:
            parts.append(group.points.sign(group.split(g)[0]))
        return torch.cat(parts, dim=-1)


class WignerEmbedding(PairEmbedding):
    """The matrices of the representations of degree 1 to ``max_degree``.

    Args:
        max_degree: The highest degree; under reflections of natural parity.
    """

    def __init__(self, max_degree: int = 2):
        if max_degree < 1:
            raise ValueError(f"'max_degree' must be positive, got {max_degree}")
        self.max_degree = max_degree

    def dim(self, group: LieGroup) -> int:
        """The squares of the degrees' dimensions, a sign, and a translation."""
        points = group.points
        squares = 0
        if points.size:
            degrees = range(1, self.max_degree + 1)
            squares = sum(points.degree_dim(degree) ** 2 for degree in degrees)
        return squares + points.has_reflections + group.element_dim - points.size

    def __call__(self, group: LieGroup, g: Tensor) -> Tensor:
        """Maps elements to matrices, flat."""
        points = group.points
        a, t = group.split(g)
        parts = [t]
        if points.has_reflections:
            parts.append(points.sign(a))
        if points.size:
            for degree in range(1, self.max_degree + 1):
                d = points.wigner(degree, (-1) ** degree, a)
                parts.append(d.flatten(-2))
        return torch.cat(parts, dim=-1)

    def __repr__(self) -> str:
        return f"WignerEmbedding(max_degree={self.max_degree})"


class RadialEmbedding(PairEmbedding):
    r"""Another embedding, and the waves :math:`\cos(k \pi |t| / r)` of the distance.

    Args:
        cutoff: The length :math:`r` in which the first wave turns over.
        num_radial: The number of waves.
        beside: The other embedding.
    """

    keeps_translations = False

    def __init__(
        self,
        cutoff: float = 5.0,
        num_radial: int = 8,
        beside: str | PairEmbedding = "matrix",
    ):
        if not cutoff > 0:
            raise ValueError(f"'cutoff' must be positive, got {cutoff}")
        if num_radial < 1:
            raise ValueError(f"'num_radial' must be positive, got {num_radial}")
        self.cutoff = cutoff
        self.num_radial = num_radial
        self.beside = _named(beside)

    def dim(self, group: LieGroup) -> int:
        """That of the other embedding, and the number of waves."""
        if not group.translations:
            raise ValueError(f"a radial embedding needs translations, got {group}")
        return self.beside.dim(group) + self.num_radial

    def __call__(self, group: LieGroup, g: Tensor) -> Tensor:
        """Maps elements to coordinates."""
        _, t = group.split(g)
        return torch.cat([self.beside(group, g), self._waves(t)], dim=-1)

    def outer(self, group: LieGroup, g_i: Tensor, g_j: Tensor) -> Tensor:
        """All pairs; motions with translations do not change distances."""
        (_, s), (_, t) = group.split(g_i), group.split(g_j)
        waves = self._waves(s[:, :, None] - t[:, None])
        return torch.cat([self.beside.outer(group, g_i, g_j), waves], dim=-1)

    def _waves(self, t: Tensor) -> Tensor:
        order = torch.arange(1, self.num_radial + 1, dtype=t.dtype, device=t.device)
        s = t.square().sum(-1, keepdim=True) * (order * math.pi / self.cutoff).square()
        return cosine(s)

    def __repr__(self) -> str:
        return (
            f"RadialEmbedding(cutoff={self.cutoff}, num_radial={self.num_radial}, "
            f"beside={self.beside})"
        )


class IndexEmbedding(PairEmbedding):
    """Which element of a finite group a linear part is, one-hot; the translation."""

    def dim(self, group: LieGroup) -> int:
        """The elements of the finite group, and a translation."""
        if group.table is None:
            raise ValueError(f"an index embedding needs a finite group, got {group}")
        return len(group.table) + group.element_dim - group.points.size

    def __call__(self, group: LieGroup, g: Tensor) -> Tensor:
        """Maps elements to an indicator and a translation."""
        a, t = group.split(g)
        assert group.table is not None
        # In half precision neighbours of a large table would be the same rows.
        entries = group.points.entries(a.detach()).to(accumulator(g.dtype))
        likeness = entries @ group.points.entries(group.table).to(entries).mT
        one = torch.nn.functional.one_hot(likeness.argmax(-1), len(group.table))
        return torch.cat([one.to(g.dtype), t], dim=-1)


_EMBEDDINGS: dict[str, type[PairEmbedding]] = {
    "matrix": MatrixEmbedding,
    "log": LogEmbedding,
    "wigner": WignerEmbedding,
    "radial": RadialEmbedding,
    "index": IndexEmbedding,
}


def resolve_embedding(embedding: str | PairEmbedding, group: LieGroup) -> PairEmbedding:
    """The embedding of a name, checked against the group.

    Raises:
        ValueError: If there is none, or the group has no such coordinates.
    """
    found = _named(embedding)
    found.dim(group)
    return found


def _named(embedding: str | PairEmbedding) -> PairEmbedding:
    if isinstance(embedding, PairEmbedding):
        return embedding
    if embedding not in _EMBEDDINGS:
        raise ValueError(
            f"'embedding' must be one of {', '.join(_EMBEDDINGS)} or a PairEmbedding, "
            f"got {embedding!r}"
        )
    return _EMBEDDINGS[embedding]()
