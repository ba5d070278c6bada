import pytest
import torch

from pyg_setops.ragged import pair_blocks, pair_index
from tests.oracles import ragged as oracle
from tests.ragged.layouts import FORMS, SIZES, layout

each_sizes = pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)


@each_sizes
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("loops", [True, False])
def test_lists_every_pair_inside_a_set(sizes, form, loops):
    sets, index = layout(sizes, form)
    source, target = pair_index(sets, loops)
    pairs = list(zip(source.tolist(), target.tolist(), strict=True))
    assert pairs == oracle.pairs(index, loops)


@each_sizes
@pytest.mark.parametrize("max_pairs", [1, 6, 50, 10**6])
def test_blocks_are_the_pairs_in_bounded_pieces(sizes, max_pairs):
    sets, _ = layout(sizes, "ptr")
    blocks = list(pair_blocks(sets, max_pairs))
    for side, whole in enumerate(pair_index(sets)):
        parts = [block[side] for block in blocks]
        assert torch.equal(torch.cat([whole[:0], *parts]), whole)
    seen = set()
    for _, target in blocks:
        targets = set(target.tolist())
        assert target.numel() <= max_pairs or len(targets) == 1
        assert not targets & seen, "a softmax over partners must not cross blocks"
        seen |= targets


def test_blocks_are_no_smaller_than_they_must_be():
    sets, _ = layout([3, 3], "ptr")
    assert [target.numel() for _, target in pair_blocks(sets, 9)] == [9, 9]


def test_blocks_of_interleaved_sets_are_refused():
    sets, _ = layout([2, 2], "unsorted")
    with pytest.raises(ValueError, match="'pair_blocks' needs"):
        next(pair_blocks(sets, 4))
