"""Every operator of the registry passes every check: a new one by its entry alone."""

from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pyg_setops import testing
from pyg_setops.operators import Operator, operators
from pyg_setops.testing import RaggedSets, random_sets

CHANNELS = 3
AGGREGATIONS = operators("sets to vectors")
LAYERS = operators("sets to sets")
DRAWN = (
    testing.assert_permutation_invariant,
    testing.assert_permutation_equivariant,
    testing.assert_batch_independent,
    testing.assert_index_matches_ptr,
    testing.assert_empty_sets_zero,
    testing.assert_leading_dimensions,
)
CASES = [
    pytest.param(operator, check, id=f"{operator.name}-{check.__name__[7:]}")
    for operators_, checks in (
        (AGGREGATIONS, testing.AGGREGATION_CHECKS),
        (LAYERS, testing.LAYER_CHECKS),
    )
    for operator in operators_
    for check in checks
]


@st.composite
def batches(draw: st.DrawFn) -> RaggedSets:
    """No set, empty sets, singletons, many elements; of any magnitude."""
    sizes = draw(st.lists(st.integers(0, 7), max_size=6))
    seed = draw(st.integers(0, 2**16))
    sets = random_sets(CHANNELS, sizes, dtype=torch.float64, seed=seed)
    return RaggedSets(
        sets.x * draw(st.sampled_from([0.0, 1e-3, 1.0, 30.0])), sets.index, sets.ptr
    )


def small_batch() -> RaggedSets:
    return random_sets(CHANNELS, [3, 0, 2, 1, 4], dtype=torch.float64)


@pytest.mark.parametrize(("operator", "check"), CASES)
def test_holds(operator: Operator, check):
    torch.manual_seed(0)
    if check is testing.assert_memory_linear:
        check = partial(check, in_pairs=operator.in_pairs)
    check(operator.example(CHANNELS).double(), small_batch())


@pytest.mark.parametrize(
    ("operator", "check"), [case for case in CASES if case.values[1] in DRAWN]
)
@given(sets=batches(), seed=st.integers(0, 2**16))
def test_holds_for_drawn_sets(operator: Operator, check, sets: RaggedSets, seed: int):
    torch.manual_seed(seed)
    check(operator.example(CHANNELS).double(), sets)


@pytest.mark.parametrize("operator", AGGREGATIONS + LAYERS, ids=lambda o: o.name)
def test_lazy(operator: Operator):
    testing.assert_lazy(operator.example(), random_sets(CHANNELS))


@pytest.mark.parametrize("operator", AGGREGATIONS, ids=lambda o: o.name)
class TestFace:
    def test_errors_leave_a_lazy_one_lazy(self, operator: Operator):
        aggregation = operator.example()
        testing.assert_errors(aggregation, small_batch())
        assert aggregation.in_channels == -1

    def test_keeps_the_width_by_default(self, operator: Operator):
        aggregation = operator.example(out_channels=None)
        out = aggregation(torch.randn(6, 5), torch.tensor([0, 0, 1, 1, 1, 3]))
        assert out.shape == (4, 5)
        assert aggregation.out_channels == 5

    def test_works_without_arguments(self, operator: Operator):
        assert operator.cls()(torch.randn(6, 5)).shape == (1, 5)

    def test_repr_names_the_widths(self, operator: Operator):
        aggregation = operator.example(4)
        name = operator.cls.__name__
        assert repr(aggregation).startswith(f"{name}(4, {aggregation.out_channels}")

    @pytest.mark.parametrize("width", [0, -2])
    def test_refuses_impossible_widths(self, operator: Operator, width: int):
        with pytest.raises(ValueError, match="'in_channels'"):
            operator.example(width)
        with pytest.raises(ValueError, match="'out_channels'"):
            operator.example(3, out_channels=width)

    def test_follows_determinism_at_call_time(self, operator: Operator):
        aggregation = operator.example(CHANNELS).double()
        sets = small_batch()
        expected = aggregation(sets.x, sets.index)
        torch.use_deterministic_algorithms(True)
        try:
            torch.testing.assert_close(aggregation(sets.x, sets.index), expected)
            testing.assert_derivatives(aggregation, sets)
        finally:
            torch.use_deterministic_algorithms(False)


@pytest.mark.slow
@pytest.mark.parametrize("operator", AGGREGATIONS + LAYERS, ids=lambda o: o.name)
def test_compiles_with_inductor(operator: Operator):
    sets = random_sets(CHANNELS, [3, 0, 2, 1, 4])
    testing.assert_compiles(operator.example(CHANNELS), sets, backend="inductor")
