import pytest
import torch

from pyg_setops.datasets import DigitCounting, Digits


def test_the_target_is_the_number_of_classes():
    counts, sizes = set(), set()
    for data in DigitCounting(num_sets=300):
        assert int(data.y) == len(set(data.label.tolist()))
        assert int(data.y) <= data.num_nodes <= 20
        counts.add(int(data.y))
        sizes.add(data.num_nodes)
    assert counts == set(range(1, 11))
    assert {1, 20} <= sizes


@pytest.mark.parametrize("size", [8, 14])
def test_images_are_those_of_their_split_with_their_class(size):
    digits = list(Digits(size, "test"))
    known = {tuple(digit.level.tolist()): int(digit.y) for digit in digits}
    for data in DigitCounting(size, "test", num_sets=20):
        levels = (data.x * 16).round().long()
        assert [known[tuple(row)] for row in levels.tolist()] == data.label.tolist()


def test_a_set_depends_on_seed_split_and_number_alone():
    dataset = DigitCounting(num_sets=5)
    assert torch.equal(dataset[3].x, DigitCounting(num_sets=9)[1:][2].x)
    for other in (dataset[2], DigitCounting(seed=1)[3]):
        assert dataset[3].label.tolist() != other.label.tolist()


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"max_elements.*at least 10, got 9"):
        DigitCounting(max_elements=9)
    with pytest.raises(ValueError, match="split"):
        DigitCounting(split="val")
