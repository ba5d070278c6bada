"""Rotations and reflections of space, as unit quaternions."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from . import quaternion
from .point_group import PointGroup
from .series import cotangent, excess, versine


class Spatial(PointGroup):
    """Quaternions ``(w, x, y, z)``, with a sign after them where there is inversion.

    Args:
        reflections: Whether there is; an element of sign -1 turns, and inverts.
    """

    dim = algebra_dim = 3
    entries_are_matrix = True

    def __init__(self, reflections: bool = False):
        self.has_reflections = reflections
        self.size = 4 + reflections
        self.num_uniform = 3 + reflections
        self.num_uniform_fixed = 1 + reflections
        self.unit = (1.0, 0.0, 0.0, 0.0, 1.0)[: self.size]

    def multiply(self, a: Tensor, b: Tensor) -> Tensor:
        """Quaternions and signs."""
        q = quaternion.multiply(a[..., :4], b[..., :4])
        return torch.cat([q, a[..., 4:] * b[..., 4:]], dim=-1)

    def inverse(self, a: Tensor) -> Tensor:
        """The conjugate."""
        return torch.cat([quaternion.conjugate(a[..., :4]), a[..., 4:]], dim=-1)

    def act(self, a: Tensor, x: Tensor) -> Tensor:
        """Rotates, and inverts."""
        return self.sign(a) * quaternion.rotate(a[..., :4], x)

    def matrix(self, a: Tensor) -> Tensor:
        """Orthogonal matrices."""
        return self.sign(a)[..., None] * quaternion.matrix(a[..., :4])

    def entries(self, a: Tensor) -> Tensor:
        """The nine entries of the matrix."""
        return self.matrix(a).flatten(-2)

    def exp(self, omega: Tensor) -> Tensor:
        """The rotation about an axis."""
        q = quaternion.exp(omega)
        return torch.cat([q, torch.ones_like(q[..., : self.size - 4])], dim=-1)

    def log(self, a: Tensor) -> Tensor:
        """Axis times angle, up to π."""
        return quaternion.log(a[..., :4])

    def sign(self, a: Tensor) -> Tensor:
        """The last parameter, or 1."""
        return a[..., 4:] if self.has_reflections else torch.ones_like(a[..., :1])

    def jacobian(self, omega: Tensor, t: Tensor) -> Tensor:
        """Turns a tangent into a chord."""
        s = omega.square().sum(-1, keepdim=True)
        turned = quaternion.cross(omega, t)
        twice = quaternion.cross(omega, turned)
        return t + versine(s) * turned + excess(s) * twice

    def inverse_jacobian(self, omega: Tensor, t: Tensor) -> Tensor:
        """Turns a chord into a tangent."""
        s = omega.square().sum(-1, keepdim=True)
        turned = quaternion.cross(omega, t)
        return t - turned / 2 + cotangent(s) * quaternion.cross(omega, turned)

    def haar(self, u: Tensor) -> Tensor:
        """A uniform rotation, and the sign of a coin."""
        parts = [quaternion.from_uniform(u)]
        if self.has_reflections:
            parts.append(1 - 2 * (u[..., 3:] >= 0.5).to(u.dtype))
        return torch.cat(parts, dim=-1)

    def from_pole(self, x: Tensor) -> Tensor:
        """The shortest rotation of the z axis to ``x``."""
        q = quaternion.from_pole(x)
        return torch.cat([q, torch.ones_like(q[..., : self.size - 4])], dim=-1)

    def fix_pole(self, u: Tensor) -> Tensor:
        """A uniform angle about the z axis; on a coin's sign, x is mirrored too."""
        half = math.pi * u[..., :1]
        zero = torch.zeros_like(half)
        turn = torch.cat([half.cos(), zero, zero, half.sin()], dim=-1)
        if not self.has_reflections:
            return turn
        mirror = turn.new_tensor([0.0, 1.0, 0.0, 0.0, -1.0])
        turn = torch.cat([turn, torch.ones_like(zero)], dim=-1)
        mirrored = self.multiply(turn, mirror.expand_as(turn))
        return torch.where(u[..., 1:] >= 0.5, mirrored, turn)

    def degree_dim(self, degree: int) -> int:
        """``2 l + 1``."""
        return 2 * degree + 1

    def wigner(self, degree: int, parity: int, a: Tensor) -> Tensor:
        r"""Wigner's matrices in e3nn's basis.

        A polynomial in the rotation matrix, by
        :math:`D^l = (2 l + 1)\, C^\top (D^1 \otimes D^{l-1})\, C`, so that, unlike by
        way of Euler angles, all derivatives exist and any type is served exactly.
        """
        rotation = quaternion.matrix(a[..., :4])
        out = rotation
        if degree == 0:
            out = torch.ones_like(a[..., :1, None])
        for l in range(2, degree + 1):  # noqa: E741
            c = _coupling(l).to(a)
            out = torch.einsum("abm,...ac,...bd,cdn->...mn", c, rotation, out, c)
        return out if parity == 1 else out * self.sign(a)[..., None]


@torch.compiler.assume_constant_result  # which does not see through a cache
def _coupling(degree: int) -> Tensor:
    """How degrees 1 and ``degree - 1`` couple to ``degree``, norm ``2 degree + 1``."""
    return _clebsch_gordan(degree)


@lru_cache
def _clebsch_gordan(degree: int) -> Tensor:
    from e3nn.o3 import wigner_3j

    c = wigner_3j(1, degree - 1, degree, dtype=torch.float64)
    return c * (2 * degree + 1) ** 0.5
