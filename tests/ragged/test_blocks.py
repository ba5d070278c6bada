import pytest
import torch

from pyg_setops.ragged import blocks, segment_softmax
from tests.ragged.layouts import FORMS, SIZES, layout


@pytest.mark.parametrize("form", FORMS[1:])
@pytest.mark.parametrize("max_rows", [1, 4, 50, 10**6])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_cover_all_sets_in_bounded_runs(sizes, form, max_rows):
    sets, index = layout(sizes, form)
    row = number = 0
    for block in blocks(sets, max_rows):
        assert (block.rows.start, block.numbers.start) == (row, number)
        row, number = block.rows.stop, block.numbers.stop
        inner = block.sets
        assert inner.sizes.tolist() == sizes[block.numbers]
        assert inner.index.tolist() == [
            n - block.numbers.start for n in index[block.rows]
        ]
        assert inner.num_elements == block.rows.stop - block.rows.start
        assert inner.num_elements <= max_rows or inner.num_sets == 1
    assert (row, number) == (len(index), len(sizes))


def test_are_as_large_as_they_may_be():
    sets, _ = layout([2, 2, 2, 7, 0, 1], "ptr")
    found = [block.numbers for block in blocks(sets, 4)]
    assert found == [slice(0, 2), slice(2, 3), slice(3, 4), slice(4, 6)]


def test_blocked_is_unblocked_in_bits():
    sets, index = layout(SIZES["many"], "ptr")
    x = torch.randn(len(index), 3)
    parts = [segment_softmax(x[b.rows], b.sets) for b in blocks(sets, 20)]
    assert torch.equal(torch.cat(parts), segment_softmax(x, sets))


def test_interleaved_sets_are_refused():
    with pytest.raises(ValueError, match="lie one after another"):
        blocks(layout([2, 2], "unsorted")[0], 4)
