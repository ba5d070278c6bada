import copy
import pickle
import re

import pytest
import torch
from torch_geometric.nn import MeanAggregation

from pyg_setops.lie import KNN, SE2, SE3, AttentionKernel, Cyclic, Octahedral, T
from pyg_setops.models import LieTransformer
from pyg_setops.ragged import SetIndex
from tests.lie.groups import FINITE, GROUPS, SAMPLED

INDEX = torch.tensor([1, 0, 3, 1, 1, 3, 3, 1])
FLOAT64 = {"dtype": torch.float64}


def make(group, in_channels=2, out_channels=1, **kwargs):
    kwargs = {"hidden_channels": 8, "num_layers": 2, "heads": 2, **kwargs}
    model = LieTransformer(in_channels, out_channels, group, **kwargs).double().eval()
    # Coordinates say next to nothing to a fresh network; let them.
    for block in model.blocks:
        for weight in block.attention.scores.parameters():
            weight.data.mul_(3)
    return model


def points(group, width=2):
    return (
        torch.randn(len(INDEX), width, **FLOAT64),
        torch.randn(len(INDEX), group.dim, **FLOAT64),
    )


def test_has_the_published_number_of_parameters():
    kernel = AttentionKernel.published("mlp")
    model = LieTransformer(2, 1, T(2), 160, num_layers=5, heads=8, kernel=kernel)
    count = {
        name: sum(p.numel() for p in part.parameters())
        for name, part in model.named_children()
    }
    assert count == {"lin_in": 480, "blocks": 5 * 157_896, "head": 51_681}
    assert sum(count.values()) == 841_641
    # And the published network for SE(2) with a cyclic lift of 2.
    group = Cyclic(2, embedding="log")
    model = LieTransformer(2, 1, group, 80, num_layers=3, heads=8, kernel=kernel)
    assert sum(p.numel() for p in model.parameters()) == 139_353


@pytest.mark.parametrize("group", GROUPS, ids=repr)
class TestInvariance:
    def test_holds_when_the_lift_moves_along(self, group):
        model, (x, pos) = make(group, pool="sum"), points(group)
        lifted = group.lift(pos, SetIndex.build(INDEX, dim_size=5))
        moved = lifted.moved(group.random(1, **FLOAT64)[0])
        out = model(x, pos, lifted=lifted)
        assert out.shape == (5, 1)
        after = model(x, moved.pos, lifted=moved)
        torch.testing.assert_close(after, out, rtol=0, atol=1e-10)

    def test_vectors_turn_along(self, group):
        irreps = "1x0e + 2x1o + 1x2e"
        width = group.irreps_dim(irreps)
        for pool in ("mean", "sum", None):
            model = make(group, 1, 2, irreps_in=irreps, irreps_out=irreps, pool=pool)
            x, pos = points(group, 1 + width)
            h = group.random(1, **FLOAT64)[0]
            d_in, d_out = (
                group.rep(f"{scalars}x0e + {irreps}", h) for scalars in (1, 2)
            )
            lifted = group.lift(pos, SetIndex.build(INDEX))
            out = model(x, pos, lifted=lifted)
            assert out.shape == (8 if pool is None else 4, 2 + width)
            moved = lifted.moved(h)
            turned = model(x @ d_in.mT, moved.pos, lifted=moved)
            torch.testing.assert_close(turned, out @ d_out.mT, rtol=0, atol=1e-10)

    def test_depends_on_the_coordinates(self, group):
        model, (x, pos) = make(group), points(group)
        out = model(x, pos, INDEX)
        assert (model(x, 3 * pos + pos.sin(), INDEX) - out).abs().max() > 1e-5

    def test_a_set_depends_on_itself_alone(self, group):
        model, (x, pos) = make(group), points(group)
        out = model(x, pos, INDEX)
        own = INDEX == 3
        torch.testing.assert_close(model(x[own], pos[own]), out[3:])
        x[~own] = torch.nan
        pos[~own] = torch.nan
        torch.testing.assert_close(model(x, pos, INDEX)[3], out[3])

    def test_has_finite_second_derivatives(self, group):
        model, (x, pos) = make(group), points(group)
        pos[3] = pos[0]  # of the same set
        pos.requires_grad_()
        energy = model(x, pos, INDEX).square().sum()
        (force,) = torch.autograd.grad(energy, pos, create_graph=True)
        inputs = [pos, *model.parameters()]
        second = torch.autograd.grad(force.square().sum(), inputs, allow_unused=True)
        assert all(grad.isfinite().all() for grad in second if grad is not None)
        assert second[0].abs().max() > 0


