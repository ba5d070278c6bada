"""LieAggregation against a loop over sets, and where elements are."""

from dataclasses import replace

import pytest
import torch
from torch_geometric.nn import SAGEConv

from pyg_setops.aggr import LieAggregation
from pyg_setops.lie import SE3, SO3, Octahedral, T, Trivial
from pyg_setops.models import LieTransformer
from pyg_setops.ragged import SetIndex
from tests.lie.groups import GROUPS

INDEX = torch.tensor([2, 0, 0, 2, 2, 3])
FLOAT64 = {"dtype": torch.float64}


def swish(x):
    return x / (1 + (-x).exp())


def loop(aggregation, x, where=None):
    """``where(i, members)``: what the location network sees of an element."""
    w, heads = dict(aggregation.named_parameters()), aggregation.heads

    def linear(name, v):
        return w[f"{name}.weight"] @ v + w[f"{name}.bias"]

    def location(head, v):
        for layer in range(3):
            v = w[f"location.weights.{layer}"][head] @ v
            v = v + w[f"location.biases.{layer}"][head, :, 0]
            v = swish(v) if layer < 2 else v
        return v[0]

    rows = []
    for number in range(4):
        members = [i for i, own in enumerate(INDEX.tolist()) if own == number]
        if not members:
            rows.append(torch.zeros(aggregation.out_channels, **FLOAT64))
            continue
        query = w["query"] + linear("lin_query", x[members].mean(0))
        parts = []
        for head in range(heads):
            scores = []
            for i in members:
                q, k = (v.chunk(heads)[head] for v in (query, linear("lin_key", x[i])))
                score = q @ k / len(k) ** 0.5
                if where is not None:
                    score = score + location(head, where(i, members))
                scores.append(score)
            weight = torch.stack(scores).softmax(0)
            values = [linear("lin_value", x[i]).chunk(heads)[head] for i in members]
            parts.append(weight @ torch.stack(values))
        rows.append(linear("lin_out", torch.cat(parts)))
    return torch.stack(rows)


@pytest.mark.parametrize("out_channels", [None, 2, 5])
def test_is_a_loop_over_sets(out_channels):
    aggregation = LieAggregation(3, out_channels, heads=2).double()
    x = torch.randn(6, 3, **FLOAT64)
    torch.testing.assert_close(aggregation(x, INDEX), loop(aggregation, x))


@pytest.mark.parametrize("group", [T(3), SE3(), SO3(), Trivial(3)], ids=repr)
def test_sees_the_centre_from_each_frame(group):
    aggregation = LieAggregation(3, 4, heads=2, group=group).double()
    x, pos = torch.randn(6, 3, **FLOAT64), torch.randn(6, 3, **FLOAT64)
    lifted = group.lift(pos, SetIndex.build(INDEX))
    linear, shift = group.split(lifted.g)
    matrix = group.points.matrix(linear)

    def where(i, members):
        centre = pos[members].mean(0)
        origin = shift[i] if group.translations else torch.zeros(3, **FLOAT64)
        return torch.cat([matrix[i].T @ (centre - origin), lifted.orbit[i]])

    found = aggregation(x, INDEX, lifted=lifted)
    torch.testing.assert_close(found, loop(aggregation, x, where))
    assert not torch.allclose(found, aggregation(x, INDEX))


@pytest.mark.parametrize("group", GROUPS, ids=repr)
def test_does_not_change_when_points_and_lift_move(group):
    aggregation = LieAggregation(3, 4, heads=2, group=group).double()
    pos, h = torch.randn(6, group.dim, **FLOAT64), group.random(1, **FLOAT64)[0]
    lifted = group.lift(pos, SetIndex.build(INDEX))
    x = lifted.repeat(torch.randn(6, 3, **FLOAT64))
    index = lifted.set_index.index
    out = aggregation(x, index, lifted=lifted)
    moved = aggregation(x, index, lifted=lifted.moved(h))
    torch.testing.assert_close(moved, out, rtol=0, atol=1e-12)


