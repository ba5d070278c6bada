import matplotlib.pyplot as plt
import pytest

from pyg_setops.partition import diagrams, plot_diagrams
from pyg_setops.partition.drawing import KINDS


def drawn(axes):
    """The points of a diagram, by colour, and what is joined to what."""
    points, lines = {}, []
    for line in axes.lines:
        if line.get_marker() == "o":
            points.setdefault(line.get_color(), []).extend(
                zip(*line.get_data(), strict=True)
            )
        else:
            xs, ys = line.get_data()
            lines.append({(xs[0], ys[0]), (xs[-1], ys[-1])})
    return points, lines


@pytest.mark.parametrize("orders", [(2, 2), (1, 3), (2, 0), (0, 2)])
def test_points_of_a_block_are_joined(orders):
    order_in, order_out = orders
    pictures = [axes for axes in plot_diagrams(*orders).axes if axes.lines]
    kinds = diagrams(*orders)
    assert len(pictures) == len(kinds)
    for axes, diagram in zip(pictures, kinds, strict=True):
        partition = diagram.partition
        assert axes.get_title() == "".join(map(str, partition))
        points, lines = drawn(axes)
        places = sorted(
            {p for group in points.values() for p in group}, key=lambda p: (-p[1], p[0])
        )
        assert len(places) == order_in + order_out
        groups = [{place} for place in places]
        for line in lines:
            touched = [group for group in groups if group & line]
            groups = [group for group in groups if not group & line]
            groups.append(set().union(*touched))
        expected = {}
        for place, block in zip(places, partition, strict=True):
            expected.setdefault(block, set()).add(place)
        assert sorted(map(sorted, groups)) == sorted(map(sorted, expected.values()))
        through = sum(p[1] == 1 for p in points.get(KINDS["through"][0], []))
        assert through >= diagram.source.order


def test_opens_no_window():
    before = plt.get_fignums()
    plot_diagrams(1, 1)
    assert plt.get_fignums() == before


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="at least"):
        plot_diagrams(-1, 1)
    with pytest.raises(ValueError, match="columns=0"):
        plot_diagrams(1, 1, columns=0)
