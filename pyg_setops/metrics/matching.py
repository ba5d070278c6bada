"""The cheapest matching of objects to the predictions of their set."""

from __future__ import annotations

import torch
from torch import Tensor

from ..ragged import SetIndex


def match(cost: Tensor, sets: SetIndex) -> Tensor:
    r"""Gives each object of a set a prediction of its own, at the least total cost.

    The matching of the Hungarian loss: compute all costs on the objects' side, match,
    and take the cost of the matched pairs, ``cost[arange(M), match(cost, sets)]``.

    Args:
        cost: What it costs to match an object with each prediction of its set,
            ``[M, K]``; gradients are not followed.
        sets: The layout of the objects, sorted.

    Returns:
        The number of the prediction of each object, ``[M]`` int64. Where a set has
        more than :math:`K` objects, those left over get -1.

    Raises:
        ValueError: If the objects of a set do not lie together, or costs are NaN or
            not one row for each object.
        ImportError: If SciPy is missing.

    Cost:
        On the host, :math:`O(m K \min(m, K))` for a set of :math:`m` objects.

    Example:
        >>> cost = torch.tensor([[0.0, 1.0], [0.1, 9.0], [2.0, 1.0]])
        >>> match(cost, SetIndex.build(ptr=torch.tensor([0, 2, 3])))
        tensor([1, 0, 1])
    """
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError as error:
        raise ImportError(
            "match needs SciPy: pip install 'pyg-setops[train]'"
        ) from error
    sets.require_sorted("'match'")
    if cost.dim() != 2 or cost.size(0) != sets.num_elements:
        raise ValueError(
            f"'cost' must be [{sets.num_elements}, K], got {list(cost.shape)}"
        )
    if cost.isnan().any():
        raise ValueError("'cost' must not hold NaN")
    on_host = cost.detach().cpu().double().numpy()
    chosen = torch.full((cost.size(0),), -1)
    for _, start, end in sets.spans():
        rows, columns = linear_sum_assignment(on_host[start:end])
        chosen[start + torch.from_numpy(rows)] = torch.from_numpy(columns)
    return chosen.to(cost.device)
