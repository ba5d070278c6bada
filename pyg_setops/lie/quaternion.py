"""Unit quaternions ``(w, x, y, z)`` on the last dimension.

e3nn's conversions from matrices are imprecise near the identity and have no gradient
there; these are exact, with derivatives of any order.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .series import ROUNDING, arc, cosine, sinc


def multiply(p: Tensor, q: Tensor) -> Tensor:
    """The product: first ``q``, then ``p``."""
    a, u = p[..., :1], p[..., 1:]
    b, v = q[..., :1], q[..., 1:]
    w = a * b - (u * v).sum(-1, keepdim=True)
    return torch.cat([w, a * v + b * u + cross(u, v)], dim=-1)


def conjugate(q: Tensor) -> Tensor:
    """The inverse of a unit quaternion."""
    return torch.cat([q[..., :1], -q[..., 1:]], dim=-1)


def rotate(q: Tensor, x: Tensor) -> Tensor:
    """Rotates vectors ``[*, 3]``."""
    w, v = q[..., :1], q[..., 1:]
    t = 2 * cross(v, x)
    return x + w * t + cross(v, t)


def matrix(q: Tensor) -> Tensor:
    """The rotation matrices ``[*, 3, 3]``."""
    w, x, y, z = q.unbind(-1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def exp(omega: Tensor) -> Tensor:
    """The rotation by the angle ``|omega|`` about the axis ``omega``, ``[*, 3]``."""
    s = omega.square().sum(-1, keepdim=True) / 4
    return torch.cat([cosine(s), sinc(s) * omega / 2], dim=-1)


def log(q: Tensor) -> Tensor:
    """The inverse of :func:`exp`, of length up to π.

    A half turn has two; which is taken does not depend on rounding.
    """
    q = torch.where(_is_upper(q), q, -q)
    w, v = q[..., :1], q[..., 1:]
    return 2 * arc(v.square().sum(-1, keepdim=True), w) * v


def _is_upper(q: Tensor) -> Tensor:
    """Whether the first number that is not zero, but for rounding, is positive."""
    sign = torch.where(q.abs() > ROUNDING * torch.finfo(q.dtype).eps, q.sign(), 0)
    return (sign * sign.new_tensor([8.0, 4, 2, 1])).sum(-1, keepdim=True) >= 0


def from_uniform(u: Tensor) -> Tensor:
    """Haar-uniform rotations from three uniform numbers in [0, 1), Shoemake's way."""
    a, b = (1 - u[..., 0]).sqrt(), u[..., 0].sqrt()
    alpha, beta = 2 * math.pi * u[..., 1], 2 * math.pi * u[..., 2]
    parts = [b * beta.cos(), a * alpha.sin(), a * alpha.cos(), b * beta.sin()]
    return torch.stack(parts, dim=-1)


def from_pole(x: Tensor) -> Tensor:
    """The shortest rotation from the z axis to the direction of ``x``, ``[*, 3]``.

    At zero it is the identity; opposite to the pole, where every half turn is
    shortest, the one about the x axis.
    """
    r = x.square().sum(-1, keepdim=True)
    zero = r == 0
    u = torch.where(zero, 0, x) / torch.where(zero, 1, r).sqrt()
    a, b, c = u[..., :1], u[..., 1:2], u[..., 2:]
    rho = a.square() + b.square()
    # 1 + c, without cancellation in the lower half.
    s = torch.where(c < 0, rho / (1 - c.clamp(max=0)), 1 + c)
    length = s.square() + rho
    opposite = length == 0
    q = torch.cat([s, -b, a, torch.zeros_like(a)], dim=-1)
    q = torch.where(zero, q.new_tensor([1.0, 0, 0, 0]), q)
    length = torch.where(zero | opposite, 1, length)
    q = torch.where(opposite & ~zero, q.new_tensor([0.0, 1, 0, 0]), q)
    return q / length.sqrt()


def cross(u: Tensor, v: Tensor) -> Tensor:
    """The cross product; `torch.linalg.cross` does not broadcast under vmap."""
    a, b, c = u.unbind(-1)
    d, e, f = v.unbind(-1)
    return torch.stack([b * f - c * e, c * d - a * f, a * e - b * d], dim=-1)
