"""Rotations, reflections and scalings of the plane, as complex numbers."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .point_group import PointGroup
from .series import ROUNDING, cotangent, norm, sinc, versine


class Planar(PointGroup):
    r"""Rotations ``(cos, sin)``, with a sign after them where there are reflections.

    An element maps :math:`x` to :math:`z x` or, with sign -1, to :math:`z \bar x`.

    Args:
        reflections: Whether there are.
    """

    dim = 2
    algebra_dim = 1

    def __init__(self, reflections: bool = False):
        self.has_reflections = reflections
        self.size = 2 + reflections
        self.num_uniform = 1 + reflections
        self.num_uniform = 1 + reflections
        self.unit = (1.0, 0.0, 1.0)[: self.size]
        signs = [1.0, -1.0] if reflections else [1.0]
        rows = [(1.0, 0.0, sign)[: self.size] for sign in signs]
        self.fixed = torch.tensor(rows, dtype=torch.float64)

    def multiply(self, a: Tensor, b: Tensor) -> Tensor:
        """Complex numbers, the second conjugated after a reflection."""
        return torch.cat([self.act(a, b[..., :2]), a[..., 2:] * b[..., 2:]], dim=-1)

    def inverse(self, a: Tensor) -> Tensor:
        """The conjugate; a reflection is its own."""
        s = -a[..., 1:2] * self.sign(a)
        return torch.cat([a[..., :1], s, a[..., 2:]], dim=-1)

    def act(self, a: Tensor, x: Tensor) -> Tensor:
        """Complex multiplication."""
        c, s = a[..., :1], a[..., 1:2]
        u, v = x[..., :1], x[..., 1:2] * self.sign(a)
        return torch.cat([c * u - s * v, s * u + c * v], dim=-1)

    def matrix(self, a: Tensor) -> Tensor:
        """Rotation matrices, the second column turned by a reflection."""
        return self._power(a, 1)

    def entries(self, a: Tensor) -> Tensor:
        """The parameters."""
        return a

    def exp(self, omega: Tensor) -> Tensor:
        """The rotation by an angle."""
        parts = [omega.cos(), omega.sin()]
        if self.has_reflections:
            parts.append(torch.ones_like(omega))
        return torch.cat(parts, dim=-1)

    def log(self, a: Tensor) -> Tensor:
        """The angle, from -π to π; of half a turn π, whatever rounding says."""
        angle = torch.atan2(a[..., 1:2], a[..., :1])
        least = ROUNDING * torch.finfo(a.dtype).eps - math.pi
        return torch.where(angle < least, angle + 2 * math.pi, angle)

    def sign(self, a: Tensor) -> Tensor:
        """The last parameter, or 1."""
        return a[..., 2:] if self.has_reflections else torch.ones_like(a[..., :1])

    def jacobian(self, omega: Tensor, t: Tensor) -> Tensor:
        """Turns a tangent into a chord."""
        s = omega.square()
        return _combine(sinc(s), omega * versine(s), t)

    def inverse_jacobian(self, omega: Tensor, t: Tensor) -> Tensor:
        """Turns a chord into a tangent."""
        s = omega.square()
        return _combine(1 - s * cotangent(s), -omega / 2, t)

    def haar(self, u: Tensor) -> Tensor:
        """A uniform angle, and the sign of a coin."""
        angle = 2 * math.pi * u[..., :1]
        parts = [angle.cos(), angle.sin()]
        if self.has_reflections:
            parts.append(1 - 2 * (u[..., 1:] >= 0.5).to(u.dtype))
        return torch.cat(parts, dim=-1)

    def from_pole(self, x: Tensor) -> Tensor:
        """The rotation of the x axis to ``x``; the identity at zero."""
        length = norm(x)
        zero = length == 0
        z = torch.where(
            zero, x.new_tensor([1.0, 0.0]), x / torch.where(zero, 1, length)
        )
        return torch.cat([z, torch.ones_like(z[..., : self.size - 2])], dim=-1)

    def degree_dim(self, degree: int) -> int:
        """1 for scalars, else 2."""
        return min(degree + 1, 2)

    def wigner(self, degree: int, parity: int, a: Tensor) -> Tensor:
        """The rotation by a multiple of the angle."""
        sign = self.sign(a)[..., None] if parity != (-1) ** degree else 1
        if degree == 0:
            return torch.ones_like(a[..., :1, None]) * sign
        return self._power(a, degree) * sign

    def _power(self, a: Tensor, degree: int) -> Tensor:
        z = power = a[..., :2]
        for _ in range(degree - 1):
            power = _combine(z[..., :1], z[..., 1:], power)
        c, s = power[..., :1], power[..., 1:]
        sign = self.sign(a)
        return torch.stack(
            [torch.cat([c, s], dim=-1), torch.cat([-s * sign, c * sign], dim=-1)],
            dim=-1,
        )


class ScaledPlanar(Planar):
    """Rotations with scalings: complex numbers other than zero."""

    algebra_dim = 2
    orbit_dim = 0

    def __init__(self) -> None:
        super().__init__()
        self.num_uniform = 2

    def inverse(self, a: Tensor) -> Tensor:
        """The conjugate over the squared length."""
        return super().inverse(a) / a.square().sum(-1, keepdim=True)

    def exp(self, omega: Tensor) -> Tensor:
        """From a logarithm of the scale and an angle."""
        return omega[..., :1].exp() * super().exp(omega[..., 1:])

    def log(self, a: Tensor) -> Tensor:
        """The logarithm of the scale, and the angle."""
        scale = a.square().sum(-1, keepdim=True).log() / 2
        return torch.cat([scale, super().log(a)], dim=-1)

    def haar(self, u: Tensor) -> Tensor:
        """Uniform angles, and scales from 1/e to e: there is no uniform scale."""
        return (2 * u[..., 1:] - 1).exp() * super().haar(u)

    def from_pole(self, x: Tensor) -> Tensor:
        """The point itself; the identity at zero, which is not in the orbit."""
        zero = (x == 0).all(-1, keepdim=True)
        return torch.where(zero, x.new_tensor([1.0, 0.0]), x)

    def wigner(self, degree: int, parity: int, a: Tensor) -> Tensor:
        """That of the rotation."""
        return super().wigner(degree, parity, a / norm(a))


def _combine(c: Tensor, s: Tensor, t: Tensor) -> Tensor:
    u, v = t[..., :1], t[..., 1:]
    return torch.cat([c * u - s * v, s * u + c * v], dim=-1)
