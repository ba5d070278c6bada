"""From PyG's tensors of any shape to rows of elements, and back."""

from __future__ import annotations

from math import prod

from torch import Tensor

from .set_index import SetIndex


def element_count(x: Tensor, dim: int = -2) -> int:
    """The number of elements of ``x`` along ``dim``.

    Raises:
        ValueError: If ``dim`` is the channel dimension.
    """
    if x.dim() < 2 or dim % x.dim() == x.dim() - 1:
        raise ValueError(
            f"'dim' must be a dimension before the channels (the last), got dim "
            f"{dim} of an input of shape {list(x.shape)}"
        )
    return x.size(dim)


def fold(x: Tensor, sets: SetIndex, dim: int = -2) -> tuple[Tensor, SetIndex]:
    """Lays elements along rows, so that an operator sees ``[N, C]`` only.

    Every dimension other than ``dim`` and the channels is a batch of its own: the
    heads of ``[N, H, C]`` become ``H`` times as many sets.

    Args:
        x: ``[*, C]`` with elements on ``dim``.
        sets: The layout along ``dim``.
        dim: The dimension of the elements.

    Returns:
        The rows and their layout.

    Raises:
        ValueError: If ``dim`` is the channel dimension.
    """
    element_count(x, dim)
    if x.dim() == 2:
        return x, sets
    x = x.movedim(dim, -2)
    return x.reshape(-1, x.size(-1)), sets.repeat(prod(x.shape[:-2]))


def unfold(rows: Tensor, like: Tensor, dim: int = -2) -> Tensor:
    """Undoes :func:`fold` for rows of sets or elements.

    Args:
        rows: What the operator returned for the folded ``like``.
        like: The input before it was folded.
        dim: The dimension of the elements.

    Returns:
        ``rows`` in the shape of ``like``, with its own number of rows on ``dim`` and
        its own channels.
    """
    if like.dim() == 2:
        return rows
    batch = like.movedim(dim, -2).shape[:-2]
    each = rows.size(0) // max(prod(batch), 1)
    # Contiguous, as PyG's convolutions go on with `view`.
    return rows.view(*batch, each, rows.size(-1)).movedim(-2, dim).contiguous()
