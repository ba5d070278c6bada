"""The objective of the energies that are chains."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from ..ragged import SetIndex
from ..solvers import Objective
from .activation import PlainActivation
from .chain import Chain, chain_gradient, chain_value
from .chain_function import cut, fused_gradient, is_fusible


class ChainObjective(Objective):
    r"""A chain :math:`F` over the elements, and what is quadratic in ``y`` beside it.

    .. math::
        E_b(y) = s_b \sum_{i \in b} F_i(y) + w_b |y|^2 + k_b \cdot y + e_b

    Args:
        chain: :math:`F`.
        sets: The layout of its elements, by :func:`arrange`.
        scale: :math:`s`, ``[B, 1]``.
        weight: :math:`w`, ``[B, 1]``.
        slope: :math:`k`, ``[B, Y]``.
        offset: :math:`e`, ``[B]``.
    """

    def __init__(
        self,
        chain: Chain,
        sets: SetIndex,
        scale: Tensor,
        weight: Tensor,
        slope: Tensor,
        offset: Tensor | float = 0.0,
    ):
        dtype = slope.dtype
        self.chain = tree_map(lambda tensor: _cast(tensor, dtype), chain)
        self.sets = sets
        self.scale = scale
        self.weight = weight
        self.slope = slope
        self.offset = offset
        self.parts = cut(self.chain, sets) if is_fusible(slope) else None

    @property
    def occupied(self) -> Tensor:
        """Which sets have elements, ``[B]``."""
        return self.sets.sizes > 0

    def start(self) -> Tensor:
        """Zeros, ``[B, Y]``."""
        return torch.zeros_like(self.slope)

    def value(self, y: Tensor) -> Tensor:
        """The energy of each set, ``[B]``."""
        beside = self.weight * y.square() + self.slope * y
        each = chain_value(self.chain, y, self.sets, PlainActivation.of)
        return self.scale.squeeze(1) * each + beside.sum(1) + self.offset

    def grad(self, y: Tensor) -> Tensor:
        """The gradient of each set's energy in its ``y``, ``[B, Y]``."""
        if self.parts is None or not is_fusible(y):
            grad = chain_gradient(self.chain, y, self.sets, PlainActivation.of)
        else:
            grad = fused_gradient(self.chain, y, self.sets, self.parts)
        return self.scale * grad + 2 * self.weight * y + self.slope


def arrange(x: Tensor, sets: SetIndex) -> tuple[Tensor, SetIndex]:
    """Lays sets one after another where they are to be taken in blocks."""
    if x.device.type != "cpu" or not is_fusible(x):
        return x, sets
    sets, order = sets.sorted()
    return x if order is None else x[order], sets


def _cast(tensor: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    return None if tensor is None else tensor.to(dtype)
