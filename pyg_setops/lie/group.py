"""Groups of motions, as pure functions of tensors of elements."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..ragged import SetIndex
from ..ragged.precision import accumulator, without_autocast
from .embedding import PairEmbedding, resolve_embedding
from .irreps import irreps_blocks
from .lifted import LiftedSet, lift_layout
from .point_group import PointGroup
from .sampling import Frames, lift_uniforms
from .series import norm


class LieGroup:
    r"""A group of rotations, reflections or scalings, with translations or without.

    An element is one row ``[element_dim]``: the parameters of its linear part (none;
    cosine and sine; a unit quaternion; with a sign after them where there are
    reflections), then its translation. Methods take any leading dimensions, know
    nothing but what they are given, and can be differentiated any number of times.
    Arguments are given by name where there is more than one meaning.

    Args:
        points: The linear parts.
        translations: Whether there are translations.
        table: The linear parts that a lift takes, ``[m, size]``, where they are a
            finite group; ``None`` for all of them.
        embedding: What :meth:`pair` makes of a pair: ``'matrix'`` (default),
            ``'log'``, ``'wigner'``, ``'radial'``, ``'index'`` (of finite groups) or a
            :class:`PairEmbedding`.

    Attributes:
        dim: The dimension of space.
        element_dim: The numbers of an element.
        algebra_dim: The dimension of the Lie algebra.
        orbit_dim: The invariants of a point, 0 where the group moves any point onto
            any other.
        pair_dim: The numbers of an embedded pair.
        pair_is_difference: Whether an embedded pair is no more than ``t_i - t_j``.
        num_lifts: How many elements a lift has for each point, if they are finitely
            many; ``None`` if they are sampled.
    """

    def __init__(
        self,
        points: PointGroup,
        *,
        translations: bool,
        table: Tensor | None = None,
        embedding: str | PairEmbedding = "matrix",
    ):
        self.points = points
        self.translations = translations
        self.table = table
        self.dim = points.dim
        self.element_dim = points.size + translations * points.dim
        self.algebra_dim = points.algebra_dim + translations * points.dim
        self.orbit_dim = 0 if translations else points.orbit_dim
        self.lifts = points.fixed if table is None else table
        if translations and table is None and points.size > 0:
            self.lifts = None
        self.num_lifts = None if self.lifts is None else len(self.lifts)
        self.embedding = resolve_embedding(embedding, self)
        self.pair_dim = self.embedding.dim(self)
        # What depends on a pair linearly is computed per element, not per pair.
        self.pair_is_difference = (
            translations and points.size == 0 and self.embedding.keeps_translations
        )

    def split(self, g: Tensor) -> tuple[Tensor, Tensor]:
        """The linear part and the translation (no columns where there is none)."""
        return g[..., : self.points.size], g[..., self.points.size :]

    def identity(self, like: Tensor) -> Tensor:
        """The identity, ``[element_dim]``, of the type and device of ``like``."""
        zero = like.new_zeros(self.element_dim - self.points.size)
        return torch.cat([self.points.identity(like), zero])

    def mul(self, g: Tensor, h: Tensor) -> Tensor:
        """The product ``g h``: first ``h``, then ``g``."""
        (a, s), (b, t) = self.split(g), self.split(h)
        linear = self.points.multiply(a, b)
        if not self.translations:
            return linear
        return torch.cat([linear, s + self.points.act(a, t)], dim=-1)

    def inv(self, g: Tensor) -> Tensor:
        """The inverse."""
        a, s = self.split(g)
        a = self.points.inverse(a)
        if not self.translations:
            return a
        return torch.cat([a, -self.points.act(a, s)], dim=-1)

    def act(self, g: Tensor, x: Tensor) -> Tensor:
        """Moves points ``[*, dim]``."""
        a, s = self.split(g)
        x = self.points.act(a, x)
        return x + s if self.translations else x

    def between(self, g_i: Tensor, g_j: Tensor) -> Tensor:
        """The element ``g_j^-1 g_i``, which does not change when both are moved."""
        (a, s), (b, t) = self.split(g_i), self.split(g_j)
        b = self.points.inverse(b)
        linear = self.points.multiply(b, a)
        if not self.translations:
            return linear
        return torch.cat([linear, self.points.act(b, s - t)], dim=-1)

    def pair(self, g_i: Tensor, g_j: Tensor) -> Tensor:
        """The embedding of ``g_j^-1 g_i``, ``[*, pair_dim]``."""
        with without_autocast(g_i):  # rotations would be rounded
            return self.embedding(self, self.between(g_i, g_j))

    def pairs(self, g_i: Tensor, g_j: Tensor) -> Tensor:
        """All pairs of ``[G, r, *]`` and ``[G, n, *]``, ``[G, r, n, pair_dim]``."""
        with without_autocast(g_i):
            return self.embedding.outer(self, g_i, g_j)

    def exp(self, omega: Tensor) -> Tensor:
        """From the Lie algebra ``[*, algebra_dim]``: linear part, then translation."""
        omega, t = omega.split(
            [self.points.algebra_dim, self.algebra_dim - self.points.algebra_dim], -1
        )
        if self.translations:
            t = self.points.jacobian(omega, t)
        return torch.cat([self.points.exp(omega), t], dim=-1)

    def log(self, g: Tensor) -> Tensor:
        """The inverse of :meth:`exp`, of the proper part where there are reflections.

        The angle is at most π, and jumps there; derivatives are finite elsewhere. A
        half turn has two logarithms, of which one is chosen, the same in spite of
        rounding.
        """
        a, t = self.split(g)
        omega = self.points.log(a)
        if self.translations:
            t = self.points.inverse_jacobian(omega, t)
        return torch.cat([omega, t], dim=-1)

    def distance(self, g_i: Tensor, g_j: Tensor, *, alpha: float = 0.2) -> Tensor:
        """How far two elements are apart, ``[*]``; it does not change by a motion.

        Args:
            g_i: Elements.
            g_j: Elements.
            alpha: The weight of the angle; that of the translation is ``1 - alpha``.
                Without translations the distance is the angle, and conversely.
        """
        a, t = self.split(self.between(g_i, g_j))
        if not self.translations:
            return self.points.distance(a)
        shift = norm(t).squeeze(-1)
        if self.points.size == 0:
            return shift
        return alpha * self.points.distance(a) + (1 - alpha) * shift

    def random(
        self,
        n: int,
        generator: torch.Generator | None = None,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | None = None,
    ) -> Tensor:
        """Draws ``[n, element_dim]``: Haar-uniform, with normal translations."""
        options: dict[str, Any] = {
            "generator": generator,
            "dtype": dtype,
            "device": device,
        }
        shift = torch.randn(n, self.element_dim - self.points.size, **options)
        if self.table is not None:
            rows = torch.randint(
                len(self.table), (n,), generator=generator, device=device
            )
            return torch.cat([self.table.to(shift)[rows], shift], dim=-1)
        u = torch.rand(n, self.points.num_uniform, **options)
        return torch.cat([self.points.haar(u), shift], dim=-1)

    def rep(self, irreps: object, g: Tensor) -> Tensor:
        """The representation of ``irreps``, block-diagonal, ``[*, D, D]``.

        Args:
            irreps: e3nn's ``Irreps`` or their string, such as ``'2x0e + 1x1o'``; in
                the plane, degrees above 0 have two components.
            g: Elements; translations do not matter.
        """
        a, _ = self.split(g)
        blocks = [
            self.points.wigner(degree, parity, a)
            for multiplicity, degree, parity in irreps_blocks(irreps)
            for _ in range(multiplicity)
        ]
        size = sum(block.size(-1) for block in blocks)
        out, start = a.new_zeros(*a.shape[:-1], size, size), 0
        for block in blocks:
            end = start + block.size(-1)
            out[..., start:end, start:end] = block
            start = end
        return out

    def irreps_dim(self, irreps: object) -> int:
        """The components of a feature of these irreps."""
        return sum(
            multiplicity * self.points.degree_dim(degree)
            for multiplicity, degree, _ in irreps_blocks(irreps)
        )

    def lift(
        self,
        pos: Tensor,
        set_index: SetIndex | None = None,
        k: int | None = None,
        generator: torch.Generator | None = None,
        *,
        frames: Frames = "node",
        fixed: bool = False,
    ) -> LiftedSet:
        r"""Elements :math:`g` with :math:`g o = x` for every point :math:`x`.

        Where the stabiliser of the origin is finite, all of it is taken, or ``k`` of
        it; otherwise it is sampled from Haar's measure, each sample uniform alone and
        the samples of a node spread out together.

        Args:
            pos: Points ``[N, dim]``.
            set_index: The layout of the points; one set by default.
            k: The elements of each point (default: 1, or all).
            generator: Where samples are drawn from.
            frames: ``'node'``, or ``'set'`` for linear parts shared by a set, which is
                the choice of a random orientation of the whole set.
            fixed: Take the same well-spread samples always. By node they go by the
                place of a node in its set.

        Raises:
            ValueError: If ``pos`` has not the dimension, ``k`` is more than a finite
                stabiliser has, or ``frames`` is unknown.
        """
        if pos.dim() != 2 or pos.size(1) != self.dim:
            raise ValueError(
                f"'pos' must be points [N, {self.dim}] for {self}, got "
                f"{list(pos.shape)}"
            )
        if frames not in ("node", "set"):
            raise ValueError(f"'frames' must be 'node' or 'set', got {frames!r}")
        count = self.count_lifts(k)
        if set_index is None:
            set_index = SetIndex.build(num_elements=len(pos), device=pos.device)
        node, layout = lift_layout(set_index, count)
        places = pos.repeat_interleave(count, 0) if count > 1 else pos
        samples = self._linear_parts(set_index, pos, count, frames, generator, fixed)
        if self.translations:
            g = torch.cat([samples, places], dim=-1)
        else:
            g = self.points.multiply(self.points.from_pole(places), samples)
        orbit = self.points.orbit(places) if self.orbit_dim else places[:, :0]
        return LiftedSet(g, orbit, node, layout, pos, set_index, self, count)

    def count_lifts(self, k: int | None) -> int:
        """How many elements a point gets where ``k`` are asked for.

        Raises:
            ValueError: If that is not possible.
        """
        if k is None:
            return self.num_lifts or 1
        if k < 1 or (self.num_lifts is not None and k > self.num_lifts):
            most = "" if self.num_lifts is None else f" and at most {self.num_lifts}"
            raise ValueError(f"'k' must be positive{most} for {self}, got {k}")
        return k

    def _linear_parts(
        self,
        sets: SetIndex,
        pos: Tensor,
        count: int,
        frames: Frames,
        generator: torch.Generator | None,
        fixed: bool,
    ) -> Tensor:
        """The linear parts of a lift before the points are moved to their places."""
        if self.num_lifts == count and self.lifts is not None:
            return self.lifts.to(pos).repeat(len(pos), 1)
        points, dims = self.points, 1
        if self.lifts is None:
            dims = points.num_uniform if self.translations else points.num_uniform_fixed
        # Half precision has no more than some hundred different numbers here.
        like = pos.new_empty(0, dtype=accumulator(pos.dtype))
        u = lift_uniforms(sets, like, count, dims, frames, generator, fixed)
        u = u.flatten(0, 1)
        if self.lifts is not None:
            last = len(self.lifts) - 1
            number = (u[:, 0] * len(self.lifts)).long().clamp(max=last)
            return self.lifts.to(pos)[number]
        drawn = points.haar(u) if self.translations else points.fix_pole(u)
        return drawn.to(pos.dtype)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"
