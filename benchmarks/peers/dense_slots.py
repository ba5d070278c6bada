"""Slot Attention as layers for dense batches are written: padded, masked, projected."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import GRUCell, LayerNorm, Linear


class DenseSlots(torch.nn.Module):
    """The maths and the state of ``SlotAttention`` on batches ``[B, L, C]``.

    What it does not do makes the difference: it computes keys and values, works on
    padding, and leaves all intermediate results to autograd.
    """

    def __init__(
        self,
        in_channels: int,
        slot_channels: int,
        num_iterations: int = 3,
        hidden_channels: int = 128,
        eps: float = 1e-8,
    ):
        super().__init__()
        self.num_iterations = num_iterations
        self.eps = eps
        self.norm_in = LayerNorm(in_channels)
        self.norm_slots = LayerNorm(slot_channels, bias=False)
        self.norm_mlp = LayerNorm(slot_channels)
        self.lin_q = Linear(slot_channels, slot_channels, bias=False)
        self.lin_k = Linear(in_channels, slot_channels, bias=False)
        self.lin_v = Linear(in_channels, slot_channels, bias=False)
        self.gru = GRUCell(slot_channels, slot_channels)
        self.lin_hidden = Linear(slot_channels, hidden_channels)
        self.lin_out = Linear(hidden_channels, slot_channels)

    def forward(self, x: Tensor, mask: Tensor, slots: Tensor) -> Tensor:
        """Maps ``[B, L, C]``, of which ``mask`` ``[B, L, 1]`` holds, from ``slots``."""
        x = self.norm_in(x)
        k, v = self.lin_k(x), self.lin_v(x)
        scale = slots.size(-1) ** -0.5
        for _ in range(self.num_iterations):
            q = self.lin_q(self.norm_slots(slots))
            share = (k @ q.transpose(1, 2) * scale).softmax(-1)
            share = (share + self.eps) * mask
            weight = share / share.sum(1, keepdim=True)
            read = weight.transpose(1, 2) @ v
            slots = self.gru(read.flatten(0, 1), slots.flatten(0, 1)).view_as(slots)
            slots = slots + self.lin_out(self.lin_hidden(self.norm_mlp(slots)).relu())
        return slots
