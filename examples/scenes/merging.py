"""Slots that hold the same points are one object."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from torch import Tensor

from pyg_setops.ragged import SetIndex, segment_outer


def merge_slots(shares: Tensor, sets: SetIndex, until: float | Tensor) -> Tensor:
    r"""Joins the slots of a scene that share their points evenly.

    The overlap of two slots is the cosine of what they hold,
    :math:`\sum_i A_{ik} A_{il} / \sqrt{\sum_i A_{ik}^2 \sum_i A_{il}^2}`: 0 if no point
    is torn between them, 1 if all are alike. The two that overlap most are joined,
    again and again (average linkage). Slots that win no point are left out.

    Args:
        shares: How each point is shared, ``[N, K]``.
        sets: The scenes, sorted.
        until: The least overlap of what is joined; or the number of objects of each
            scene, ``[B]``.

    Returns:
        The number of the object that each slot is part of, ``[B, K]``; -1 for slots
        that win no point.
    """
    product = segment_outer(shares, shares, sets)
    norm = product.diagonal(dim1=1, dim2=2).sqrt().clamp(min=1e-9)
    overlap = (product / (norm[:, :, None] * norm[:, None, :])).double().numpy()
    winner = shares.argmax(dim=1)
    objects = torch.full((sets.num_sets, shares.size(1)), -1)
    for number, start, end in sets.spans():
        used = winner[start:end].unique()
        distance = 1 - overlap[number][np.ix_(used, used)]
        rule = until if isinstance(until, float) else int(until[number])
        objects[number, used] = torch.from_numpy(_join(distance, rule))
    return objects


def _join(distance: NDArray[np.float64], rule: float | int) -> NDArray[np.int64]:
    """Clusters of slots, by least overlap or by number."""
    if len(distance) == 1:
        return np.zeros(1, dtype=np.int64)
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance.clip(min=0), checks=False), "average")
    if isinstance(rule, float):
        return fcluster(tree, 1 - rule, "distance").astype(np.int64)
    return fcluster(tree, rule, "maxclust").astype(np.int64)
