"""The adjusted Rand index of every set of a batch."""

from __future__ import annotations

import torch
from torch import Tensor

from ..ragged import SetIndex, segment_sum


def adjusted_rand_index(true: Tensor, predicted: Tensor, sets: SetIndex) -> Tensor:
    r"""Compares two clusterings of each set, whatever their clusters are called.

    With :math:`c(t) = t (t - 1) / 2` pairs among :math:`t` elements, :math:`n_{kl}`
    elements in true cluster :math:`k` and predicted cluster :math:`l`, and
    :math:`r = \sum_k c(n_{k\cdot})`, :math:`q = \sum_l c(n_{\cdot l})`,

    .. math::
        \mathrm{ARI} = \frac{\sum_{kl} c(n_{kl}) - e}{(r + q) / 2 - e}, \qquad
        e = \frac{r q}{c(n)} :

    1 for equal clusterings, 0 on average for random ones. From `"Comparing partitions"
    <https://doi.org/10.1007/BF01908075>`_. For the foreground index of the literature
    on objects, leave the elements of the background out.

    Args:
        true: The true cluster of each element, integers ``[N]``.
        predicted: Its predicted cluster, integers ``[N]``.
        sets: The layout, in any order.

    Returns:
        The index of each set, ``[B]``, float64; 1 where either clustering leaves no
        choice (no pairs, all of one cluster in both, or all alone in both).

    Raises:
        ValueError: If the clusterings are not one integer for each element.

    Cost:
        :math:`O(N \log N)` time and :math:`O(N)` memory, however many clusters.

    Example:
        >>> sets = SetIndex.build(ptr=torch.tensor([0, 4, 6]))
        >>> true = torch.tensor([0, 0, 1, 1, 0, 1])
        >>> adjusted_rand_index(true, torch.tensor([5, 5, 2, 2, 1, 1]), sets)
        tensor([1., 0.], dtype=torch.float64)
    """
    for name, labels in {"true": true, "predicted": predicted}.items():
        if labels.shape != sets.index.shape or labels.is_floating_point():
            raise ValueError(
                f"'{name}' must be integers [{sets.num_elements}], got {labels.dtype} "
                f"{list(labels.shape)}"
            )
    rows, columns = _cells(sets.index, true), _cells(sets.index, predicted)
    both = _pairs(_cells(rows, predicted), sets)
    r, q = _pairs(rows, sets), _pairs(columns, sets)
    chance = r * q / _choose(sets.sizes).clamp(min=1)
    most = (r + q) / 2
    no_choice = most == chance
    return torch.where(
        no_choice, 1, (both - chance) / torch.where(no_choice, 1, most - chance)
    )


def _cells(a: Tensor, b: Tensor) -> Tensor:
    """Numbers the combinations of two labels that occur: one number an element."""
    a, b = (labels.unique(return_inverse=True)[1] for labels in (a, b))
    width = b.max() + 1 if b.numel() > 0 else 1
    return (a * width + b).unique(return_inverse=True)[1]


def _pairs(cells: Tensor, sets: SetIndex) -> Tensor:
    """The pairs of elements of each set that share a cell, ``[B]``."""
    count = cells.bincount()
    # Each of a cell's t elements stands for (t - 1) / 2 pairs.
    return segment_sum((count[cells] - 1).double() / 2, sets)


def _choose(count: Tensor) -> Tensor:
    return count.double() * (count - 1) / 2