@pytest.mark.parametrize("group", [T(3), SE3()], ids=repr)
def test_sees_as_well_far_from_the_origin(group):
    aggregation = LieAggregation(3, 4, heads=2, group=group)
    x, pos = torch.randn(6, 3), torch.randn(6, 3) + 1e5
    lifted = group.lift(pos, SetIndex.build(INDEX))
    # The points are near each other, so that they move to the origin exactly.
    centred = torch.cat([group.split(lifted.g)[0], pos - pos[0]], dim=1)
    near = replace(lifted, g=centred, pos=pos - pos[0])
    found, expected = (aggregation(x, INDEX, lifted=each) for each in (lifted, near))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_the_centre_is_that_of_the_set_that_is_aggregated():
    """Whatever the layout of the lift, if it has the same elements."""
    aggregation = LieAggregation(3, 4, heads=2, group=T(3)).double()
    x, pos = torch.randn(6, 3, **FLOAT64), torch.randn(6, 3, **FLOAT64)
    lifts = T(3).lift(pos, SetIndex.build(INDEX)), T(3).lift(pos)
    one, other = (aggregation(x, INDEX, lifted=lifted) for lifted in lifts)
    torch.testing.assert_close(one, other)


def test_has_two_derivatives():
    group, x = SE3(), torch.randn(6, 3, **FLOAT64, requires_grad=True)
    aggregation = LieAggregation(3, 1, heads=2, group=group).double()
    pos = torch.randn(6, 3, **FLOAT64)
    pos[3] = pos[0]
    pos.requires_grad_()

    def output(x, pos):
        lifted = group.lift(pos, SetIndex.build(INDEX), fixed=True)
        return aggregation(x, INDEX, lifted=lifted)

    assert torch.autograd.gradcheck(output, (x, pos))
    assert torch.autograd.gradgradcheck(output, (x, pos))


def test_weights_can_be_looked_at():
    aggregation = LieAggregation(3, 4, heads=2)
    weight = aggregation.weights(torch.randn(6, 3), SetIndex.build(INDEX))
    sums = torch.zeros(4, 2).index_add(0, INDEX, weight)
    torch.testing.assert_close(sums, torch.tensor([1.0, 0, 1, 1])[:, None].expand(4, 2))


def test_serves_in_a_convolution_with_or_without_a_group():
    edges = torch.tensor([[0, 1, 2], [1, 2, 1]])
    for group in (None, SE3()):
        conv = SAGEConv(3, 5, aggr=LieAggregation(heads=3, group=group))
        assert conv(torch.randn(3, 3), edges).shape == (3, 5)


@pytest.mark.parametrize("group", [T(3), Octahedral()], ids=repr)
def test_reads_out_a_transformer(group):
    pool = LieAggregation(heads=2, group=group)
    model = LieTransformer(
        2, 1, group, hidden_channels=8, num_layers=1, heads=2, pool=pool
    ).double()
    x, pos = torch.randn(6, 2, **FLOAT64), torch.randn(6, 3, **FLOAT64)
    out = model(x, pos, INDEX)
    assert out.shape == (4, 1)
    h = group.random(1, **FLOAT64).expand(6, -1)
    torch.testing.assert_close(model(x, group.act(h, pos), INDEX), out)
    assert any(p.grad is None for p in pool.parameters())
    out.sum().backward()
    assert all(p.grad is not None for p in pool.location.parameters())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LieAggregation(3, heads=0), "'heads'"),
        (lambda: LieAggregation(3, hidden_channels=0), "'hidden_channels'"),
        (
            lambda: LieAggregation(3)(
                torch.randn(6, 3), INDEX, lifted=T(3).lift(torch.randn(6, 3))
            ),
            "'lifted' must be a lift to the 'group'",
        ),
        (
            lambda: LieAggregation(3, group=T(3))(
                torch.randn(6, 3), INDEX, lifted=T(3).lift(torch.randn(5, 3))
            ),
            "each of the 6 rows",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_wrong_lift_leaves_the_width_open():
    aggregation, x = LieAggregation(-1, 4, group=T(3)), torch.randn(6, 3)
    for lifted in (T(3).lift(x[:5]), SE3().lift(x)):
        with pytest.raises(ValueError, match="'lifted'"):
            aggregation(x, INDEX, lifted=lifted)
    assert aggregation.in_channels == -1
    assert aggregation(x[:, :2], INDEX, lifted=T(3).lift(x)).shape == (4, 4)
