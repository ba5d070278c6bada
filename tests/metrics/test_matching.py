from itertools import permutations

import pytest
import torch

from pyg_setops.metrics import match
from pyg_setops.ragged import SetIndex

SIZES = [3, 0, 1, 4, 2]


def test_it_is_the_cheapest_of_all_matchings():
    torch.manual_seed(0)
    sets = SetIndex.build(ptr=torch.tensor([0, *SIZES]).cumsum(0))
    cost = torch.rand(sum(SIZES), 5)
    chosen = match(cost, sets)
    for _, start, end in sets.spans():
        rows = range(start, end)
        best = min(
            sum(float(cost[row, k]) for row, k in zip(rows, names, strict=True))
            for names in permutations(range(5), end - start)
        )
        own = chosen[start:end].tolist()
        assert len(set(own)) == end - start
        assert sum(float(cost[r, k]) for r, k in zip(rows, own, strict=True)) == (
            pytest.approx(best)
        )


def test_objects_beyond_the_predictions_are_left_over():
    cost = torch.tensor([[1.0], [0.0], [2.0]])
    assert match(cost, SetIndex.build(num_elements=3)).tolist() == [-1, 0, -1]


def test_gradients_flow_through_the_matched_costs_alone():
    cost = torch.tensor([[0.0, 1.0], [0.1, 9.0]], requires_grad=True)
    chosen = match(cost, SetIndex.build(num_elements=2))
    cost[torch.arange(2), chosen].sum().backward()
    assert cost.grad.tolist() == [[0, 1], [1, 0]]


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"'match' needs the elements of a set"):
        match(torch.rand(3, 2), SetIndex.build(torch.tensor([0, 1, 0])))
    with pytest.raises(ValueError, match="'cost' must not hold NaN"):
        match(torch.full((1, 2), torch.nan), SetIndex.build(num_elements=1))
    for shape in [(3, 2), (1, 2), (2,)]:
        with pytest.raises(ValueError, match=r"'cost' must be \[2, K\], got \["):
            match(torch.rand(shape), SetIndex.build(num_elements=2))
