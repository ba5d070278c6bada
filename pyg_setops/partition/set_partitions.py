"""Partitions of a finite set of points, and the lattice that they form.

A partition is the tuple of the block of each point, blocks numbered as they first
appear: ``(0, 1, 0)`` joins the first and the last of three points.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from math import factorial

import torch
from torch import Tensor

Partition = tuple[int, ...]


@lru_cache
def set_partitions(num_points: int) -> tuple[Partition, ...]:
    """All partitions of so many points, in lexicographic order.

    Their number is Bell's: 1, 1, 2, 5, 15, 52, 203, ...

    Raises:
        ValueError: If ``num_points`` is negative.

    Example:
        >>> set_partitions(3)
        ((0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1), (0, 1, 2))
    """
    if num_points < 0:
        raise ValueError(f"'num_points' must not be negative, got {num_points}")
    partitions: list[Partition] = [()]
    for _ in range(num_points):
        partitions = [
            (*partition, block)
            for partition in partitions
            for block in range(num_blocks(partition) + 1)
        ]
    return tuple(partitions)


def num_blocks(partition: Partition) -> int:
    """The number of blocks.

    Example:
        >>> num_blocks((0, 1, 0))
        2
    """
    return max(partition, default=-1) + 1


def partitions_into(num_points: int, count: int) -> tuple[Partition, ...]:
    """The partitions into so many blocks.

    Example:
        >>> partitions_into(3, 2)
        ((0, 0, 1), (0, 1, 0), (0, 1, 1))
    """
    return tuple(p for p in set_partitions(num_points) if num_blocks(p) == count)


def canonical(labels: Iterable[object]) -> Partition:
    """The partition that joins points of equal labels.

    Example:
        >>> canonical("abca")
        (0, 1, 2, 0)
    """
    names: dict[object, int] = {}
    return tuple(names.setdefault(label, len(names)) for label in labels)


def is_coarser(coarse: Partition, fine: Partition) -> bool:
    """Whether every block of ``fine`` lies in one of ``coarse``.

    Example:
        >>> is_coarser((0, 0, 0), (0, 1, 0)), is_coarser((0, 1, 0), (0, 0, 1))
        (True, False)
    """
    return len(set(zip(fine, coarse, strict=True))) == num_blocks(fine)


def zeta(num_points: int) -> Tensor:
    r"""The matrix that is 1 where the row's partition is finer than the column's.

    :math:`D_\pi = \sum_\sigma \zeta_{\pi\sigma} O_\sigma`: the diagram of a partition
    is the sum of the orbits of all that are as coarse or coarser.

    Returns:
        ``[Bell, Bell]``, in the order of :func:`set_partitions`, float64.
    """
    partitions = set_partitions(num_points)
    entries = [[float(is_coarser(b, a)) for b in partitions] for a in partitions]
    return torch.tensor(entries, dtype=torch.float64)


def moebius(num_points: int) -> Tensor:
    r"""The inverse of :func:`zeta`.

    :math:`O_\pi = \sum_\sigma \mu_{\pi\sigma} D_\sigma` with
    :math:`\mu_{\pi\sigma} = \prod_B (-1)^{c_B - 1} (c_B - 1)!` over the blocks
    :math:`B` of :math:`\sigma`, each of :math:`c_B` blocks of :math:`\pi`.
    """
    partitions = set_partitions(num_points)
    entries = [[_moebius(a, b) for b in partitions] for a in partitions]
    return torch.tensor(entries, dtype=torch.float64)


def _moebius(fine: Partition, coarse: Partition) -> float:
    if not is_coarser(coarse, fine):
        return 0.0
    merged = [target for _, target in set(zip(fine, coarse, strict=True))]
    value = 1
    for block in range(num_blocks(coarse)):
        count = merged.count(block)
        value *= (-1) ** (count - 1) * factorial(count - 1)
    return float(value)


def diagrams_to_orbits(weight: Tensor, num_points: int) -> Tensor:
    r"""The coefficients in the orbit basis of a map given in the diagram basis.

    :math:`\sum_\pi w_\pi D_\pi = \sum_\sigma v_\sigma O_\sigma` with
    :math:`v_\sigma = \sum_{\pi \le \sigma} w_\pi`, the partitions that are as fine or
    finer. An orbit :math:`O_\sigma` is 1 where indices are equal *exactly* within
    blocks; its coefficient is the value of the matrix at such an entry.

    Args:
        weight: A coefficient of any shape for each partition, ``[Bell, *]``, in the
            order of :func:`set_partitions`.
        num_points: The number of points.

    Raises:
        ValueError: If there are not as many coefficients as partitions.

    Example:
        >>> diagrams_to_orbits(torch.tensor([1.0, 10.0]), 2)  # D joined, D apart
        tensor([11., 10.])
    """
    return _change_basis(weight, zeta(num_points))


def orbits_to_diagrams(weight: Tensor, num_points: int) -> Tensor:
    """Undoes :func:`diagrams_to_orbits`.

    Example:
        >>> orbits_to_diagrams(torch.tensor([11.0, 10.0]), 2)
        tensor([ 1., 10.])
    """
    return _change_basis(weight, moebius(num_points))


def _change_basis(weight: Tensor, matrix: Tensor) -> Tensor:
    if weight.size(0) != matrix.size(0):
        raise ValueError(
            f"'weight' must have a row for each of the {matrix.size(0)} partitions, "
            f"got {weight.size(0)}"
        )
    return torch.tensordot(matrix.t().to(weight), weight, dims=1)
