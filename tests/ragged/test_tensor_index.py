"""Tensors of any order over ragged sets, against loops over their entries."""

from itertools import product

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from pyg_setops.ragged import SetIndex, TensorIndex

SIZES = [[], [0, 0], [3], [2, 0, 1, 3], [1, 1, 1], [0, 4, 2, 0]]
MAPS = [
    ((), 1),
    ((), 3),
    ((0,), 2),
    ((1,), 2),
    ((1, 0), 2),
    ((0, 0), 1),
    ((2, 0), 3),
    ((0, 1, 0), 2),
    ((1, 2, 0), 3),
]


def build(sizes) -> TensorIndex:
    return TensorIndex.build(ptr=torch.tensor([0, *sizes]).cumsum(0))


def entries(sizes, order):
    """Every row of a tensor: its set and its axes."""
    return [
        (number, place)
        for number, size in enumerate(sizes)
        for place in product(range(size), repeat=order)
    ]


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("order", range(4))
def test_rows_and_axes(sizes, order):
    tensors = build(sizes)
    rows = entries(sizes, order)
    assert tensors.num_rows(order) == len(rows)
    assert tensors.rows(order).index.tolist() == [number for number, _ in rows]
    for axis in range(order):
        assert tensors.axes(order)[axis].tolist() == [place[axis] for _, place in rows]


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize(("axes", "order"), MAPS)
def test_gather_and_scatter(sizes, axes, order, backend):
    tensors = build(sizes)
    rows, followed = entries(sizes, order), entries(sizes, len(axes))
    at = [followed.index((b, tuple(c[axis] for axis in axes))) for b, c in rows]
    x = torch.randn(len(followed), 2, dtype=torch.float64)
    torch.testing.assert_close(tensors.gather(x, axes, order), x[at])
    y = torch.randn(len(rows), 2, dtype=torch.float64)
    expected = torch.zeros(len(followed), 2, dtype=torch.float64)
    for row, place in enumerate(at):
        expected[place] += y[row]
    torch.testing.assert_close(tensors.scatter(y, axes, order), expected)
    claims = tensors.map(axes, order)
    index = claims.index
    if claims._is_sorted:
        assert bool((index[1:] >= index[:-1]).all())


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("order", range(5))
def test_patterns_number_equalities_in_lexicographic_order(sizes, order):
    def pattern(place):
        names: dict[int, int] = {}
        return tuple(names.setdefault(value, len(names)) for value in place)

    # With as many elements as axes, all patterns occur.
    every = sorted({pattern(place) for place in product(range(order), repeat=order)})
    every = every or [()]
    expected = [
        number * len(every) + every.index(pattern(place))
        for number, place in entries(sizes, order)
    ]
    found = build(sizes).patterns(order)
    assert found.index.tolist() == expected
    assert found.num_sets == len(sizes) * len(every)


@pytest.mark.parametrize("sizes", SIZES)
def test_diagonals_are_gathers_side_by_side(sizes):
    tensors, many = build(sizes), ((0, 0, 1), (0, 1, 0), (0, 1, 1))
    x = torch.randn(tensors.num_rows(3), 2, dtype=torch.float64)
    each = [tensors.gather(x, axes, 2) for axes in many]
    torch.testing.assert_close(tensors.diagonals(x, many, 2), torch.cat(each, 1))
    y = torch.randn(tensors.num_rows(2), 6, dtype=torch.float64)
    parts = zip(y.chunk(3, 1), many, strict=True)
    expected = x + sum(tensors.scatter(part, axes, 2) for part, axes in parts)
    out = tensors.add_diagonals_(x.clone(), y, many, 2)
    torch.testing.assert_close(out, expected)


def test_derivatives(backend):
    tensors = build([2, 0, 1, 3])
    for axes, order in MAPS:
        x = torch.randn(tensors.num_rows(len(axes)), 1).double().requires_grad_()
        y = torch.randn(tensors.num_rows(order), 1).double().requires_grad_()
        for check in (gradcheck, gradgradcheck):
            assert check(lambda x, a=axes, o=order: tensors.gather(x, a, o), x)
            assert check(lambda y, a=axes, o=order: tensors.scatter(y, a, o), y)


def test_an_unsorted_index_tells_the_order_of_the_elements():
    index = torch.tensor([1, 0, 1, 3, 0])
    tensors = TensorIndex.build(index, dim_size=4)
    assert tensors.order.tolist() == [1, 4, 0, 2, 3]
    assert tensors.sizes.tolist() == [2, 2, 0, 1]
    twice = tensors.repeat(2)
    assert twice.order.tolist() == [1, 4, 0, 2, 3, 6, 9, 5, 7, 8]
    assert twice.num_rows(2) == 18


def test_pairs_tell_the_sizes_of_their_sets():
    pairs = SetIndex.build(torch.tensor([0] * 4 + [2] * 9 + [3]), dim_size=5)
    tensors = TensorIndex.of_pairs(pairs)
    assert tensors.sizes.tolist() == [2, 0, 3, 1, 0]
    with pytest.raises(ValueError, match=r"'index' or 'ptr'.*got 3 rows for set 1"):
        TensorIndex.of_pairs(SetIndex.build(torch.tensor([0, 1, 1, 1]), dim_size=2))


def test_pairs_of_elements_have_rows():
    tensors = build([2, 0, 3])
    pairs = [(0, 0), (0, 1), (1, 0), (2, 4), (4, 2), (3, 3)]
    rows = tensors.pair_rows(*torch.tensor(pairs).t())
    places = [
        (0, (0, 0)),
        (0, (0, 1)),
        (0, (1, 0)),
        (2, (0, 2)),
        (2, (2, 0)),
        (2, (1, 1)),
    ]
    assert rows.tolist() == [entries([2, 0, 3], 2).index(place) for place in places]
    with pytest.raises(ValueError, match="one after another"):
        TensorIndex.build(torch.tensor([1, 0])).pair_rows(rows[:1], rows[:1])


def test_wrong_rows_are_refused():
    tensors = build([2, 1])
    tensors.expect(torch.zeros(5, 1), 2)
    with pytest.raises(ValueError, match=r"'x' must have 5 rows.*order 2.*got 4"):
        tensors.expect(torch.zeros(4, 1), 2)


def test_maps_are_made_once():
    tensors = build([2, 1])
    assert tensors.map((1, 0), 2) is tensors.map((1, 0), 2)
    assert tensors.patterns(2) is tensors.patterns(2)
