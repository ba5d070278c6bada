"""Vectors and tensors into lifted features, and out of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..ragged.precision import without_autocast

if TYPE_CHECKING:
    from .lifted import LiftedSet


def irreps_blocks(irreps: object) -> list[tuple[int, int, int]]:
    """Multiplicity, degree and parity of each part of e3nn's irreps, or their string.

    Raises:
        ValueError: If the string is not one of irreps.
    """
    from e3nn.o3 import Irreps

    return [(mul, ir.l, ir.p) for mul, ir in Irreps(irreps)]


def lift_irreps(x: Tensor, irreps: object, lifted: LiftedSet) -> Tensor:
    r"""Features of points, as each of their frames sees them.

    :math:`f(g) = D(g)^\top F`, which does not change when points, features and lift
    are moved together: vectors become channels for an invariant network.

    Args:
        x: Features of the nodes, ``[N, D]``, in the order of the irreps.
        irreps: e3nn's ``Irreps`` or their string; in the plane, degrees above 0 have
            two components.
        lifted: The lift.

    Returns:
        Features of the lifted elements, ``[M, D]``.

    Raises:
        ValueError: If ``x`` has not the components of the irreps.

    Example:
        >>> from pyg_setops.lie import SE3
        >>> lifted = SE3().lift(torch.randn(5, 3), k=2)
        >>> lift_irreps(torch.randn(5, 4), "1x0e + 1x1o", lifted).shape
        torch.Size([10, 4])
    """
    return _turn(lifted.repeat(x), irreps, lifted, transpose=True)


def back_project(f: Tensor, irreps: object, lifted: LiftedSet) -> Tensor:
    r"""Features of lifted elements, as features of points.

    :math:`F = \frac1k \sum_g D(g) f(g)` over the elements of a point: the inverse of
    :func:`lift_irreps`, and equivariant to motions of points and lift.

    Args:
        f: Invariant features of the lifted elements, ``[M, D]``.
        irreps: What they become; see :func:`lift_irreps`.
        lifted: The lift.

    Returns:
        Features of the nodes, ``[N, D]``.

    Raises:
        ValueError: If ``f`` has not the components of the irreps.
    """
    return lifted.mean(_turn(f, irreps, lifted, transpose=False))


def _turn(x: Tensor, irreps: object, lifted: LiftedSet, transpose: bool) -> Tensor:
    group = lifted.group
    if x.size(-1) != group.irreps_dim(irreps):
        raise ValueError(
            f"features of irreps {irreps} must have {group.irreps_dim(irreps)} "
            f"components under {group}, got {x.size(-1)}"
        )
    linear, _ = group.split(lifted.g)
    parts, start = [], 0
    for multiplicity, degree, parity in irreps_blocks(irreps):
        size = group.points.degree_dim(degree)
        end = start + multiplicity * size
        rows = x[:, start:end].unflatten(1, (multiplicity, size))
        with without_autocast(x):  # rotations would be rounded
            d = group.points.wigner(degree, parity, linear)
            turn = (d if transpose else d.mT).to(torch.promote_types(d.dtype, x.dtype))
            parts.append((rows.to(turn.dtype) @ turn).flatten(1).to(x.dtype))
        start = end
    return torch.cat(parts, dim=-1)
