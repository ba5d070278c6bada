"""Keeping only the slots that a set needs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import Linear, Module
from torch.nn.init import xavier_uniform_, zeros_

from ..ragged import SetIndex, gather, segment_max, segment_sum


class GumbelSelection(Module):
    """Decides for each slot whether it is kept, at least one for each set.

    From the `"Adaptive Slot Attention" <https://arxiv.org/abs/2406.09196>`_ paper. In
    training the decision is drawn, and its gradient is that of the probability; in
    evaluation the likelier one is taken.

    Args:
        channels: The width of a slot.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.lin = Linear(channels, 2)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws all weights anew."""
        xavier_uniform_(self.lin.weight)
        zeros_(self.lin.bias)

    def forward(
        self, slots: Tensor, sets: SetIndex, generator: torch.Generator | None
    ) -> Tensor:
        """Which slots are kept, as ones and zeros.

        Args:
            slots: Slots ``[S, D]``.
            sets: The set of each.
            generator: Draws the decisions.
        """
        logits = self.lin(slots)
        if self.training:
            logits = logits + _gumbel_noise(logits, generator)
        soft = logits.softmax(1)[:, 1]
        margin = (logits[:, 1] - logits[:, 0]).detach()
        hard = (margin > 0).to(soft.dtype)
        # A set that would lose all keeps its best.
        best = margin == gather(segment_max(margin, sets), sets)
        none = gather(segment_sum(hard, sets), sets) == 0
        return torch.where(best & none, 1, hard) + (soft - soft.detach())


def _gumbel_noise(like: Tensor, generator: torch.Generator | None) -> Tensor:
    device = like.device if generator is None else generator.device
    # Of a batched tensor's form, so that `torch.vmap` can draw for each of a batch.
    noise = torch.empty_like(like, dtype=torch.get_default_dtype(), device=device)
    noise.exponential_(generator=generator)
    return -noise.log().to(like)
