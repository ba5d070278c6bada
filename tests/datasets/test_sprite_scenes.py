import numpy as np
import pytest
import torch

from pyg_setops.datasets import SpriteScenes
from pyg_setops.datasets.sprite_scenes import _ellipse, _heart, _square


def test_scenes_have_the_sizes_of_the_recipe():
    scenes = list(SpriteScenes("test", num_sets=400))
    sizes = np.array([scene.num_nodes for scene in scenes])
    counts = np.array([int(scene.count) for scene in scenes])
    assert sizes.min() >= 41
    # Another implementation of the recipe: 107.7 pixels, 3.57 sprites on average.
    assert sizes.mean() == pytest.approx(107.7, abs=6)
    assert counts.mean() == pytest.approx(3.57, abs=0.15)
    assert set(counts) == {2, 3, 4, 5}


def test_a_sprite_has_one_colour_and_every_pixel_its_own_place():
    for scene in SpriteScenes(num_sets=30):
        assert scene.y.unique().tolist() == list(range(int(scene.count)))
        colours = [scene.x[scene.y == k].unique(dim=0) for k in range(int(scene.count))]
        assert all(len(each) == 1 for each in colours)
        assert len(torch.cat(colours).unique(dim=0)) == int(scene.count)
        pixel = scene.pos * 31
        torch.testing.assert_close(pixel, pixel.round())
        assert len(pixel.round().unique(dim=0)) == scene.num_nodes
        assert scene.pos.min() >= 0
        assert scene.pos.max() <= 1


@pytest.mark.parametrize(
    ("shape", "inside", "outside"),
    [
        (_square, [(0.84, -0.84)], [(0.86, 0), (0, -0.86)]),
        (_ellipse, [(0.99, 0), (0, 0.59)], [(0.8, 0.4), (0, 0.61)]),
        # Two lobes above, a point below, and a notch between the lobes.
        (_heart, [(0.3, 0.5), (-0.3, 0.5), (0, -0.5)], [(0, 0.7), (0.4, -0.5)]),
    ],
)
def test_shapes(shape, inside, outside):
    assert shape(*np.array(inside).T).all()
    assert not shape(*np.array(outside).T).any()


def test_a_set_depends_on_seed_split_and_number_alone():
    dataset = SpriteScenes(num_sets=5)
    assert torch.equal(dataset[3].x, SpriteScenes(num_sets=9)[1:][2].x)
    for other in (dataset[2], SpriteScenes("test")[3], SpriteScenes(seed=1)[3]):
        assert not torch.equal(dataset[3].x[:9], other.x[:9])
