"""Uniform numbers for lifts: drawn, or spread out evenly and always the same."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ..ragged import SetIndex

Frames = Literal["node", "set"]


def lift_uniforms(
    sets: SetIndex,
    like: Tensor,
    count: int,
    num_uniform: int,
    frames: Frames = "node",
    generator: torch.Generator | None = None,
    fixed: bool = False,
) -> Tensor:
    """Uniform numbers in [0, 1) for the lifts of every node.

    A node's numbers are a lattice of ``count`` points, shifted: each is uniform alone,
    and together they lie far apart. The shifts are drawn or, with ``fixed``, the
    points of a low-discrepancy sequence, by the place of the node in its set.

    Args:
        sets: The layout of the nodes.
        like: A tensor of the type and on the device that is wanted.
        count: The lifts of a node.
        num_uniform: The numbers of a lift.
        frames: Whether a shift is a node's own, or shared by its set.
        generator: Where shifts are drawn from.
        fixed: Whether they are not drawn.

    Returns:
        ``[N, count, num_uniform]``.
    """
    exact = _generators(num_uniform)
    alpha = exact.to(like)
    step = torch.arange(count, dtype=like.dtype, device=like.device)
    lattice = step[:, None] * alpha
    if num_uniform > 0:
        lattice[:, 0] = step / count
    rows = sets.num_sets if frames == "set" else sets.num_elements
    if not fixed:
        shift = torch.rand(
            rows,
            num_uniform,
            generator=generator,
            dtype=like.dtype,
            device=like.device,
        )
    elif frames == "set":
        shift = torch.full_like(alpha, 0.5).expand(rows, -1)
    else:
        # Far along the sequence, single precision has no digits for the fraction.
        shift = (0.5 + _places(sets)[:, None] * exact.to(like.device)).frac().to(like)
    if frames == "set":
        shift = shift[sets.index]
    u = (shift[:, None] + lattice).frac()
    # Rounding may give 1 for the fraction of a number just below.
    return torch.where(u < 1, u, 0)


def _places(sets: SetIndex) -> Tensor:
    """The place of every element in its set, in any order of the sets."""
    ordered, order = sets.sorted()
    if order is None:
        return ordered.position
    return torch.empty_like(order).index_copy(0, order, ordered.position)


def _generators(dim: int) -> Tensor:
    """The steps of the additive sequence of ``dim`` dimensions.

    Powers of the inverse of the root of :math:`x^{d + 1} = x + 1`, which generalise
    the golden ratio.
    """
    root = 2.0
    for _ in range(60):
        root = (1 + root) ** (1 / (dim + 1))
    powers = [root**-power for power in range(1, dim + 1)]
    return torch.tensor(powers, dtype=torch.float64)
