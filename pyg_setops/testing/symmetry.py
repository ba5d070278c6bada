"""What a set function owes to mathematics: order and company do not matter."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch_geometric.nn.aggr import Aggregation

from .sets import RaggedSets, assert_same, layout, split, value_and_gradient


def assert_permutation_invariant(
    aggregation: Aggregation, sets: RaggedSets, seed: int = 0
) -> None:
    r"""Asserts that the order of a set's elements does not matter.

    .. math::
        f(x_{\pi(1)}, \dots, x_{\pi(n)}) = f(x_1, \dots, x_n)

    Elements move inside their set only, so that the index stays sorted; that any
    other order of the index is understood is for
    :func:`~pyg_setops.testing.assert_index_matches_ptr` to say.

    Args:
        aggregation: What is tested, in the mode (train or eval) that it is in.
        sets: The batch to test with.
        seed: Draws the order.

    Raises:
        AssertionError: If outputs, or gradients moved back, differ.

    Example:
        >>> from pyg_setops.testing import random_sets
        >>> from torch_geometric.nn.aggr import MaxAggregation
        >>> assert_permutation_invariant(MaxAggregation(), random_sets(channels=4))
    """
    order = _order_inside_sets(sets, seed)
    out, gradient = value_and_gradient(
        aggregation, sets.x, sets.index, None, sets.num_sets
    )
    moved, moved_gradient = value_and_gradient(
        aggregation, sets.x[order], sets.index, None, sets.num_sets
    )
    assert_same(moved, out, "The output depends on the order of the elements")
    assert_same(
        moved_gradient,
        gradient[order],
        "The gradient does not move with the elements when their order changes",
    )


def assert_permutation_equivariant(
    layer: torch.nn.Module, sets: RaggedSets, seed: int = 0
) -> None:
    r"""Asserts that a set-to-set layer moves its output rows with its input rows.

    .. math::
        f(x_{\pi(1)}, \dots, x_{\pi(n)})_i = f(x_1, \dots, x_n)_{\pi(i)}

    Args:
        layer: Called as ``layer(x, index, ptr)``; returns one row per element.
        sets: The batch to test with.
        seed: Draws the order.

    Raises:
        AssertionError: If outputs or gradients do not move with the elements.

    Example:
        >>> from pyg_setops.testing import random_sets
        >>> from torch_geometric.utils import scatter
        >>> class Centre(torch.nn.Module):
        ...     def forward(self, x, index=None, ptr=None):
        ...         return x - scatter(x, index, reduce="mean")[index]
        >>> assert_permutation_equivariant(Centre(), random_sets(channels=4))
    """
    order = _order_inside_sets(sets, seed)
    out, gradient = value_and_gradient(layer, sets.x, sets.index)
    if out.size(0) != sets.x.size(0):
        raise AssertionError(
            f"A set-to-set layer returns one row per element: expected "
            f"{sets.x.size(0)} rows, got {out.size(0)}"
        )
    moved, moved_gradient = value_and_gradient(layer, sets.x[order], sets.index)
    assert_same(moved, out[order], "The output does not move with the elements")
    assert_same(
        moved_gradient, gradient[order], "The gradient does not move with the elements"
    )


def assert_batch_independent(module: torch.nn.Module, sets: RaggedSets) -> None:
    """Asserts that a set's result does not depend on the sets beside it.

    Each set gives the same output and input gradient in the batch, alone, beside
    empty sets, and beside sets of NaN or infinity. (What an empty set gives is for
    :func:`~pyg_setops.testing.assert_empty_sets_zero` to say.)

    Args:
        module: An aggregation, or a set-to-set layer ``layer(x, index, ptr)``.
        sets: The batch to test with.

    Raises:
        AssertionError: With the set, its company and the difference measured.

    Example:
        >>> from pyg_setops.testing import random_sets
        >>> from torch_geometric.nn.aggr import EquilibriumAggregation, SumAggregation
        >>> sets = random_sets(channels=4)
        >>> assert_batch_independent(SumAggregation(), sets)
        >>> assert_batch_independent(EquilibriumAggregation(4, 4, [8]), sets)
        Traceback (most recent call last):
        AssertionError: The output of set 0 differs between the batch and alone...
    """
    values = _split_value_and_gradient(module, sets)
    occupied = [number for number, size in enumerate(sets.sizes) if size > 0]
    for number in occupied:
        for company, empty in (("alone", 0), ("beside empty sets", 2)):
            sizes = [0] * empty + [len(sets[number])] + [0] * empty
            apart = _split_value_and_gradient(module, layout(sets[number], sizes))
            _assert_row(apart[empty], values[number], number, company)
    for value in (torch.nan, torch.inf):
        for parity in (0, 1):
            spoiled = (sets.index % 2 == parity)[:, None]
            beside = replace(sets, x=sets.x.masked_fill(spoiled, value))
            results = _split_value_and_gradient(module, beside)
            for number in occupied:
                if number % 2 != parity:
                    company = f"beside sets of {value}"
                    _assert_row(results[number], values[number], number, company)


def _split_value_and_gradient(
    module: torch.nn.Module, sets: RaggedSets
) -> list[tuple[Tensor, Tensor]]:
    out, gradient = value_and_gradient(module, sets.x, sets.index, None, sets.num_sets)
    gradients = gradient.split(sets.sizes)
    return list(zip(split(module, out, sets), gradients, strict=True))


def _assert_row(
    actual: tuple[Tensor, Tensor],
    expected: tuple[Tensor, Tensor],
    number: int,
    company: str,
) -> None:
    for what, here, there in zip(("output", "gradient"), actual, expected, strict=True):
        claim = f"The {what} of set {number} differs between the batch and {company}"
        assert_same(here, there, claim)


def _order_inside_sets(sets: RaggedSets, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    shuffled = torch.randperm(len(sets.x), generator=generator).to(sets.index.device)
    return shuffled[sets.index[shuffled].argsort(stable=True)]
