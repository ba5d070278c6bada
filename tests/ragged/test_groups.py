"""Groups of sets of equal size hold every element once, in its set."""

import pytest
import torch

from pyg_setops.ragged import SetIndex, size_groups

INDEX = torch.tensor([3, 0, 3, 1, 0, 6, 1, 5, 5, 5, 3])


@pytest.mark.parametrize("index", [INDEX, INDEX.sort().values], ids=["any", "sorted"])
@pytest.mark.parametrize("max_rows", [1, 4, 100])
def test_groups_are_the_sets(index, max_rows):
    sets = SetIndex.build(index, dim_size=8)
    layout = size_groups(sets, max_rows)
    x = torch.arange(len(index))
    assert sorted(layout.order.tolist()) == x.tolist()
    torch.testing.assert_close(layout.sets.index, index[layout.order])
    torch.testing.assert_close(layout.sets.sizes, sets.sizes)
    seen, end = [], 0
    for group in layout.groups:
        assert group.rows.start == end
        end = group.rows.stop
        assert end - group.rows.start <= max(max_rows, group.size)
        for number, elements in zip(
            group.numbers.tolist(), group.view(x[layout.order]), strict=True
        ):
            assert elements.tolist() == x[index == number].tolist()
            seen.append(number)
    assert end == len(index)
    assert sorted(seen) == index.unique().tolist()
    assert layout.numbers.tolist() == seen


def test_sizes_ascend_and_share_groups():
    groups = size_groups(SetIndex.build(INDEX, dim_size=8), 100).groups
    assert [(g.size, g.numbers.tolist()) for g in groups] == [
        (1, [6]),
        (2, [0, 1]),
        (3, [3, 5]),
    ]


def test_no_elements():
    sets = SetIndex.build(torch.zeros(0, dtype=torch.long), dim_size=3)
    layout = size_groups(sets, 10)
    assert layout.groups == []
    assert layout.order.shape == (0,)