@pytest.mark.parametrize("group", FINITE[:3], ids=repr)
def test_finite_groups_need_no_lift_that_moves_along(group):
    model, (x, pos) = make(group), points(group)
    out = model(x, pos, INDEX)
    for linear in group.table:
        h = torch.cat([linear, torch.ones(group.dim, **FLOAT64)]).expand(8, -1)
        torch.testing.assert_close(model(x, group.act(h, pos), INDEX), out)


@pytest.mark.parametrize("group", SAMPLED, ids=repr)
def test_sampled_lifts_are_invariant_in_distribution(group):
    """Means over many lifts agree before and after; single ones differ."""
    model = make(group, resample="always")
    x, pos = torch.randn(4, 2, **FLOAT64), torch.randn(4, group.dim, **FLOAT64)
    h = group.random(1, **FLOAT64)
    copies = 3000
    index = torch.arange(copies).repeat_interleave(4)
    before, after = (
        model(x.repeat(copies, 1), place.repeat(copies, 1), index)
        for place in (pos, group.act(h.expand(4, -1), pos))
    )
    error = (before.var() / copies + after.var() / copies).sqrt()
    assert before.std() > 1e-6
    assert abs(before.mean() - after.mean()) < 4 * error
    # So do the spreads, whose own errors are smaller than a tenth.
    assert abs(before.std() / after.std() - 1) < 0.15


def test_the_order_of_nodes_does_not_matter_to_exact_groups_or_set_frames():
    order = torch.randperm(8)
    for model in (make(T(3)), make(Octahedral()), make(SE3(), frames="set")):
        x, pos = points(T(3))
        out = model(x, pos, INDEX)
        again = model(x[order], pos[order], INDEX[order])
        torch.testing.assert_close(again, out)


def test_lifts_are_drawn_in_training_only():
    model, (x, pos) = make(SE3(), num_lifts=2), points(SE3())
    assert torch.equal(model(x, pos, INDEX), model(x, pos, INDEX))
    model.train()
    assert not torch.equal(model(x, pos, INDEX), model(x, pos, INDEX))
    first, second = (
        model(x, pos, INDEX, generator=torch.Generator().manual_seed(1))
        for _ in range(2)
    )
    assert torch.equal(first, second)
    never = make(SE3(), resample="never").train()
    assert torch.equal(never(x, pos, INDEX), never(x, pos, INDEX))


@pytest.mark.parametrize("group", [T(3), SE3(), SE2()], ids=repr)
def test_recomputed_pairs_give_the_same_forces(group):
    kept, (x, pos) = make(group), points(group)
    again = make(group, max_pairs=0)
    again.load_state_dict(kept.state_dict())
    pos.requires_grad_()
    forces = []
    for model in (kept, again):
        (force,) = torch.autograd.grad(
            model(x, pos, INDEX).sum(), pos, create_graph=True
        )
        (second,) = torch.autograd.grad(force.square().sum(), pos)
        forces.append((force, second))
    torch.testing.assert_close(forces[0], forces[1])


@pytest.mark.parametrize("group", [T(3), SE3(), Octahedral()], ids=repr)
def test_far_from_the_origin_nothing_is_lost(group):
    model, (x, pos) = make(group), points(group)
    far = (pos + 1000).float()  # rounded once, for both
    exact = model(x, far.double(), INDEX)
    single = model.float()(x.float(), far, INDEX)
    torch.testing.assert_close(single.double(), exact, rtol=0, atol=1e-5)


