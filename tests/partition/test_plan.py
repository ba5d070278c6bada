from itertools import product

import pytest

from pyg_setops.partition.diagrams import Diagram, diagrams, halves
from pyg_setops.partition.plan import (
    TYPICAL_SIZE,
    Bundle,
    make_plan,
    pooling_plan,
)
from pyg_setops.partition.set_partitions import num_blocks, set_partitions

ORDERS = list(product(range(5), repeat=2))


@pytest.mark.parametrize("orders", ORDERS)
def test_diagrams_are_the_set_partitions(orders):
    order_in, order_out = orders
    kinds = diagrams(order_in, order_out)
    found = [diagram.partition for diagram in kinds]
    assert sorted(found) == list(set_partitions(order_in + order_out))
    assert [Diagram.of(partition, order_out) for partition in found] == list(kinds)


@pytest.mark.parametrize(
    ("num_points", "expected"),
    [(1, [1, 1]), (2, [2, 3, 1]), (3, [5, 10, 6, 1]), (4, [15, 37, 31, 10, 1])],
)
def test_numbers_of_pooled_tensors(num_points, expected):
    counts = [len(halves(num_points, order)) for order in range(num_points + 1)]
    assert counts == expected


@pytest.mark.parametrize("num_points", range(1, 6))
@pytest.mark.parametrize("max_order", range(1, 6))
def test_a_step_sums_what_was_made_before(num_points, max_order):
    max_order = min(max_order, num_points)
    made, taken = set(), []
    for step in pooling_plan(num_points, max_order):
        assert step.result not in made
        if step.source is None:
            assert step.result.order == step.result.num_blocks
            taken += step.diagonals
        else:
            assert step.source in made
            assert step.source.num_blocks == step.result.num_blocks
            left = tuple(step.source.kept[axis] for axis in step.axes)
            assert left == step.result.kept
        made.add(step.result)
    assert sorted(taken) == list(set_partitions(num_points))
    for order in range(max_order + 1):
        for side in halves(num_points, order):
            assert Bundle(num_blocks(side.points), side.kept) in made


def test_what_lies_between_saves_passes():
    # Elements of triples: two passes over the triples, not three.
    whole = [s for s in pooling_plan(3, 1) if s.result.num_blocks == 3]
    assert sum(s.source is not None and s.source.order == 3 for s in whole) == 2
    for num_points in range(2, 6):
        for max_order in range(1, num_points):
            steps = [s for s in pooling_plan(num_points, max_order) if s.source]
            wanted = [s for s in steps if s.result.order <= max_order]
            cost = sum(TYPICAL_SIZE**s.source.order for s in steps)
            direct = sum(TYPICAL_SIZE**s.result.num_blocks for s in wanted)
            assert cost <= direct


@pytest.mark.parametrize("orders", ORDERS)
def test_levels_have_all_diagrams(orders):
    plan = make_plan(*orders)
    kinds = diagrams(*orders)
    assert plan.levels[-1].weights[1] == len(kinds)
    for level in plan.levels:
        mine = kinds[slice(*level.weights)]
        for sides, bundles in (
            (level.sources, level.pooled),
            (level.targets, [bundle for bundle, _ in level.lifted]),
        ):
            order = [Bundle(num_blocks(side.points), side.kept) for side in sides]
            assert list(dict.fromkeys(order)) == list(bundles)
        assert sum(count for _, count in level.lifted) == len(level.targets)
        expected = [
            (source, move, target)
            for move in level.permutations
            for target in level.targets
            for source in level.sources
        ]
        turned = [tuple(map(d.permutation.index, range(level.order))) for d in mine]
        found = [(d.source, t, d.target) for d, t in zip(mine, turned, strict=True)]
        assert found == expected
