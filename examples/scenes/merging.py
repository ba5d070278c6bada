"""Slots that hold the same points are one object."""

from __future__ import annotations

import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from pyg_setops.ragged import SetIndex, segment_outer


def merge_slots(shares: Tensor, sets: SetIndex, threshold: float) -> Tensor:
    r"""Joins the slots of a scene that share their points evenly.

    The overlap of two slots is the cosine of what they hold,
    :math:`\sum_i A_{ik} A_{il} / \sqrt{\sum_i A_{ik}^2 \sum_i A_{il}^2}`: 0 if no point
    is torn between them, 1 if all are. Slots are joined where it exceeds the threshold,
    and where a chain of others joins them.

    Args:
        shares: How each point is shared, ``[N, K]``.
        sets: The scenes.
        threshold: The overlap.

    Returns:
        The number of the object that each slot is part of, ``[B, K]``; numbers differ
        between scenes.
    """
    num_sets, num_slots = sets.num_sets, shares.size(1)
    product = segment_outer(shares, shares, sets)
    norm = product.diagonal(dim1=1, dim2=2).sqrt().clamp(min=1e-9)
    overlap = product / (norm[:, :, None] * norm[:, None, :])
    scene, a, b = (overlap > threshold).nonzero().T.numpy()
    size = num_sets * num_slots
    joined = coo_array(
        ([True] * len(a), (scene * num_slots + a, scene * num_slots + b)), (size, size)
    )
    _, objects = connected_components(joined, directed=False)
    return torch.from_numpy(objects).long().view(num_sets, num_slots)
