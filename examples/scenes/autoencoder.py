"""An autoencoder whose code is a few slots, on point sets."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import Linear, Module
from torch_geometric.data import Batch
from torch_geometric.nn import MLP

from pyg_setops import SlotAttention
from pyg_setops.ragged import SetIndex, gather, segment_softmax, segment_sum

# The width that places and colours are spread over: with that of [0, 1] the networks
# need several times as many steps before a slot stands for anything.
SCALE = 4.0


class Decoded(NamedTuple):
    """A scene as its slots see it.

    Pairs are each point with each slot of its scene, point by point.

    Attributes:
        colour: The colour that the slots give each point, ``[N, 3]``.
        mask: How much of it is due to the slot, ``[P]``; 1 in sum over a point's pairs.
        attention: How the last iteration shared the points, ``[P]``, likewise.
        points: The pairs of each point.
        slot: The number of the slot in its scene, ``[P]``.
        share: The part of the points of a scene that the masks give a slot, ``[S]``.
        kept: Whether a slot is used, ``[S]``: ones, where nothing selects them.
        scenes: The slots of each scene.
    """

    colour: Tensor
    mask: Tensor
    attention: Tensor
    points: SetIndex
    slot: Tensor
    share: Tensor
    kept: Tensor
    scenes: SetIndex


def centred(x: Tensor) -> Tensor:
    """Places or colours in [0, 1], spread around 0."""
    return SCALE * (x - 0.5)


class SlotAutoencoder(Module):
    """Points to slots, and each slot with a place back to a colour and a mask.

    A network of three layers embeds the points; in the decoder a slot sees the place
    of a point and nothing else of it, and the masks of the slots of a scene are the
    softmax of what they bid.

    Args:
        slots: The slot layer.
        channels: The width of everything.
        anneal: The training steps over which the noise of learned slots falls to 0.
    """

    steps: Tensor

    def __init__(self, slots: SlotAttention, channels: int = 64, anneal: int = 1):
        super().__init__()
        self.encoder = MLP([5, channels, channels, channels], norm=None)
        self.slots = slots
        self.lin_slot = Linear(channels, channels)
        self.lin_pos = Linear(2, channels)
        self.decoder = MLP([channels, channels, 4], norm=None)
        self.anneal = anneal
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def embed(self, batch: Batch) -> Tensor:
        """What the slots see of the points, ``[N, channels]``."""
        return self.encoder(torch.cat([centred(batch.pos), centred(batch.x)], dim=1))

    def attend(self, batch: Batch, num_slots: int) -> list[Tensor]:
        """How each iteration shares the points, ``[N, K]``."""
        *_, attention = self.slots(
            self.embed(batch),
            ptr=batch.ptr,
            num_slots=num_slots,
            return_attention="all",
        )
        return attention

    def forward(self, batch: Batch, num_slots: int | Tensor) -> Decoded:
        """Encodes scenes by ``num_slots`` slots each, or those of each, and decodes."""
        if self.training:
            self.slots.init.sigma = max(0.0, 1 - int(self.steps) / self.anneal)
            self.steps += 1
        sets = SetIndex.build(ptr=batch.ptr)
        if isinstance(num_slots, int):
            num_slots = torch.full_like(batch.ptr[1:], num_slots)
        x = self.embed(batch)
        slots, slot_ptr, *keep, attention = self.slots(
            x, ptr=batch.ptr, num_slots=num_slots, return_attention=True
        )
        kept = keep[0] if keep else slots.new_ones(slots.size(0))
        points = SetIndex.build(ptr=attention.ptr)
        slot = points.position
        pair_slot = gather(slot_ptr[sets.index], points) + slot
        h = self.lin_slot(slots)[pair_slot] + gather(
            self.lin_pos(centred(batch.pos)), points
        )
        said, bid = self.decoder(h.relu()).split([3, 1], dim=1)
        mask = segment_softmax(bid.squeeze(1), points) * kept[pair_slot]
        mask = mask / gather(segment_sum(mask, points), points).clamp(min=1e-6)
        scenes = SetIndex.build(ptr=slot_ptr)
        taken = segment_sum(mask, SetIndex.build(pair_slot, dim_size=slots.size(0)))
        return Decoded(
            segment_sum(mask[:, None] * said, points),
            mask,
            attention.values * kept[pair_slot],
            points,
            slot,
            taken / gather(sets.sizes.clamp(min=1).to(taken), scenes),
            kept,
            scenes,
        )
