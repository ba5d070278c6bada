"""Aggregations of all pairs of each set, under the checks of aggregations.

A check that makes up sizes of its own, or an order, is met by elements whose pairs are
aggregated; all others see the pairs of sets as they are: n * n rows a set.
"""

import pytest
import torch
from torch import Tensor

from pyg_setops import testing
from pyg_setops.aggr import SetAggregation
from pyg_setops.operators import Operator, operators
from pyg_setops.ragged import SetIndex, pair_index
from pyg_setops.testing import random_sets

CHANNELS = 3
SIZES = [9, 0, 4, 1, 16]
OF_ELEMENTS = (
    testing.assert_permutation_invariant,
    testing.assert_memory_linear,
    testing.assert_compiles,
)
OF_PAIRS = [c for c in testing.AGGREGATION_CHECKS if c not in OF_ELEMENTS]

pytestmark = pytest.mark.parametrize(
    "operator", operators("pairs to vectors"), ids=lambda operator: operator.name
)


class OfElements(SetAggregation):
    """An aggregation of pairs as one of elements, by an asymmetric product."""

    def __init__(self, aggregation: SetAggregation):
        super().__init__(CHANNELS)
        self.aggregation = aggregation

    def aggregate(self, x: Tensor, sets: SetIndex) -> Tensor:
        source, target = pair_index(sets)
        pairs = x[target] * (1 + x[source].flip(1))
        index = sets.index[target]
        return self.aggregation(pairs, index, dim_size=sets.num_sets)


@pytest.mark.parametrize("check", OF_PAIRS, ids=lambda check: check.__name__[7:])
def test_holds_on_pairs(operator: Operator, check):
    sets = random_sets(CHANNELS, SIZES, dtype=torch.float64)
    check(operator.example(CHANNELS).double(), sets)


def test_order_of_elements_does_not_matter(operator: Operator):
    aggregation = OfElements(operator.example(CHANNELS)).double()
    sets = random_sets(CHANNELS, [3, 0, 2, 1, 4], dtype=torch.float64)
    testing.assert_permutation_invariant(aggregation, sets)


def test_memory_grows_with_the_pairs(operator: Operator):
    aggregation = OfElements(operator.example(CHANNELS)).double()
    sets = random_sets(CHANNELS, dtype=torch.float64)
    testing.assert_memory_linear(aggregation, sets, in_pairs=True)


@pytest.mark.parametrize("way", ["index", "ptr"])
def test_compiles_to_one_graph(operator: Operator, way):
    aggregation = operator.example(CHANNELS).double()
    torch.compiler.reset()
    compiled = torch.compile(
        aggregation, backend="aot_eager", fullgraph=True, dynamic=True
    )
    for times in (1, 2):
        sets = random_sets(CHANNELS, SIZES * times, dtype=torch.float64)
        given = {"ptr": sets.ptr} if way == "ptr" else {"index": sets.index}
        given["dim_size"] = sets.num_sets
        torch.testing.assert_close(
            compiled(sets.x, **given), aggregation(sets.x, **given)
        )
    torch.compiler.reset()


def test_lazy(operator: Operator):
    testing.assert_lazy(operator.example(), random_sets(CHANNELS, SIZES))


def test_keeps_the_width_by_default(operator: Operator):
    aggregation = operator.cls()
    assert aggregation(torch.randn(9, 5)).shape == (1, 5)
    assert repr(aggregation) == f"{operator.cls.__name__}(5, 5)"


def test_refuses_what_is_no_square(operator: Operator):
    aggregation = operator.example(CHANNELS)
    with pytest.raises(ValueError, match=r"n \* n pairs.*got 5 rows for set 1"):
        aggregation(torch.randn(9, CHANNELS), ptr=torch.tensor([0, 4, 9]))


@pytest.mark.parametrize("width", [0, -2])
def test_refuses_impossible_widths(operator: Operator, width: int):
    with pytest.raises(ValueError, match="'in_channels'"):
        operator.example(width)
    with pytest.raises(ValueError, match="'out_channels'"):
        operator.example(3, out_channels=width)
