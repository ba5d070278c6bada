"""Networks that name the digits of a scene."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import Linear, Module
from torch_geometric.data import Batch, Data
from torch_geometric.nn import MLP, MeanAggregation, RGCNConv

from pyg_setops import SlotAttention
from pyg_setops.datasets import DigitScenes
from pyg_setops.models import AttentionReadout, InducedSetTransformer
from pyg_setops.transforms import RadiusEdges

NUM_ANSWERS, NUM_CLASSES, CHANNELS = 6, 10, 64
PIXELS = 3  # how far a convolution looks
OFFSETS = [
    (x, y)
    for x, y in product(range(-PIXELS, PIXELS + 1), repeat=2)
    if 0 < x * x + y * y <= PIXELS * PIXELS
]


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


class PixelAnswers(NamedTuple):
    """What each pixel says of the digit that it is of.

    Attributes:
        center: Where that digit is, in sides of a digit's image, ``[N, 2]``.
        label: The logits of its class, ``[N, 10]``.
    """

    center: Tensor
    label: Tensor


def connect(scenes: list[Data]) -> None:
    """Adds the edges between near pixels, and the number of each one's offset."""
    side = DigitScenes.canvas * 8 - 1
    RadiusEdges((PIXELS + 0.1) / side).connect(scenes)
    number = torch.full((2 * PIXELS + 1, 2 * PIXELS + 1), -1)
    for place, (x, y) in enumerate(OFFSETS):
        number[x, y] = place  # negative ones count from the end
    for scene in scenes:
        source, target = scene.edge_index
        x, y = ((scene.pos[source] - scene.pos[target]) * side).round().long().t()
        scene.edge_type = number[x, y]


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
    """Two convolutions over the pixels that are there, a readout, and an answer for
    each part.

    A convolution has a matrix for each offset between two pixels, as on a full image.

    Args:
        readout: Maps elements and ``ptr`` to ``[B, K, C]``.
    """

    def __init__(self, readout: Module):
        super().__init__()
        self.near = RGCNConv(1, CHANNELS // 2, len(OFFSETS))
        self.far = RGCNConv(CHANNELS // 2, CHANNELS, len(OFFSETS))
        self.place = MLP([CHANNELS + 2, CHANNELS, CHANNELS], norm=None)
        self.pixel = Linear(CHANNELS, 2 + NUM_CLASSES)
        self.readout = readout
        self.answer = MLP([CHANNELS, CHANNELS, 1 + 2 + NUM_CLASSES], norm=None)

    def forward(self, batch: Batch) -> tuple[Answers, PixelAnswers]:
        """Maps connected scenes to their answers, and to those of their pixels."""
        middle = DigitScenes.canvas / 2
        side = DigitScenes.canvas * batch.pos  # in images
        x = self.near(batch.x, batch.edge_index, batch.edge_type)
        x = self.far(x.relu(), batch.edge_index, batch.edge_type)
        x = self.place(torch.cat([x.relu(), side - middle], dim=1))
        answer = self.answer(self.readout(x, batch.ptr))
        present, center, label = answer.split([1, 2, NUM_CLASSES], dim=2)
        own, name = self.pixel(x).split([2, NUM_CLASSES], dim=1)
        answers = Answers(present.squeeze(2), middle + center, label)
        return answers, PixelAnswers(middle + own, name)


def make_finder(readout: Callable[[], Module]) -> DigitFinder:
    """A network, untrained."""
    return DigitFinder(readout())
