import pytest
import torch
from scipy import stats
from scipy.spatial.distance import pdist, squareform

from pyg_setops.datasets import Constellations

CORNERS = torch.tensor([3, 4, 5, 5])


def sets(number=300, **arguments):
    return list(Constellations(num_sets=number, **arguments))


def test_counts_are_those_of_the_points():
    counts = torch.zeros(4, 3)
    for data in sets():
        points = data.label.bincount(minlength=4)
        assert torch.equal(data.y[0] * CORNERS, points)
        assert 1 <= int(data.y.sum()) <= 8
        counts[torch.arange(4), data.y[0]] += 1
    # Of two, each is there with probability 1/2.
    assert stats.chisquare(counts.sum(0), [300, 600, 300]).pvalue > 1e-3


def test_coordinates_fill_the_range_jointly():
    for data in sets(50):
        assert float(data.pos.min()) == -1
        assert float(data.pos.max()) == 1
    assert any(float(data.pos[:, 0].min()) > -0.9 for data in sets(50))


def test_labels_do_not_depend_on_the_place_in_the_set():
    first = torch.stack([data.label[:2] for data in sets(300)])
    assert (first[:, 0] != first[:, 1]).float().mean() > 0.3


@pytest.mark.parametrize("pattern_rotation", [0.0, 0.33])
def test_points_are_the_corners_of_their_patterns(pattern_rotation):
    shapes = {
        "triangle": [3**0.5],
        "square": [2**0.5, 2],
        "pentagon": [1.1756, 1.9021],
        "L": [1, 2, 2**0.5, 5**0.5, 8**0.5],
    }
    found = {name: [] for name in shapes}
    for data in sets(400, pattern_rotation=pattern_rotation):
        if int(data.y.sum()) < 6:
            continue
        for kind, name in enumerate(Constellations.names):
            if data.y[0, kind] == 1:
                found[name].append(squareform(pdist(data.pos[data.label == kind])))
    for name, distances in found.items():
        assert len(distances) > 5
        for matrix in distances:
            # Up to the unknown scale, every distance is one of the pattern's.
            spread = shapes[name]
            flat = matrix[matrix > 0]
            unit = flat.max() / max(spread)
            error = abs(flat[:, None] / unit - torch.tensor(spread).numpy())
            assert error.min(axis=1).mean() < 0.25


def test_patterns_are_turned_when_asked():
    def slopes(**arguments):
        angles = []
        for data in sets(300, **arguments):
            if int(data.y[0, 3]) != 1:
                continue
            points = data.pos[data.label == 3]
            middle = points - points.mean(0)
            corner = middle[middle.norm(dim=1).argsort()[-1]]
            angles.append(float(torch.atan2(corner[1], corner[0])))
        return torch.tensor(angles)

    still, turned = slopes(), slopes(pattern_rotation=0.33)
    # The far ends of an L lie in two directions, blurred by the noise alone.
    assert len(still.mul(4).round().unique()) < 10
    assert len(turned.mul(4).round().unique()) > len(still.mul(4).round().unique())


def test_a_set_depends_on_seed_split_and_number_alone():
    dataset = Constellations(num_sets=5)
    assert torch.equal(dataset[3].pos, Constellations(num_sets=9)[1:][2].pos)
    others = [
        dataset[2],
        Constellations("val")[3],
        Constellations("test")[3],
        Constellations(seed=1)[3],
    ]
    assert all(not torch.equal(dataset[3].pos[:3], o.pos[:3]) for o in others)


def test_training_and_test_sets_are_disjoint():
    seen = {tuple(data.pos[:3].flatten().tolist()) for data in sets(1000)}
    assert len(seen) == 1000
    for data in sets(1000, split="test"):
        assert tuple(data.pos[:3].flatten().tolist()) not in seen


def test_shifts_move_the_same_sets():
    still = Constellations("test")
    moved = Constellations("test", translation=10.0)
    turned = Constellations("test", rotation=1.0, translation=3.0)
    angles = []
    for number in range(100):
        data, shifted, other = still[number], moved[number], turned[number]
        torch.testing.assert_close(shifted.pos, data.pos + 10)
        torch.testing.assert_close(
            torch.pdist(other.pos), torch.pdist(data.pos), rtol=0, atol=1e-5
        )
        assert torch.equal(other.x, data.x)
        assert torch.equal(other.y, data.y)
        back = other.pos - 3
        angle = torch.atan2(back[0, 1], back[0, 0]) - torch.atan2(*data.pos[0].flip(0))
        angles.append(float(angle / (2 * torch.pi)) % 1)
    assert stats.kstest(angles, stats.uniform().cdf).pvalue > 1e-3


def test_features():
    data = Constellations("test")[0]
    expected = torch.from_numpy(squareform(pdist(data.pos))).float().sort(1).values
    count = data.num_nodes - 1
    torch.testing.assert_close(data.x[:, :count], expected[:, 1:], rtol=0, atol=1e-5)
    assert data.x.shape == (data.num_nodes, 33)
    assert (data.x[:, count:] == 0).all()
    constant = Constellations("test", features="constant")[0]
    assert torch.equal(constant.x, torch.ones(data.num_nodes, 1))
    assert torch.equal(constant.pos, data.pos)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "dev"}, "split"),
        ({"num_sets": 0}, "num_sets=0"),
        ({"rotation": 2.0}, "rotation: expected 0 to 1"),
        ({"pattern_rotation": -0.1}, "pattern_rotation: expected 0 to 1"),
        ({"features": "moments"}, "features: expected 'distances' or 'constant'"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        Constellations(**arguments)
