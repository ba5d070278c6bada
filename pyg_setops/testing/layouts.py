"""What PyG sends: index or ptr, in any order, empty sets, more dimensions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.nn.aggr import Aggregation

from .sets import RaggedSets, assert_same, layout, value_and_gradient


def assert_index_matches_ptr(
    module: torch.nn.Module, sets: RaggedSets, seed: int = 0
) -> None:
    """Asserts that every way to describe the same sets gives the same result.

    The ways are a sorted ``index``, ``ptr``, both, and an ``index`` whose sets are
    interleaved (each set's elements in their order), as a message-passing layer
    sends it.

    Args:
        module: An aggregation, or a set-to-set layer ``layer(x, index, ptr)``.
        sets: The batch to test with.
        seed: Draws how the sets are interleaved.

    Raises:
        AssertionError: With the way, and the difference in output or gradient.

    Example:
        >>> from pyg_setops.testing import random_sets
        >>> from torch_geometric.nn.aggr import MeanAggregation
        >>> assert_index_matches_ptr(MeanAggregation(), random_sets(channels=4))
    """
    x, index, ptr = sets.x, sets.index, sets.ptr
    expected = value_and_gradient(module, x, index, None, sets.num_sets)
    for way, result in {
        "ptr": value_and_gradient(module, x, None, ptr),
        "index and ptr": value_and_gradient(module, x, index, ptr),
    }.items():
        _assert_pair(result, expected, f"by {way}")
    order = _interleaved(sets, seed)
    out, gradient = value_and_gradient(
        module, x[order], index[order], None, sets.num_sets
    )
    back = order.argsort()
    out = out if isinstance(module, Aggregation) else out[back]
    _assert_pair((out, gradient[back]), expected, "by an unsorted index")


def assert_empty_sets_zero(aggregation: Aggregation, sets: RaggedSets) -> None:
    """Asserts that nothing gives zero: in value, in gradient, at any extreme.

    Empty sets first, between and last give zero rows that pass no gradient to
    elements or parameters; a batch without elements gives zeros, a batch without
    sets no rows; singletons give finite rows.

    Args:
        aggregation: What is tested.
        sets: The batch to test with; an empty set is put beside each of its sets.

    Raises:
        AssertionError: With the case and what was found instead of zeros.

    Example:
        >>> from pyg_setops.testing import random_sets
        >>> from torch_geometric.nn.aggr import StdAggregation
        >>> assert_empty_sets_zero(StdAggregation(), random_sets(channels=4))
    """
    sizes = [0]
    for size in sets.sizes:
        sizes += [size, 0]
    spread = layout(sets.x, sizes)
    _assert_zero_where_empty(aggregation, spread, "empty sets between others")
    nothing = sets.x[:0]
    _assert_zero_where_empty(aggregation, layout(nothing, [0, 0, 0]), "no elements")
    _assert_zero_where_empty(aggregation, layout(nothing, []), "no sets")
    singletons = layout(sets.x, [1] * len(sets.x))
    _assert_zero_where_empty(aggregation, singletons, "singletons")


def assert_leading_dimensions(aggregation: Aggregation, sets: RaggedSets) -> None:
    """Asserts that more dimensions mean independent batches over the same sets.

    ``[*, N, C]`` with ``dim=-2`` and ``[N, *, C]`` with ``dim=0``, as GATConv and
    TransformerConv send their heads, equal one call a slice.

    Args:
        aggregation: What is tested.
        sets: The batch to test with.

    Raises:
        AssertionError: With the shape, and the difference in output or gradient.

    Example:
        >>> from pyg_setops.testing import random_sets
        >>> from torch_geometric.nn.aggr import SoftmaxAggregation
        >>> assert_leading_dimensions(SoftmaxAggregation(), random_sets(channels=4))
    """
    x, index, count = sets.x, sets.index, sets.num_sets
    slices = [x, x.flip(-1), -x, 2 * x, x.roll(1, -1), x / 2]
    results = [value_and_gradient(aggregation, s, index, None, count) for s in slices]
    expected = (
        torch.stack([out for out, _ in results]),
        torch.stack([gradient for _, gradient in results]),
    )
    stacked = torch.stack(slices)
    for shape in ((6,), (2, 3)):
        for dim in (-2, 0):
            result = value_and_gradient(
                aggregation, _lay(stacked, shape, dim), index, None, count, dim
            )
            names = ", ".join(map(str, shape))
            form = f"[N, {names}, C] with dim=0" if dim == 0 else f"[{names}, N, C]"
            laid = _lay(expected[0], shape, dim), _lay(expected[1], shape, dim)
            _assert_pair(result, laid, f"for {form}")
    flat = value_and_gradient(aggregation, x, index, None, count, 0)
    _assert_pair(flat, results[0], "for [N, C] with dim=0")


def _assert_zero_where_empty(
    aggregation: Aggregation, sets: RaggedSets, case: str
) -> None:
    by_index = {"index": sets.index, "dim_size": sets.num_sets}
    for given in (by_index, {"ptr": sets.ptr}):
        x = sets.x.detach().clone().requires_grad_()
        out = aggregation(x, **given)
        where = f"With {case}, given by {next(iter(given))},"
        if out.size(0) != sets.num_sets:
            raise AssertionError(
                f"{where} expected {sets.num_sets} rows, got {out.size(0)}"
            )
        empty = out[sets.ptr.diff() == 0]
        _assert_all_zero(empty, f"{where} the rows of empty sets are not zero")
        _assert_finite(out, f"{where} the output is not finite")
        if not out.requires_grad:
            continue
        leaves = {"x": x, **dict(aggregation.named_parameters())}
        for rows, check, claim in (
            (empty, _assert_all_zero, "empty sets pass a gradient to"),
            (out, _assert_finite, "the gradient is not finite for"),
        ):
            gradients = torch.autograd.grad(
                rows.sum(),
                list(leaves.values()),
                retain_graph=True,
                allow_unused=True,
                materialize_grads=True,
            )
            for name, gradient in zip(leaves, gradients, strict=True):
                check(gradient, f"{where} {claim} '{name}'")


def _lay(rows: Tensor, shape: tuple[int, ...], dim: int) -> Tensor:
    return rows.unflatten(0, shape).movedim(-2, dim)


def _assert_all_zero(tensor: Tensor, claim: str) -> None:
    if bool((tensor != 0).any()):
        worst = tensor.abs().max().item()
        raise AssertionError(f"{claim}: the largest magnitude is {worst:g}")


def _assert_finite(tensor: Tensor, claim: str) -> None:
    if not bool(tensor.isfinite().all()):
        count = int((~tensor.isfinite()).sum())
        raise AssertionError(f"{claim}: {count} of {tensor.numel()} values")


def _assert_pair(
    actual: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor], form: str
) -> None:
    assert_same(actual[0], expected[0], f"The output {form} differs")
    assert_same(actual[1], expected[1], f"The gradient {form} differs")


def _interleaved(sets: RaggedSets, seed: int) -> Tensor:
    """A random order of all elements that keeps the order inside each set."""
    generator = torch.Generator().manual_seed(seed)
    shuffled = torch.randperm(len(sets.x), generator=generator).to(sets.index.device)
    # The k-th element goes to the k-th place that a random order leaves its set.
    places = sets.index[shuffled].argsort(stable=True)
    return places.argsort()
