"""What a trained autoencoder finds in scenes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Batch

from pyg_setops.metrics import adjusted_rand_index
from pyg_setops.ragged import SetIndex, gather, segment_max

from .autoencoder import Decoded, SlotAutoencoder
from .merging import merge_slots


@dataclass(frozen=True)
class Scores:
    """What a trained network reaches on test scenes.

    Attributes:
        rand: Adjusted Rand indices ``[B]`` by rule: ``'masks'``, ``'attention'`` and
            ``'merged'`` with the slots of training and no more; ``'masks, given'`` and
            ``'attention, given'`` with the true number of each scene; and ``'merged,
            given'`` with the slots of training, merged to the true number.
        used: The clusters of a scene by the masks, and after merging, on average.
        error: The mean square error of the colours.
    """

    rand: dict[str, Tensor]
    used: tuple[float, float]
    error: float


class Clusters(NamedTuple):
    """The cluster of each point, ``[N]``, by several rules.

    Attributes:
        mask: The slot with the largest mask: the usual rule.
        attention: The slot with the largest attention.
        merged: The slot with the largest attention, overlapping slots merged.
        error: The mean square error of the colours.
    """

    mask: Tensor
    attention: Tensor
    merged: Tensor
    error: float


@torch.no_grad()
def find_clusters(
    network: SlotAutoencoder, batch: Batch, num_slots: int, until: float | Tensor
) -> Clusters:
    """Looks at scenes with as many slots each, merged by overlap or to a number."""
    decoded = network(batch, num_slots)
    attention = largest(decoded, decoded.attention)
    sets = SetIndex.build(ptr=batch.ptr)
    objects = merge_slots(decoded.attention.view(-1, num_slots), sets, until)
    return Clusters(
        largest(decoded, decoded.mask),
        attention,
        objects[sets.index, attention],
        float((decoded.colour - batch.x).square().mean()),
    )


@torch.no_grad()
def measure(
    network: SlotAutoencoder, test: Batch, num_slots: int, threshold: float
) -> Scores:
    """Scores with so many slots for each scene, and with its true number."""
    found = find_clusters(network, test, num_slots, threshold)
    given = network(test, test.count)
    rand = {
        "masks": found.mask,
        "attention": found.attention,
        "merged": found.merged,
        "masks, given": largest(given, given.mask),
        "attention, given": largest(given, given.attention),
        "merged, given": find_clusters(network, test, num_slots, test.count).merged,
    }
    used = [
        torch.stack([test.batch, each]).unique(dim=1).size(1) / test.num_graphs
        for each in (found.mask, found.merged)
    ]
    return Scores(
        {rule: score(test, clusters) for rule, clusters in rand.items()},
        (used[0], used[1]),
        found.error,
    )


def largest(decoded: Decoded, share: Tensor) -> Tensor:
    """The slot of each point that has the largest share of it, ``[N]``."""
    points = decoded.points
    most = share == gather(segment_max(share, points), points)
    slot = torch.zeros_like(points.sizes)
    slot[points.index[most]] = decoded.slot[most]
    return slot


def score(batch: Batch, clusters: Tensor) -> Tensor:
    """The adjusted Rand index of each scene, ``[B]``."""
    return adjusted_rand_index(batch.y, clusters, SetIndex.build(ptr=batch.ptr))


def by_count(batch: Batch, values: Tensor) -> dict[int, float]:
    """The mean of a value of each scene, by the number of its objects."""
    counts = batch.count.unique().tolist()
    return {count: float(values[batch.count == count].mean()) for count in counts}
