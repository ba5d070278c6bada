"""Batches for the tests of slots, and the oracle applied to them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pyg_setops import SlotAttention
from tests.oracles.slots import slot_attention

SIZES = [4, 0, 1, 4, 6, 2]
COUNTS = [2, 1, 0, 3, 1, 2]
CHANNELS, WIDTH = 5, 8


@dataclass
class Batch:
    """Elements in a random order, and slots to start from.

    ``rows`` are the elements set by set; ``x = rows[order]``.
    """

    rows: Tensor
    order: Tensor
    index: Tensor
    counts: list[int]
    start: Tensor

    @property
    def x(self) -> Tensor:
        return self.rows[self.order]


def batch(counts: list[int], channels: int = CHANNELS, width: int = WIDTH) -> Batch:
    index = torch.arange(len(SIZES)).repeat_interleave(torch.tensor(SIZES))
    rows = torch.randn(len(index), channels, dtype=torch.float64, requires_grad=True)
    start = torch.randn(sum(counts), width, dtype=torch.float64, requires_grad=True)
    order = torch.randperm(len(index))
    return Batch(rows, order, index[order], counts, start)


def randomised(layer: SlotAttention) -> SlotAttention:
    """The layer in float64, with no parameter left at 0 or 1."""
    layer = layer.double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return layer


def expected(layer: SlotAttention, given: Batch) -> tuple[Tensor, list[list[Tensor]]]:
    """The oracle's slots ``[S, D]``, and for each iteration the shares by element."""
    weights = dict(layer.named_parameters())
    slots, shares = [], []
    sets = zip(given.rows.split(SIZES), given.start.split(given.counts), strict=True)
    for x, start in sets:
        result, history = slot_attention(
            x,
            start,
            weights,
            layer.num_iterations,
            layer.heads,
            layer.head_mode == "joint",
            layer.eps,
            1.0 if layer.grad == "bilevel" else None,
            attn=layer.attn,
        )
        slots.append(result)
        shares.append(history)
    return torch.cat(slots), [
        [row for history in shares for row in history[number]]
        for number in range(layer.num_iterations)
    ]
