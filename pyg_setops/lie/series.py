r"""Scalar functions of :math:`s = \theta^2` that are smooth at :math:`\theta = 0`.

Each is a power series near zero and a closed form elsewhere, both evaluated on
arguments that are safe for them, so that derivatives of any order are finite and
right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import factorial

import torch
from torch import Tensor

# Below this the series serve; eight terms of them are then exact in float64, and
# above it the closed forms lose no more than a few digits in second derivatives.
_NEAR = 0.25
_TERMS = range(8)

#: What a few products of elements may lose, in units of the last place of 1.
ROUNDING = 16


def _alternating(offset: int) -> list[float]:
    """The coefficients of ``sum (-1)^k s^k / (2k + offset)!``."""
    return [(-1) ** k / factorial(2 * k + offset) for k in _TERMS]


_COS, _SIN, _VERSINE, _EXCESS = (_alternating(offset) for offset in range(4))
# |B_2k| / (2k)!, with Bernoulli numbers.
_COT = [
    bernoulli / factorial(2 * k + 2)
    for k, bernoulli in enumerate(
        [1 / 6, 1 / 30, 1 / 42, 1 / 30, 5 / 66, 691 / 2730, 7 / 6, 3617 / 510]
    )
]


def cosine(s: Tensor) -> Tensor:
    r""":math:`\cos\theta`."""
    return _even(s, _COS, torch.cos)


def sinc(s: Tensor) -> Tensor:
    r""":math:`\sin\theta / \theta`."""
    return _even(s, _SIN, lambda a: a.sin() / a)


def versine(s: Tensor) -> Tensor:
    r""":math:`(1 - \cos\theta) / \theta^2`."""
    return _even(s, _VERSINE, lambda a: (1 - a.cos()) / a.square())


def excess(s: Tensor) -> Tensor:
    r""":math:`(\theta - \sin\theta) / \theta^3`."""
    return _even(s, _EXCESS, lambda a: (a - a.sin()) / a.pow(3))


def cotangent(s: Tensor) -> Tensor:
    r""":math:`(1 - \frac\theta2 \cot\frac\theta2) / \theta^2`, for angles up to 2π."""
    return _even(s, _COT, lambda a: (1 - a / 2 / (a / 2).tan()) / a.square())


def arc(s: Tensor, w: Tensor) -> Tensor:
    r""":math:`\operatorname{atan2}(\sqrt s, w) / \sqrt s` for :math:`w \ge 0`."""
    near = s < 0.02 * w.square()
    w_safe = torch.where(near, w, 1)
    z = torch.where(near, s, 0) / w_safe.square()
    series = _horner(z, [(-1) ** k / (2 * k + 1) for k in range(9)]) / w_safe
    root = torch.where(near, 1, s).sqrt()
    return torch.where(near, series, torch.atan2(root, w) / root)


def norm(x: Tensor) -> Tensor:
    """The length of ``[*, d]``, ``[*, 1]``; at zero, with derivatives of zero."""
    s = x.square().sum(-1, keepdim=True)
    zero = s == 0
    return torch.where(zero, 0, torch.where(zero, 1, s).sqrt())


def _even(
    s: Tensor, coefficients: Sequence[float], direct: Callable[[Tensor], Tensor]
) -> Tensor:
    near = s < _NEAR
    series = _horner(torch.where(near, s, 0), coefficients)
    return torch.where(near, series, direct(torch.where(near, 1, s).sqrt()))


def _horner(z: Tensor, coefficients: Sequence[float]) -> Tensor:
    out = torch.full_like(z, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        out = out * z + coefficient
    return out
