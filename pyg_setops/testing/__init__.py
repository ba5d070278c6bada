"""Assertions that users can run on their own aggregations and layers.

Here belong checks of what the package guarantees, each of which takes a module and a
ragged batch, says in its message what it measured, and knows nothing of any
operator. Test cases and reference implementations belong in ``tests/``.
``AGGREGATION_CHECKS`` are those that every aggregation of the package passes,
``LAYER_CHECKS`` those of its set-to-set layers.

Example:
    >>> from torch_geometric.nn.aggr import VarAggregation
    >>> sets = random_sets(channels=4)
    >>> for check in (assert_batch_independent, assert_empty_sets_zero):
    ...     check(VarAggregation(), sets)
"""

from .compilation import assert_compiles
from .errors import assert_errors
from .layouts import (
    assert_empty_sets_zero,
    assert_index_matches_ptr,
    assert_leading_dimensions,
)
from .memory import assert_memory_linear, measure_memory
from .modules import assert_copies, assert_lazy
from .numerics import assert_derivatives, assert_dtypes, assert_grad_modes
from .sets import RaggedSets, random_sets
from .symmetry import (
    assert_batch_independent,
    assert_permutation_equivariant,
    assert_permutation_invariant,
)

AGGREGATION_CHECKS = (
    assert_permutation_invariant,
    assert_batch_independent,
    assert_index_matches_ptr,
    assert_empty_sets_zero,
    assert_leading_dimensions,
    assert_dtypes,
    assert_derivatives,
    assert_grad_modes,
    assert_copies,
    assert_compiles,
    assert_memory_linear,
    assert_errors,
)

LAYER_CHECKS = (
    assert_permutation_equivariant,
    assert_batch_independent,
    assert_index_matches_ptr,
    assert_dtypes,
    assert_derivatives,
    assert_grad_modes,
    assert_copies,
    assert_compiles,
    assert_memory_linear,
)

__all__ = [
    "AGGREGATION_CHECKS",
    "LAYER_CHECKS",
    "RaggedSets",
    "assert_batch_independent",
    "assert_compiles",
    "assert_copies",
    "assert_derivatives",
    "assert_dtypes",
    "assert_empty_sets_zero",
    "assert_errors",
    "assert_grad_modes",
    "assert_index_matches_ptr",
    "assert_lazy",
    "assert_leading_dimensions",
    "assert_memory_linear",
    "assert_permutation_equivariant",
    "assert_permutation_invariant",
    "measure_memory",
    "random_sets",
]
