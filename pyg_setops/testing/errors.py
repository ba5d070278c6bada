"""What happens to a batch that is none: a message that helps, and no damage."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy
from torch_geometric.nn.aggr import Aggregation

from .sets import RaggedSets


def assert_errors(aggregation: Aggregation, sets: RaggedSets) -> None:
    """Asserts that a wrong layout is refused by name, and changes nothing.

    Wrong are an index that is negative, too large, fractional, boolean, too short or
    a matrix; a ptr that decreases, is fractional, or does not run from zero to the
    number of elements; an index and ptr that disagree; a ``dim_size`` that is not
    ptr's; and channels as ``dim``. Each raises ``ValueError`` or ``TypeError`` with
    the argument's name, and leaves parameters and buffers as they were.

    Args:
        aggregation: What is tested; it may be one that has not seen an input.
        sets: The batch to spoil: at least two sets, and two elements in the first.

    Raises:
        AssertionError: With the fault and what happened instead.

    Example:
        >>> from pyg_setops.testing import random_sets
        >>> from torch_geometric.nn.aggr import SumAggregation
        >>> assert_errors(SumAggregation(), random_sets(channels=4))
        Traceback (most recent call last):
        AssertionError: A fractional index...
    """
    before = _state(aggregation)
    for fault, (argument, layout) in _faults(sets).items():
        try:
            aggregation(sets.x, **layout)
        except (TypeError, ValueError) as error:
            # 'dim_size' does not name 'dim', nor does 'dimension'.
            if not re.search(rf"\b{argument}\b", str(error)):
                raise AssertionError(
                    f"{fault} is refused without naming '{argument}': {error}"
                ) from error
        except Exception as error:
            kind = type(error).__name__
            raise AssertionError(
                f"{fault} raises {kind} in place of ValueError or TypeError: {error}"
            ) from error
        else:
            raise AssertionError(f"{fault} is not refused")
        changed = [n for n, v in _state(aggregation).items() if not _same(v, before[n])]
        if changed:
            raise AssertionError(f"{fault} is refused, but changes {changed}")


def _faults(sets: RaggedSets) -> dict[str, tuple[str, dict[str, Any]]]:
    """The wrong layouts, and the argument that is to blame for each."""
    index, ptr, count = sets.index, sets.ptr, sets.num_sets
    negative, decreasing, short = index.clone(), ptr.clone(), ptr.clone()
    negative[0] = -1
    decreasing[1] = ptr[-1] + 1
    short[-1] -= 1
    indices = {
        "A fractional index": index.double(),
        "A boolean index": index.bool(),
        "A negative index": negative,
        "An index too large for dim_size": index + count,
        "An index shorter than the elements": index[:-1],
        "A matrix as index": index[:, None],
    }
    ptrs = {
        "A fractional ptr": ptr.double(),
        "A decreasing ptr": decreasing,
        "A ptr that does not end at the number of elements": short,
        "A ptr that does not start at zero": ptr[1:],
        "An empty ptr": ptr[:0],
    }
    return {
        **{
            fault: ("index", {"index": v, "dim_size": count})
            for fault, v in indices.items()
        },
        **{fault: ("ptr", {"ptr": v}) for fault, v in ptrs.items()},
        "An index that disagrees with ptr": (
            "ptr",
            {"index": index.flip(0), "ptr": ptr},
        ),
        "A dim_size other than ptr's": (
            "dim_size",
            {"ptr": ptr, "dim_size": count + 1},
        ),
        "The channels as dim": ("dim", {"index": index, "dim_size": count, "dim": -1}),
    }


def _state(module: torch.nn.Module) -> dict[str, Tensor | None]:
    """Parameters and buffers; ``None`` for one that has no shape, which it may get."""
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return {n: None if is_lazy(t) else t.detach().clone() for n, t in tensors.items()}


def _same(after: Tensor | None, before: Tensor | None) -> bool:
    if after is None or before is None:
        return after is before
    return torch.equal(after, before)
