"""Networks that name the digits of a scene."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import Linear, Module
from torch_geometric.data import Batch
from torch_geometric.nn import MLP, MeanAggregation, PointNetConv

from pyg_setops import SlotAttention
from pyg_setops.datasets import DigitScenes
from pyg_setops.models import AttentionReadout, InducedSetTransformer

NUM_ANSWERS, NUM_CLASSES, CHANNELS = 6, 10, 64


class Answers(NamedTuple):
    """What is said of scenes.

    Attributes:
        present: The logit of whether an answer means anything, ``[B, K]``.
        center: Where the digit is, in sides of a digit's image, ``[B, K, 2]``.
        label: The logits of the classes, ``[B, K, 10]``.
    """

    present: Tensor
    center: Tensor
    label: Tensor


class Slots(Module):
    """A vector for each slot."""

    def __init__(self, **arguments: object):
        super().__init__()
        self.attention = SlotAttention(CHANNELS, CHANNELS, NUM_ANSWERS, **arguments)

    def forward(self, x: Tensor, ptr: Tensor) -> Tensor:
        """Maps elements ``[N, C]`` to ``[B, K, C]``."""
        return self.attention(x, ptr=ptr)


class Seeds(Module):
    """A block of induced attention, and a vector for each seed."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = InducedSetTransformer(CHANNELS, CHANNELS, CHANNELS, 1, 16)
        self.readout = AttentionReadout(CHANNELS, CHANNELS, NUM_ANSWERS)

    def forward(self, x: Tensor, ptr: Tensor) -> Tensor:
        """Maps elements ``[N, C]`` to ``[B, K, C]``."""
        return self.readout(self.encoder(x, ptr=ptr), ptr=ptr)


class Mean(Module):
    """The mean, and a perceptron that makes it as many vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = MeanAggregation()
        self.mlp = MLP([CHANNELS, 2 * CHANNELS, NUM_ANSWERS * CHANNELS], norm=None)

    def forward(self, x: Tensor, ptr: Tensor) -> Tensor:
        """Maps elements ``[N, C]`` to ``[B, K, C]``."""
        return self.mlp(self.mean(x, ptr=ptr)).unflatten(1, (NUM_ANSWERS, CHANNELS))


class DigitFinder(Module):
    """Convolutions among neighbouring pixels, a readout, and an answer for each part.

    Args:
        readout: Maps elements and ``ptr`` to ``[B, K, C]``.
    """

    def __init__(self, readout: Module):
        super().__init__()
        self.near = PointNetConv(MLP([3, 32, 32], norm=None))
        self.far = PointNetConv(Linear(32 + 2, CHANNELS))
        self.place = MLP([CHANNELS + 2, CHANNELS, CHANNELS], norm=None)
        self.readout = readout
        self.answer = MLP([CHANNELS, CHANNELS, 1 + 2 + NUM_CLASSES], norm=None)

    def forward(self, batch: Batch) -> Answers:
        """Maps scenes with edges between near pixels to their answers."""
        side = DigitScenes.canvas * batch.pos  # in images
        x = self.near(batch.x, side, batch.edge_index)
        x = self.far(x.relu(), side, batch.edge_index)
        x = self.place(torch.cat([x.relu(), side - DigitScenes.canvas / 2], dim=1))
        answer = self.answer(self.readout(x, batch.ptr))
        present, center, label = answer.split([1, 2, NUM_CLASSES], dim=2)
        return Answers(present.squeeze(2), DigitScenes.canvas / 2 + center, label)


def make_finder(readout: Callable[[], Module]) -> DigitFinder:
    """A network, untrained."""
    return DigitFinder(readout())
