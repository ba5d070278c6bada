"""How answers are compared with the digits of their scene."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import huber_loss, one_hot
from torch_geometric.data import Batch

from pyg_setops.datasets import DigitScenes
from pyg_setops.metrics import average_precision, match
from pyg_setops.ragged import SetIndex, gather, segment_sum

from .finder import NUM_CLASSES, Answers

# In sides of a digit's image; a canvas is four of them.
THRESHOLDS = (float("inf"), 1.0, 0.5, 0.25, 0.125)


def objects_of(batch: Batch) -> SetIndex:
    """The digits of each scene."""
    ptr = torch.cat([batch.count.new_zeros(1), batch.count.cumsum(0)])
    return SetIndex.build(ptr=ptr)


def huber(answer: Tensor, truth: Tensor) -> Tensor:
    """The Huber loss, summed over the last dimension."""
    loss = huber_loss(answer, truth.expand_as(answer), reduction="none")
    return loss.sum(dim=-1)


def matching_loss(answers: Answers, batch: Batch) -> Tensor:
    """The loss of each scene under its best matching, ``[B]``.

    An answer that no digit is matched with should say that there is nothing: what a
    match costs is what it costs more than that.
    """
    digits = objects_of(batch)
    present, center, label = (gather(part, digits) for part in answers)
    nothing = huber(present[..., None], torch.zeros(1))
    cost = huber(present[..., None], torch.ones(1)) - nothing
    cost = cost + huber(center, batch.center[:, None])
    cost = cost + huber(label, one_hot(batch.label, NUM_CLASSES)[:, None].float())
    chosen = match(cost, digits)
    matched = cost.gather(1, chosen[:, None]).squeeze(1)
    return segment_sum(matched, digits) + huber(answers.present, torch.zeros(1))


@torch.no_grad()
def evaluate(answers: Answers, batch: Batch) -> tuple[list[float], float]:
    """Average precision at each threshold, and how often the number is right."""
    digits = objects_of(batch)
    distance = (gather(answers.center, digits) - batch.center[:, None]).norm(dim=2)
    agrees = gather(answers.label.argmax(dim=2), digits) == batch.label[:, None]
    distance = torch.where(agrees, DigitScenes.canvas * distance, torch.inf)
    precision = [
        average_precision(answers.present, distance, digits, threshold)
        for threshold in THRESHOLDS
    ]
    right = (answers.present > 0.5).sum(dim=1) == batch.count
    return precision, float(right.float().mean())
