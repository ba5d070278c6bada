"""How answers are compared with the digits of their scene."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, huber_loss, softplus
from torch_geometric.data import Batch

from pyg_setops.datasets import DigitScenes
from pyg_setops.metrics import average_precision, match
from pyg_setops.ragged import SetIndex, gather, segment_sum

from .finder import Answers, PixelAnswers

# In sides of a digit's image; a canvas is four of them.
THRESHOLDS = (float("inf"), 1.0, 0.5, 0.25, 0.125)


def objects_of(batch: Batch) -> SetIndex:
    """The digits of each scene."""
    ptr = torch.cat([batch.count.new_zeros(1), batch.count.cumsum(0)])
    return SetIndex.build(ptr=ptr)


def matching_loss(answers: Answers, batch: Batch) -> Tensor:
    """The loss of each scene under its best matching, ``[B]``.

    Cross entropy of the class, Huber loss of the place, and cross entropy of whether
    there is anything: an answer that no digit is matched with should say that there is
    nothing, and what a match costs is what it costs more than that.
    """
    digits = objects_of(batch)
    present, center, label = (gather(part, digits) for part in answers)
    truth = DigitScenes.canvas * batch.center[:, None].expand_as(center)
    names = batch.label[:, None, None].expand(-1, label.size(1), 1)
    cost = huber_loss(center, truth, reduction="none").sum(dim=2)
    cost = cost - label.log_softmax(dim=2).gather(2, names).squeeze(2)
    # Of saying that there is something, less that of saying that there is nothing.
    cost = cost + softplus(-present) - softplus(present)
    chosen = match(cost, digits)
    matched = cost.gather(1, chosen[:, None]).squeeze(1)
    return segment_sum(matched, digits) + softplus(answers.present).sum(dim=1)


def pixel_loss(pixels: PixelAnswers, batch: Batch) -> Tensor:
    """Cross entropy and Huber loss of what pixels say, a mean over them."""
    own = objects_of(batch).ptr[batch.batch] + batch.y
    truth = DigitScenes.canvas * batch.center[own]
    away = huber_loss(pixels.center, truth, reduction="none").sum(dim=1).mean()
    return cross_entropy(pixels.label, batch.label[own]) + away


@torch.no_grad()
def evaluate(answers: Answers, batch: Batch) -> tuple[list[float], float]:
    """Average precision at each threshold, and how often the number is right."""
    digits = objects_of(batch)
    truth = DigitScenes.canvas * batch.center[:, None]
    distance = (gather(answers.center, digits) - truth).norm(dim=2)
    agrees = gather(answers.label.argmax(dim=2), digits) == batch.label[:, None]
    distance = torch.where(agrees, distance, torch.inf)
    precision = [
        average_precision(answers.present, distance, digits, threshold)
        for threshold in THRESHOLDS
    ]
    right = (answers.present > 0).sum(dim=1) == batch.count
    return precision, float(right.float().mean())
