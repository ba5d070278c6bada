import numpy as np
import pytest
import torch

from pyg_setops.datasets import Digits, DigitScenes


@pytest.mark.parametrize("size", [8, 14])
def test_scenes_are_whole_images_of_their_split_side_by_side(size):
    known = {
        tuple(digit.level.tolist()): int(digit.y) for digit in Digits(size, "test")
    }
    last = 4 * size - 1
    counts = set()
    for scene in DigitScenes(size, "test", num_sets=60):
        counts.add(int(scene.count))
        pixel = (scene.pos * last).round().long()
        corner = (scene.center * last - (size - 1) / 2).round().long()
        assert corner.min() >= 0
        assert corner.max() <= 3 * size
        gap = (corner[:, None] - corner).abs().amax(dim=2)
        assert (gap[~torch.eye(len(gap), dtype=torch.bool)] >= size).all()
        for number, label in enumerate(scene.label.tolist()):
            own = scene.y == number
            column, row = (pixel[own] - corner[number]).T
            image = torch.zeros(size, size, dtype=torch.long)
            image[row, column] = (scene.x[own, 0] * 16).round().long()
            assert known[tuple(image.flatten().tolist())] == label
    assert counts == {1, 2, 3, 4, 5, 6}


def test_places_are_uniform_over_the_canvas():
    center = np.concatenate([s.center for s in DigitScenes(num_sets=300, max_digits=1)])
    assert center.mean(axis=0) == pytest.approx([0.5, 0.5], abs=0.05)
    assert center.min() < 0.15
    assert center.max() > 0.85


def test_a_set_depends_on_seed_split_and_number_alone():
    dataset = DigitScenes(num_sets=5)
    assert torch.equal(dataset[3].x, DigitScenes(num_sets=9)[1:][2].x)
    for other in (dataset[2], DigitScenes(seed=1)[3]):
        assert not torch.equal(dataset[3].pos, other.pos)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"max_digits.*1 to 6, got 7"):
        DigitScenes(max_digits=7)
    with pytest.raises(ValueError, match="split"):
        DigitScenes(split="val")
