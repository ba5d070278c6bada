"""What a batch costs, counted in bytes: nothing is ever padded."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from .sets import RaggedSets, differentiate, evaluate, random_sets

SMALL, LARGE = 64, 512


def assert_memory_linear(
    module: torch.nn.Module,
    sets: RaggedSets,
    slack: float = 1.5,
    in_pairs: bool = False,
) -> None:
    """Asserts that memory grows with the number of elements, and with nothing else.

    Counted are the bytes saved for the backward pass, and the largest tensor made in
    either pass. The batches are many sets of one size, and one giant set beside as
    many singletons as it has elements, where padding or pairs grow quadratically.

    Args:
        module: An aggregation, or a set-to-set layer ``layer(x, index, ptr)``.
        sets: Tells the width and type of the elements.
        slack: The growth allowed, relative to that of the elements.
        in_pairs: Allow memory to grow with the pairs of elements of each set instead,
            as attention's does.

    Raises:
        AssertionError: With the batch, what grew, and by how much.

    Example:
        >>> from pyg_setops.testing import random_sets
        >>> from torch_geometric.nn.aggr import MaxAggregation
        >>> assert_memory_linear(MaxAggregation(), random_sets(channels=4))
    """
    for name, sizes in (
        ("sets of four", lambda count: [4] * count),
        ("one giant set beside singletons", lambda count: [count] + [1] * count),
    ):
        small, large = (
            measure_memory(
                module,
                random_sets(sets.x.size(-1), sizes(count), dtype=sets.x.dtype),
            )
            for count in (SMALL, LARGE)
        )
        unit, power = ("pairs", 2) if in_pairs else ("elements", 1)
        units = _total(sizes(LARGE), power) / _total(sizes(SMALL), power)
        for what in small:
            growth = large[what] / max(small[what], 1)
            if growth > slack * units:
                raise AssertionError(
                    f"With {name}, {units:g} times the {unit} take {growth:.1f} "
                    f"times the {what}: {small[what]:,} bytes became {large[what]:,}"
                )


def measure_memory(module: torch.nn.Module, sets: RaggedSets) -> dict[str, int]:
    """Counts the bytes of one forward and backward pass.

    Args:
        module: What is measured.
        sets: The batch to measure it on.

    Returns:
        ``'bytes saved for backward'``, other than parameters, each storage once, and
        the bytes of the ``'largest tensor'`` that an operation made.

    Example:
        >>> from pyg_setops.testing import random_sets
        >>> from torch_geometric.nn.aggr import SumAggregation
        >>> measure_memory(SumAggregation(), random_sets(4, sizes=[100]))
        {'bytes saved for backward': 800, 'largest tensor': 1600}
    """
    kept = {_storage(parameter) for parameter in module.parameters()}
    saved: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        saved.setdefault(_storage(tensor), tensor)
        return tensor

    def run(x: Tensor, *layout: Any) -> Tensor:
        with torch.autograd.graph.saved_tensors_hooks(pack, _identity):
            return evaluate(module, x, *layout)

    with _LargestTensor() as largest:
        differentiate(run, sets.x, sets.index, None, sets.num_sets)
    total = sum(_bytes(saved[storage]) for storage in saved.keys() - kept)
    return {"bytes saved for backward": total, "largest tensor": largest.bytes}


class _LargestTensor(TorchDispatchMode):
    """Sees every operation, below autograd, and remembers the largest result."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self.bytes = max(self.bytes, _bytes(leaf))
        return out


def _total(sizes: list[int], power: int) -> int:
    return sum(size**power for size in sizes)


def _identity(tensor: Tensor) -> Tensor:
    return tensor


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _bytes(tensor: Tensor) -> int:
    """The bytes behind a tensor: a view that repeats its rows costs nothing."""
    return tensor.untyped_storage().nbytes()