@pytest.mark.parametrize("neighbors", ["full", KNN(2)], ids=str)
@pytest.mark.parametrize("group", [T(3), SE3()], ids=repr)
def test_functional_transforms_see_through(group, neighbors):
    model, (x, pos) = make(group, neighbors=neighbors), points(group)

    def energy(pos):
        return model(x, pos, INDEX).sum()

    gradient = torch.func.grad(energy)(pos)
    (expected,) = torch.autograd.grad(energy(pos.requires_grad_()), pos)
    torch.testing.assert_close(gradient, expected)
    direction = torch.randn_like(pos)
    pos = pos.detach()
    _, product = torch.func.jvp(torch.func.grad(energy), (pos,), (direction,))
    _, expected = torch.autograd.functional.hvp(energy, pos, direction)
    torch.testing.assert_close(product, expected)


def test_layouts_agree():
    model, (x, pos) = make(SE3(), neighbors=KNN(2)), points(SE3())
    sizes = torch.tensor([0, 3, 3, 8])
    index = torch.tensor([0, 0, 0, 2, 2, 2, 2, 2])
    torch.testing.assert_close(
        model(x, pos, ptr=sizes), model(x, pos, index, dim_size=3)
    )
    assert model(x, pos).shape == (1, 1)
    assert model(x, pos, index, dim_size=5).shape == (5, 1)
    assert model(x[:0], pos[:0], index[:0], dim_size=2).shape == (2, 1)


def test_pools():
    x, pos = points(T(3))
    assert make(T(3), pool=None)(x, pos, INDEX).shape == (8, 1)
    each = make(SE3(), pool=None, num_lifts=2, irreps_out="1o")
    assert each(x, pos, INDEX).shape == (8, 4)
    assert each(x[:0], pos[:0], INDEX[:0]).shape == (0, 4)
    pooled = make(T(3), pool=MeanAggregation())
    mean = make(T(3))
    mean.load_state_dict(pooled.state_dict())
    torch.testing.assert_close(pooled(x, pos, INDEX), mean(x, pos, INDEX))


def test_is_copied_and_pickled():
    model, (x, pos) = make(Octahedral()), points(T(3))
    out = model(x, pos, INDEX)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(twin(x, pos, INDEX), out)
    assert repr(model) == (
        "LieTransformer(2x0e, 1x0e, Octahedral(), hidden_channels=8, num_layers=2)"
    )


@pytest.mark.parametrize(
    ("group", "irreps"),
    [(T(3), None), (SE3(embedding="wigner"), "1x1o + 1x2e")],
    ids=str,
)
def test_compiles_with_given_edges(group, irreps):
    model = make(group, irreps_in=irreps, irreps_out=irreps)
    x, pos = points(group, 2 + (8 if irreps else 0))
    edges = (INDEX[:, None] == INDEX).nonzero().t()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    out = compiled(x, pos, INDEX, dim_size=4, edge_index=edges)
    torch.testing.assert_close(out, model(x, pos, INDEX))
    torch.compiler.reset()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resample": "sometimes"}, "'resample'"),
        ({"pool": "max"}, "'pool'"),
        ({"pool": MeanAggregation(), "irreps_out": "1o"}, "'pool'"),
        ({"num_layers": 0}, "'num_layers'"),
        ({"num_lifts": 2}, "'k' must"),
        ({"in_channels": 0}, "'in_channels'"),
        ({"out_channels": 0}, "'out_channels'"),
        ({"in_channels": -1}, "'in_channels' must not be negative, got -1"),
        ({"out_channels": -1}, "'out_channels' must not be negative, got -1"),
        ({"frames": "graph"}, "'frames' must be"),
    ],
    ids=str,
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        make(T(3), **options)


@pytest.mark.parametrize("irreps_in", [None, "1o"])
@pytest.mark.parametrize("shape", [(4, 0), (3, -1), (3, 1), (3,)])
def test_features_of_a_wrong_shape_are_named(irreps_in, shape):
    model = make(T(3), irreps_in=irreps_in)
    width = model.lin_in.in_features
    x = torch.randn(shape[0], *[width + each for each in shape[1:]], **FLOAT64)
    message = re.escape(f"'x' must have shape [3, {width}], got {list(x.shape)}")
    with pytest.raises(ValueError, match=message):
        model(x, torch.randn(3, 3, **FLOAT64))
