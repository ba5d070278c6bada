"""The average precision of objects that were predicted as a set."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..ragged import SetIndex


def average_precision(
    confidence: Tensor, distance: Tensor, sets: SetIndex, threshold: float
) -> float:
    r"""Scores the predictions of a whole batch by the objects that they find.

    By falling confidence, a prediction finds the nearest object of its set that agrees
    with it, if it lies within the threshold and no prediction before found it; else it
    is a false alarm. The result is the area under precision over recall, the precision
    made monotone. The protocol of the `"Slot Attention"
    <https://arxiv.org/abs/2006.15055>`_ paper, for any kind of object.

    Args:
        confidence: How sure each prediction is of being an object, ``[B, K]``.
        distance: From each object to the predictions of its set, ``[M, K]``, infinite
            where a discrete attribute differs.
        sets: The layout of the objects, sorted.
        threshold: The farthest distance that counts as found; may be infinite.

    Returns:
        The average precision, from 0 to 1; NaN if there are no objects.

    Raises:
        ValueError: If shapes do not fit.

    Example:
        >>> sets = SetIndex.build(ptr=torch.tensor([0, 1, 2]))
        >>> distance = torch.tensor([[0.1, torch.inf], [0.3, 0.2]])
        >>> confidence = torch.tensor([[0.9, 0.4], [0.8, 0.7]])
        >>> average_precision(confidence, distance, sets, threshold=0.2)
        0.8333...
    """
    if confidence.dim() != 2 or confidence.size(0) != sets.num_sets:
        raise ValueError(
            f"'confidence' must be [{sets.num_sets}, K], got {list(confidence.shape)}"
        )
    num_predictions = confidence.size(1)
    if distance.shape != (sets.num_elements, num_predictions):
        raise ValueError(
            f"'distance' must be [{sets.num_elements}, {num_predictions}], got "
            f"{list(distance.shape)}"
        )
    sets.require_sorted("'average_precision'")
    if sets.num_elements == 0:
        return float("nan")
    found = _find(distance.detach().cpu(), sets, threshold)
    order = confidence.detach().flatten().cpu().argsort(descending=True, stable=True)
    by_confidence = found.flatten()[order].numpy()
    objects, rank = np.unique(by_confidence, return_index=True)
    # Ranks of the predictions that were the first to find their object.
    rank = np.sort(rank[objects >= 0])
    precision = np.arange(1, len(rank) + 1) / (rank + 1)
    monotone = np.maximum.accumulate(precision[::-1])
    return float(monotone.sum() / sets.num_elements)


def _find(distance: Tensor, sets: SetIndex, threshold: float) -> Tensor:
    """The object that each prediction finds, ``[B, K]``; -1 for none."""
    found = torch.full((sets.num_sets, distance.size(1)), -1)
    for number, start, end in sets.spans():
        least, nearest = distance[start:end].min(dim=0)
        hit = least.isfinite() & (least <= threshold)
        found[number, hit] = start + nearest[hit]
    return found
