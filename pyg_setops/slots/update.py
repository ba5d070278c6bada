"""What a slot makes of what it has read."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import GRUCell, LayerNorm, Linear
from torch.nn.functional import layer_norm, linear

from .gated import gated_step


class Update:
    r"""A gated step and a residual network, :math:`s' = h + \mathrm{MLP}(h)`.

    Here :math:`h` is a GRU's new state for the state :math:`s`. Its input map is given
    with what it reads, as it takes in the map of the values.

    Args:
        gru: The rest of the GRU.
        norm: The norm before the network.
        layers: The network's linear layers, before and after its relu.
        dtype: The type in which to compute.
    """

    def __init__(
        self,
        gru: GRUCell,
        norm: LayerNorm,
        layers: tuple[Linear, Linear],
        dtype: torch.dtype,
    ):
        self.bias = gru.bias_ih.to(dtype)
        self.own = gru.weight_hh.to(dtype), gru.bias_hh.to(dtype)
        self.norm = norm.weight.to(dtype), norm.bias.to(dtype)
        self.norm_eps = norm.eps
        self.first, self.second = (
            (layer.weight.to(dtype), layer.bias.to(dtype)) for layer in layers
        )

    def __call__(self, read: Tensor, weight: Tensor, slots: Tensor) -> Tensor:
        """The new slots.

        Args:
            read: What the slots read, ``[S, F]``.
            weight: The map from it to the gates, ``[3 D, F]``.
            slots: The slots, ``[S, D]``.
        """
        slots = gated_step(read, slots, weight, self.bias, *self.own)
        hidden = layer_norm(slots, slots.shape[-1:], *self.norm, self.norm_eps)
        return slots + linear(linear(hidden, *self.first).relu_(), *self.second)
