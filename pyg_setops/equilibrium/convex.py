"""An energy with one minimum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor
from torch.nn import Linear, Parameter
from torch.nn.functional import linear, softplus

from ..ragged import SetIndex, gather, segment_sum
from ..ragged.precision import accumulator
from ..solvers import HessianProduct, Objective
from .energy import Energy
from .sigmoid_sums import Layout, lay_out, sigmoid_moments, sigmoid_sums

Scale = Literal["mean", "sum", "log"]

# Keeps the energy strictly convex, whatever is learned.
LEAST_CURVATURE = 1e-3


class ConvexEnergy(Energy):
    r"""A sum of softplus units: strictly convex in ``y``, with any function of ``x``.

    .. math::
        E(y) = s_n \sum_i \Big[ \sum_k a_k\,\mathrm{softplus}(w_k h_i + u_k y + c_k)
        - (V x_i)^\top y \Big] + \frac{\lambda}{2} \lVert y \rVert^2, \qquad
        h_i = \sigma(A x_i + b),

    with :math:`a_k, \lambda > 0`. Its Hessian
    :math:`U^\top \mathrm{diag}(a\, d)\, U + \lambda I` costs nothing per element once
    the gradient is known. Without units it is the mean (or sum) of :math:`V x_i`.

    Args:
        in_channels: The width of the elements.
        out_channels: The width of ``y``.
        hidden_channels: The number of units; ``None`` takes twice ``out_channels``.
        lift_channels: The width of :math:`h`; ``None`` takes half of
            ``in_channels``, at least 32.
        scale: :math:`s_n` for a set of :math:`n`: ``'mean'`` is :math:`1/n`,
            ``'sum'`` is 1, ``'log'`` is :math:`\log_2(n + 1)/n`.

    Cost:
        Two products per element, once; then, for each step of a solver, one sigmoid
        per element and unit.
    """

    has_curvature = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden_channels: int | None = None,
        lift_channels: int | None = None,
        scale: Scale = "mean",
    ):
        super().__init__(in_channels, out_channels)
        if scale not in get_args(Scale):
            raise ValueError(f"'scale' must be one of {get_args(Scale)}, got {scale!r}")
        self.scale = scale
        hidden = 2 * out_channels if hidden_channels is None else hidden_channels
        lift = max(32, in_channels // 2) if lift_channels is None else lift_channels
        self.lin_lift = Linear(in_channels, lift)
        self.lin_x = Linear(lift, hidden, bias=False)
        self.lin_out = Linear(in_channels, out_channels, bias=False)
        self.lin_y = Linear(out_channels, hidden)
        self.raw_amplitude = Parameter(torch.empty(hidden))
        self.raw_curvature = Parameter(torch.empty(1))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws all weights anew."""
        for layer in (self.lin_lift, self.lin_x, self.lin_out, self.lin_y):
            layer.reset_parameters()
        torch.nn.init.normal_(self.lin_y.weight, std=self.out_channels**-0.5)
        torch.nn.init.zeros_(self.raw_amplitude)
        torch.nn.init.zeros_(self.raw_curvature)

    def bind(self, x: Tensor, sets: SetIndex) -> ConvexObjective:
        """Fixes the elements ``[N, in_channels]``, leaving a function of ``y``."""
        dtype = accumulator(x.dtype)
        y_weight, y_bias = self.lin_y.weight.to(dtype), self.lin_y.bias.to(dtype)
        x, layout = lay_out(x, sets, y_bias.nbytes)
        scale = _scale(self.scale, sets.sizes[:, None].to(dtype))
        total = segment_sum(x.to(dtype), layout.sets) * scale
        return ConvexObjective(
            layout,
            scale,
            # Where autocast is on, it is for these products.
            units=self.lin_x(self.lin_lift(x).sigmoid_()).to(dtype),
            linear=self.lin_out(total.to(x.dtype)).to(dtype),
            y_weight=y_weight,
            y_bias=y_bias,
            amplitude=softplus(self.raw_amplitude.to(dtype)),
            ridge=softplus(self.raw_curvature.to(dtype)) + LEAST_CURVATURE,
        )

    def extra_repr(self) -> str:
        """The arguments that no submodule shows."""
        return f"scale={self.scale!r}"


@dataclass(frozen=True)
class ConvexObjective(Objective):
    r"""A :class:`ConvexEnergy` of given sets.

    Attributes:
        layout: The layout of the elements.
        scale: :math:`s`, ``[B, 1]``.
        units: :math:`w_k h_i`, ``[N, H]``.
        linear: :math:`s \sum_i V x_i`, ``[B, Y]``.
        y_weight: :math:`U`, ``[H, Y]``.
        y_bias: :math:`c`, ``[H]``.
        amplitude: :math:`a`, ``[H]``.
        ridge: :math:`\lambda`, ``[1]``.
    """

    has_curvature: ClassVar[bool] = True

    layout: Layout
    scale: Tensor
    units: Tensor
    linear: Tensor
    y_weight: Tensor
    y_bias: Tensor
    amplitude: Tensor
    ridge: Tensor

    def start(self) -> Tensor:
        """Zeros, ``[B, Y]``."""
        return torch.zeros_like(self.linear)

    @property
    def occupied(self) -> Tensor:
        """Which sets have elements, ``[B]``."""
        return self.layout.sets.sizes > 0

    def detach(self) -> ConvexObjective:
        """The same, constant in all but ``y``."""
        return ConvexObjective(
            self.layout,
            self.scale,
            self.units.detach(),
            self.linear.detach(),
            self.y_weight.detach(),
            self.y_bias.detach(),
            self.amplitude.detach(),
            self.ridge.detach(),
        )

    def value(self, y: Tensor) -> Tensor:
        """The energy of each set, ``[B]``."""
        sets = self.layout.sets
        each = softplus(self.units + gather(self._shift(y), sets))
        data = (segment_sum(each, sets) * self.scale) @ self.amplitude
        return data - (self.linear * y).sum(1) + self.ridge / 2 * y.square().sum(1)

    def grad(self, y: Tensor) -> Tensor:
        """The gradient in ``y``, ``[B, Y]``."""
        return self._grad(y, sigmoid_sums(self.units, self._shift(y), self.layout))

    def curvature(self, y: Tensor) -> tuple[Tensor, HessianProduct]:
        """The gradient, and the product of each set's Hessian with a vector."""
        total, slope = sigmoid_moments(self.units, self._shift(y), self.layout)
        with torch.no_grad():
            diagonal = self.amplitude * self.scale * slope

        def product(v: Tensor) -> Tensor:
            units = (v @ self.y_weight.t()) * diagonal
            return torch.addcmul(units @ self.y_weight, self.ridge, v)

        return self._grad(y, total), product

    def _shift(self, y: Tensor) -> Tensor:
        return linear(y, self.y_weight, self.y_bias)

    def _grad(self, y: Tensor, total: Tensor) -> Tensor:
        # In this order, what is kept for backward is one row per set.
        weight = self.amplitude[:, None] * self.y_weight
        return (self.scale * total) @ weight - self.linear + self.ridge * y


def _scale(scale: Scale, sizes: Tensor) -> Tensor:
    """The factor of each set's data, ``[B, 1]``; that of an empty one is finite."""
    if scale == "sum":
        return torch.ones_like(sizes)
    mean = 1 / sizes.clamp(min=1)
    return mean if scale == "mean" else (sizes + 1).log2() * mean
