r"""The norm and the tanh of a layer, with the way back: plain, and by fused kernels.

The Jacobian of the norm :math:`n = (a - \bar a)\, s`, with :math:`s = 1 /
\sqrt{\mathrm{var}(a) + \epsilon}`, is symmetric: :math:`v \mapsto s\,(v - \bar v - n\,
\overline{n v})` serves tangents and cotangents alike.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..ragged import SetIndex, gather
from .chain import Affine, Layer

EPS = 1e-5  # that of torch.nn.LayerNorm
tanh_backward = torch.ops.aten.tanh_backward


class PlainActivation(NamedTuple):
    """In differentiable operations."""

    t: Tensor
    normal: Tensor
    scale: Tensor
    layer: Layer

    @classmethod
    def of(cls, layer: Layer, h: Tensor, y: Tensor, sets: SetIndex) -> PlainActivation:
        """The activation of ``layer`` on ``h``."""
        a = layer.main(h, y, sets)
        centred = a - a.mean(-1, keepdim=True)
        scale = (centred.square().mean(-1, keepdim=True) + EPS).rsqrt()
        normal = centred * scale
        t = (layer.gamma * normal + layer.beta).tanh()
        return cls(t, normal, scale, layer)

    def pull(self, grad: Tensor) -> Tensor:
        """The cotangent of the layer's ``main``, for ``grad`` of ``t``."""
        v = self.layer.gamma * (grad * (1 - self.t.square()))
        along = (v * self.normal).mean(-1, keepdim=True)
        return self.scale * (v - v.mean(-1, keepdim=True) - self.normal * along)


class FusedActivation(NamedTuple):
    r"""In kernels that have no derivatives, some of them in place.

    :math:`\tanh z = 2 \sigma(2 z) - 1`, since the kernel of the sigmoid is several
    times faster; in float32 it is off by 1e-7 at most.
    """

    t: Tensor
    a: Tensor
    mean: Tensor
    scale: Tensor
    layer: Layer

    @classmethod
    def of(cls, layer: Layer, h: Tensor, y: Tensor, sets: SetIndex) -> FusedActivation:
        """The activation of ``layer`` on ``h``."""
        a = apply_map(layer.main, h, y, sets).add_(layer.main.constant)
        z, mean, scale = torch.native_layer_norm(
            a, a.shape[1:], 2 * layer.gamma, 2 * layer.beta, EPS
        )
        return cls(z.sigmoid_().mul_(2).sub_(1), a, mean, scale, layer)

    @property
    def normal(self) -> Tensor:
        """The normalised rows, a fresh tensor."""
        return torch.sub(self.a, self.mean).mul_(self.scale)

    def pull(self, grad: Tensor) -> Tensor:
        """The cotangent of the layer's ``main``, for ``grad`` of ``t``."""
        v = tanh_backward(grad, self.t)
        return self._norm_backward(v, self.layer.gamma, self.layer.beta)

    def jacobian(self, v: Tensor) -> Tensor:
        """The Jacobian of the norm, times ``v``."""
        return self._norm_backward(v, None, None)

    def _norm_backward(
        self, v: Tensor, gamma: Tensor | None, beta: Tensor | None
    ) -> Tensor:
        only_input = [True, False, False]
        return torch.ops.aten.native_layer_norm_backward(
            v, self.a, v.shape[1:], self.mean, self.scale, gamma, beta, only_input
        )[0]


def apply_map(affine: Affine, h: Tensor, y: Tensor, sets: SetIndex) -> Tensor:
    """What ``affine`` makes of ``h`` and ``y``, without its constant; a new tensor."""
    if affine.from_y is None:
        return h @ affine.weight.t()
    return gather(y @ affine.from_y.t(), sets).addmm_(h, affine.weight.t())
