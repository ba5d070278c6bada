import numpy as np
import torch

from pyg_setops.datasets import Tetrominoes


def test_templates_are_17_pieces_of_four_joined_squares():
    pieces = {tuple(map(tuple, t[::5, ::5])) for t in Tetrominoes.templates}
    assert len(pieces) == 17
    for squares in map(np.array, pieces):
        assert squares.sum() == 4
        joined = (squares[1:] & squares[:-1]).sum() + (
            squares[:, 1:] & squares[:, :-1]
        ).sum()
        assert joined == (4 if squares.shape == (2, 2) else 3)


def test_scenes_are_three_whole_pieces_in_six_colours():
    colours = set()
    for scene in Tetrominoes(num_sets=60):
        pixel = (scene.pos * 34).round().long()
        assert len(pixel.unique(dim=0)) == 300
        for piece in range(3):
            own = pixel[scene.y == piece]
            own = own - own.min(dim=0).values
            width, height = (own.max(dim=0).values + 1).tolist()
            drawn = np.zeros((height, width), dtype=bool)
            drawn[own[:, 1], own[:, 0]] = True
            assert any(np.array_equal(drawn, t) for t in Tetrominoes.templates)
            colour = scene.x[scene.y == piece].unique(dim=0)
            assert len(colour) == 1
            colours.add(tuple(colour[0].tolist()))
    assert len(colours) == 6


def test_a_set_depends_on_seed_split_and_number_alone():
    dataset = Tetrominoes(num_sets=5)
    assert torch.equal(dataset[3].pos, Tetrominoes(num_sets=9)[1:][2].pos)
    for other in (dataset[2], Tetrominoes("test")[3], Tetrominoes(seed=1)[3]):
        assert not torch.equal(dataset[3].pos, other.pos)
