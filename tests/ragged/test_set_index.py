import pytest
import torch
from torch_geometric import EdgeIndex, Index

from pyg_setops.ragged import SetIndex
from tests.ragged.layouts import FORMS, SIZES, layout


def tensor(*values, dtype=torch.long):
    return torch.tensor(values, dtype=dtype)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_describes_the_layout(sizes, form):
    sets, index = layout(sizes, form)
    assert sets.num_sets == len(sizes)
    assert sets.num_elements == len(index)
    assert sets.index.tolist() == index
    assert sets.sizes.tolist() == sizes
    assert sets.max_size == max(sizes, default=0)
    assert sets.is_sorted == (index == sorted(index))
    ordered, order = sets.sorted()
    assert ordered.ptr.tolist() == [sum(sizes[:n]) for n in range(len(sizes) + 1)]
    assert ordered.index.tolist() == sorted(index)
    assert (order is None) == sets.is_sorted
    if order is not None:
        assert order.tolist() == sorted(range(len(index)), key=index.__getitem__)
    assert ordered.position.tolist() == [n for size in sizes for n in range(size)]


def test_without_index_and_ptr_all_is_one_set():
    sets = SetIndex.build(num_elements=3)
    assert (sets.num_sets, sets.index.tolist()) == (1, [0, 0, 0])
    assert SetIndex.build(num_elements=0, dim_size=1).sizes.tolist() == [0]


def test_takes_the_number_of_sets_from_the_index():
    assert SetIndex.build(tensor(0, 3, 1)).num_sets == 4
    assert SetIndex.build(tensor()).num_sets == 0


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.uint8])
def test_accepts_other_integers(dtype):
    sets = SetIndex.build(tensor(1, 0, dtype=dtype), dim_size=2)
    assert sets.index.dtype == torch.long
    assert SetIndex.build(ptr=tensor(0, 2, dtype=dtype)).sizes.tolist() == [2]


def test_accepts_pyg_indices():
    for index in (
        Index([2, 0, 2], dim_size=3),
        EdgeIndex([[0, 1, 1], [2, 0, 2]], sparse_size=(3, 3))[1],
    ):
        sets = SetIndex.build(index, dim_size=3)
        assert type(sets.index) is torch.Tensor
        assert sets.sizes.tolist() == [1, 0, 2]


INVALID = {
    "negative": (
        {"index": tensor(0, -1), "dim_size": 2},
        r"'index' must lie in \[0, 2\) .* got values in \[-1, 0\]",
    ),
    "negative_without_dim_size": ({"index": tensor(1, -1)}, "got values in"),
    "out_of_range": (
        {"index": tensor(0, 5), "dim_size": 2},
        r"'index' must lie in \[0, 2\).* got values in \[0, 5\]",
    ),
    "index_length": (
        {"index": tensor(0, 1), "num_elements": 3},
        "'index' must have one entry per element: expected 3, got 2",
    ),
    "ptr_empty": ({"ptr": tensor()}, "'ptr' must have one entry more"),
    "ptr_decreases": ({"ptr": tensor(0, 3, 2, 4)}, "'ptr' must not decrease"),
    "ptr_start": ({"ptr": tensor(1, 3)}, r"from 0 .* got 1 to 3"),
    "ptr_end": (
        {"ptr": tensor(0, 3), "num_elements": 4},
        r"number of elements \(4\), got 0 to 3",
    ),
    "ptr_dim_size": (
        {"ptr": tensor(0, 3), "dim_size": 2},
        "length 2 describes 1 sets, but 'dim_size' is 2",
    ),
    "disagree": (
        {"index": tensor(0, 1, 1), "ptr": tensor(0, 2, 3)},
        "'index' and 'ptr' describe different sets",
    ),
    "interleaved_with_ptr": (
        {"index": tensor(0, 1, 0), "ptr": tensor(0, 2, 3)},
        "'index' and 'ptr' describe different sets",
    ),
    "nothing": ({}, "expected one of 'index', 'ptr' and 'num_elements'"),
    "dim_size_alone": (
        {"num_elements": 3, "dim_size": 2},
        "'dim_size' must be 1 .* got 2",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), INVALID.values(), ids=INVALID)
def test_refuses_values(arguments, message):
    with pytest.raises(ValueError, match=message):
        SetIndex.build(**arguments)


@pytest.mark.parametrize("name", ["index", "ptr"])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.zeros(3), "must hold integers, got torch.float32"),
        (torch.zeros(3, dtype=torch.bool), "must hold integers, got torch.bool"),
        (torch.zeros(3, 2, dtype=torch.long), r"must be a vector, got shape \[3, 2\]"),
    ],
    ids=["float", "bool", "matrix"],
)
def test_refuses_types(name, value, message):
    with pytest.raises(TypeError, match=f"'{name}' {message}"):
        SetIndex.build(**{name: value})


def test_ptr_of_interleaved_sets_is_refused():
    with pytest.raises(ValueError, match="'ptr' needs the elements of a set to lie"):
        _ = layout([2, 2], "unsorted")[0].ptr


@pytest.mark.parametrize("form", FORMS)
def test_repeat(form):
    sets, index = layout([2, 0, 3], form)
    twice = sets.repeat(2)
    assert twice.index.tolist() == index + [number + 3 for number in index]
    assert (twice.num_sets, twice.num_elements) == (6, 10)
    assert twice.is_sorted == sets.is_sorted
    assert sets.repeat(1) is sets


@pytest.mark.parametrize("form", FORMS)
def test_flip(form):
    sets, index = layout([2, 0, 3], form)
    assert sets.flip().index.tolist() == [2 - number for number in reversed(index)]
    assert sets.flip().sizes.tolist() == [3, 0, 2]
    assert sets.flip().is_sorted == sets.is_sorted


def test_spans():
    sets, _ = layout([2, 0, 3, 1], "sorted")
    assert sets.spans() == [(0, 0, 2), (2, 2, 5), (3, 5, 6)]
    assert sets.spans(2) == [(0, 0, 2), (2, 2, 5)]


def test_repr():
    sets, _ = layout([2, 3], "ptr")
    assert repr(sets) == "SetIndex(num_sets=2, num_elements=5)"
