"""Any module as an energy."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import Module, Parameter
from torch.nn.functional import softplus
from torch_geometric.nn.inits import reset

from ..ragged import SetIndex, gather, segment_mean, segment_sum
from ..ragged.precision import accumulator
from ..solvers import Objective
from .energy import Energy


class ModuleEnergy(Energy):
    r"""The energy of a module :math:`F`, whose gradient is left to autograd.

    .. math::
        E(y) = \frac1n \sum_i F(x_i, y) + \mathrm{softplus}(\lambda) \lVert y \rVert^2

    Slower than an energy with a gradient of its own. Nothing is known of its convexity.

    Args:
        module: :math:`F`, called with elements ``[N, in_channels]`` and the ``y`` of
            each element's set, ``[N, out_channels]``; returns ``[N]``.
        in_channels: The width of the elements.
        out_channels: The width of ``y``.
        scale: ``'mean'``, or ``'sum'`` over the set.
        lamb: The first :math:`\lambda`.
    """

    def __init__(
        self,
        module: Module,
        in_channels: int,
        out_channels: int,
        scale: Literal["mean", "sum"] = "mean",
        lamb: float = 0.1,
    ):
        super().__init__(in_channels, out_channels)
        if scale not in ("mean", "sum"):
            raise ValueError(f"'scale' must be 'mean' or 'sum', got {scale!r}")
        self.module = module
        self.scale = scale
        self.initial_lamb = lamb
        self.lamb = Parameter(torch.full((1,), lamb))

    def reset_parameters(self) -> None:
        """Draws all weights anew."""
        reset(self.module)
        with torch.no_grad():
            self.lamb.fill_(self.initial_lamb)

    def bind(self, x: Tensor, sets: SetIndex) -> Objective:
        """Fixes the elements ``[N, in_channels]``, leaving a function of ``y``."""
        return _ModuleObjective(self, x, sets)

    def extra_repr(self) -> str:
        """The arguments that no submodule shows."""
        return f"scale={self.scale!r}"


class _ModuleObjective(Objective):
    def __init__(self, energy: ModuleEnergy, x: Tensor, sets: SetIndex):
        self._energy = energy
        # Autograd, which the gradient needs, refuses tensors made for inference.
        self._x = x.clone() if x.is_inference() else x
        self._sets = sets
        self._occupied = sets.sizes > 0

    @property
    def occupied(self) -> Tensor:
        return self._occupied

    def start(self) -> Tensor:
        dtype = accumulator(self._x.dtype)
        return self._x.new_zeros(
            self._sets.num_sets, self._energy.out_channels, dtype=dtype
        )

    def value(self, y: Tensor) -> Tensor:
        energy, sets = self._energy, self._sets
        each = energy.module(self._x, gather(y.to(self._x.dtype), sets))
        if each.shape != self._x.shape[:1]:
            raise ValueError(
                f"'energy' must map {self._x.size(0)} elements to as many numbers, got "
                f"an output of shape {list(each.shape)}"
            )
        pool = segment_sum if energy.scale == "sum" else segment_mean
        weight = softplus(energy.lamb.to(y.dtype))
        return pool(each.to(y.dtype), sets) + weight * y.square().sum(1)

    def grad(self, y: Tensor) -> Tensor:
        return torch.func.grad(lambda rows: self.value(rows).sum())(y)
