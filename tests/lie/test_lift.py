import math

import pytest
import torch

from pyg_setops.lie import O3, SE2, SE3, SO3, Octahedral, T, back_project, lift_irreps
from pyg_setops.lie.sampling import lift_uniforms
from pyg_setops.ragged import SetIndex
from tests.lie.groups import FINITE, GROUPS, IRREPS, SAMPLED

FLOAT64 = {"dtype": torch.float64}
every_group = pytest.mark.parametrize("group", GROUPS, ids=repr)


def distances(a, b):
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def points(group, n=12):
    return torch.randn(n, group.dim, **FLOAT64)


def sets_of(*sizes):
    return SetIndex.build(ptr=torch.tensor([0, *sizes]).cumsum(0))


def test_fixed_numbers_are_spread_out_in_large_sets():
    """Any run of the sequence fills [0, 1) evenly, also late and in float32."""
    sets = SetIndex.build(num_elements=100_000)
    for dims in (1, 3):
        u = lift_uniforms(sets, torch.empty(0), 1, dims, fixed=True)[-1000:, 0]
        gap = u.sort(dim=0).values.diff(dim=0)
        assert gap.max() < 0.005
        assert (u >= 0).all()
        assert (u < 1).all()


@every_group
def test_lifts_move_the_origin_of_the_orbit_to_the_point(group):
    pos = points(group)
    lifted = group.lift(pos)
    origin = torch.zeros(len(lifted.g), group.dim, **FLOAT64)
    if not group.translations and group.points.size > 0:
        axis = 0 if group.dim == 2 else 2
        origin[:, axis] = lifted.orbit[:, 0] if group.orbit_dim else 1.0
    elif not group.translations:
        origin = lifted.orbit
    torch.testing.assert_close(group.act(lifted.g, origin), lifted.repeat(pos))


@every_group
def test_moved_points_have_the_moved_lift_among_theirs(group):
    """`moved` does what it says to positions, and keeps pairs and invariants."""
    pos, h = points(group), group.random(1, **FLOAT64)[0]
    lifted = group.lift(pos)
    moved = lifted.moved(h)
    torch.testing.assert_close(moved.pos, group.act(h.expand(len(pos), -1), pos))
    torch.testing.assert_close(group.lift(moved.pos).orbit, lifted.orbit)


@pytest.mark.parametrize("group", FINITE, ids=repr)
def test_finite_lifts_move_onto_themselves(group):
    pos, h = points(group, 4), group.random(1, **FLOAT64)[0]
    moved = group.lift(pos).moved(h)
    again = group.lift(moved.pos)
    entries = [
        group.embedding(group, each.g).unflatten(0, (4, -1)) for each in (again, moved)
    ]
    nearest = distances(*entries).min(dim=-1).values
    assert nearest.max() < 1e-12


@pytest.mark.parametrize("group", SAMPLED, ids=repr)
class TestSampled:
    def test_frames_are_reproduced_by_generator(self, group):
        pos = points(group)
        first, second = (
            group.lift(pos, k=3, generator=torch.Generator().manual_seed(1)).g
            for _ in range(2)
        )
        assert torch.equal(first, second)
        assert not torch.equal(first, group.lift(pos, k=3).g)

    def test_fixed_frames_are_always_the_same(self, group):
        pos, sets = points(group), sets_of(5, 0, 7)
        fixed = group.lift(pos, sets, k=2, fixed=True)
        assert torch.equal(fixed.g, group.lift(pos, sets, k=2, fixed=True).g)
        # A set's frames do not depend on its batch.
        alone = group.lift(pos[5:], k=2, fixed=True)
        assert torch.equal(fixed.g[10:], alone.g)

    def test_fixed_frames_follow_an_unsorted_batch(self, group):
        pos, sets = points(group), sets_of(5, 0, 7)
        order = torch.randperm(12)
        mixed = SetIndex.build(sets.index[order], dim_size=3)
        lifted = group.lift(pos[order], mixed, k=2, fixed=True)
        # Nodes keep their relative order within a set: sort them stably again.
        by_set = mixed.index.argsort(stable=True)
        expected = group.lift(pos[order][by_set], sets, k=2, fixed=True)
        found = lifted.g.unflatten(0, (12, 2))[by_set].flatten(0, 1)
        assert torch.equal(found, expected.g)

    def test_one_frame_a_set(self, group):
        pos, sets = points(group), sets_of(5, 7)
        for fixed in (False, True):
            lifted = group.lift(pos, sets, k=2, frames="set", fixed=fixed)
            if not group.translations:
                continue
            linear = group.split(lifted.g)[0].unflatten(0, (12, 2))
            assert (linear[:5] == linear[0]).all()
            assert (linear[5:] == linear[5]).all()
            assert (linear[0, 0] != linear[0, 1]).any()


@pytest.mark.parametrize("fixed", [False, True])
def test_some_of_a_finite_group_are_different_and_all_as_likely(fixed):
    group = Octahedral()
    lifted = group.lift(torch.zeros(4000, 3, **FLOAT64), k=3, fixed=fixed)
    entries = group.points.entries(lifted.g[:, :4])
    distance = distances(entries, group.points.entries(group.table))
    assert distance.min(dim=1).values.max() < 1e-12
    number = distance.argmin(dim=1)
    a, b, c = number.view(-1, 3).unbind(1)
    assert ((a != b) & (b != c) & (a != c)).all()
    share = number.bincount(minlength=24) / 12000
    assert (share - 1 / 24).abs().max() < 0.008


def test_half_precision_lifts_are_as_different_as_others():
    lifted = SE3().lift(torch.zeros(2000, 3, dtype=torch.bfloat16))
    assert lifted.g.dtype == torch.bfloat16
    assert len(lifted.g.unique(dim=0)) > 1900


class TestHaar:
    def test_stabiliser_angles_are_uniform(self):
        """The published lift of SO(3) is not: .24 .18 .08 .01 .01 .08 .17 .24."""
        pos = torch.tensor([[0.3, -0.5, 0.8]], **FLOAT64)
        group = SO3()
        reference = group.points.from_pole(pos)
        many = group.lift(pos.repeat(8000, 1)).g
        angle = group.log(group.mul(group.inv(reference).expand(8000, -1), many))[:, 2]
        histogram = torch.histc(angle, 8, -math.pi, math.pi) / 8000
        assert (histogram - 0.125).abs().max() < 0.02

    def test_all_frames_of_a_node_are_uniform(self):
        angle = SE2().log(SE2().lift(torch.zeros(4000, 2), k=3).g)[:, 0]
        histogram = torch.histc(angle, 8, -math.pi, math.pi) / 12000
        assert (histogram - 0.125).abs().max() < 0.02

    @pytest.mark.parametrize("fixed", [False, True])
    def test_rotations_have_no_mean(self, fixed):
        """Matrices of degree 1 and 2 average to zero under Haar's measure."""
        lifted = SE3().lift(torch.zeros(2000, 3), k=4, fixed=fixed)
        for degree, size in ((1, 3), (2, 5)):
            d = SE3().points.wigner(degree, 1, lifted.g[:, :4])
            mean = d.mean(0)
            assert mean.shape == (size, size)
            assert mean.abs().max() < (0.01 if fixed else 0.03)

    def test_half_of_the_frames_are_mirrored(self):
        sign = O3().points.sign(O3().lift(torch.randn(4000, 3)).g)
        assert abs(float(sign.mean())) < 0.05

    def test_fixed_frames_are_spread_better_than_drawn_ones(self):
        def mean(fixed):
            lifted = SE3().lift(torch.zeros(64, 3), k=2, fixed=fixed)
            return SE3().points.matrix(lifted.g[:, :4]).mean(0).norm()

        drawn = torch.stack([mean(False) for _ in range(20)]).median()
        assert mean(True) < drawn / 2


@pytest.mark.parametrize("group", GROUPS, ids=repr)
class TestIrreps:
    def test_lifted_features_are_invariant(self, group):
        irreps, pos = IRREPS, points(group)
        lifted, h = group.lift(pos), group.random(1, **FLOAT64)[0]
        x = torch.randn(len(pos), group.irreps_dim(irreps), **FLOAT64)
        turned = x @ group.rep(irreps, h).mT
        torch.testing.assert_close(
            lift_irreps(turned, irreps, lifted.moved(h)),
            lift_irreps(x, irreps, lifted),
            rtol=0,
            atol=1e-12,
        )

    def test_projected_features_are_equivariant(self, group):
        irreps, pos = IRREPS, points(group)
        lifted, h = group.lift(pos), group.random(1, **FLOAT64)[0]
        f = torch.randn(len(lifted.g), group.irreps_dim(irreps), **FLOAT64)
        torch.testing.assert_close(
            back_project(f, irreps, lifted.moved(h)),
            back_project(f, irreps, lifted) @ group.rep(irreps, h).mT,
            rtol=0,
            atol=1e-12,
        )

    def test_back_undoes_forth(self, group):
        irreps, lifted = IRREPS, group.lift(points(group))
        x = torch.randn(12, group.irreps_dim(irreps), **FLOAT64)
        there = lift_irreps(x, irreps, lifted)
        torch.testing.assert_close(back_project(there, irreps, lifted), x)


def test_autocast_rounds_no_rotation():
    irreps, lifted = "2x0e + 2x1o + 1x2e", SE3().lift(torch.randn(5, 3), k=2)
    x = torch.randn(5, 13)
    there = lift_irreps(x, irreps, lifted)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(lift_irreps(x, irreps, lifted), there)
        torch.testing.assert_close(back_project(there, irreps, lifted), x)
        half = back_project(there.bfloat16(), irreps, lifted)
    # The inputs and the result are rounded, the rotation is not.
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), x, rtol=0.01, atol=0.02)


def test_irreps_name_what_they_expect():
    lifted = SE3().lift(torch.randn(4, 3))
    with pytest.raises(ValueError, match="must have 3 components"):
        lift_irreps(torch.randn(4, 5), "1o", lifted)


@pytest.mark.parametrize("group", GROUPS, ids=repr)
def test_lifts_have_two_derivatives(group):
    """Also at the pole, opposite to it, and on top of each other."""
    pos = points(group, 5)
    pos[3] = pos[0]
    pos.requires_grad_()
    weight = torch.randn(group.element_dim, **FLOAT64)

    def summed(pos):
        lifted = group.lift(pos, fixed=True)
        return lifted.g @ weight, lifted.orbit

    assert torch.autograd.gradcheck(summed, pos)
    assert torch.autograd.gradgradcheck(summed, pos)


@pytest.mark.parametrize("group", [SO3(), O3()], ids=repr)
@pytest.mark.parametrize("z", [1.0, -1.0, 0.0])
def test_points_on_the_axis_and_at_the_origin_are_lifted(group, z):
    pos = torch.tensor([[0.0, 0.0, z]], **FLOAT64, requires_grad=True)
    lifted = group.lift(pos, fixed=True)
    pole = torch.tensor([[0.0, 0.0, abs(z)]], **FLOAT64)
    torch.testing.assert_close(group.act(lifted.g, pole), pos)
    (first,) = torch.autograd.grad(lifted.g.sum(), pos, create_graph=True)
    assert first.isfinite().all()


def test_empty_batches_and_sets_are_lifted():
    for group in GROUPS:
        lifted = group.lift(torch.empty(0, group.dim), sets_of(0, 0))
        assert lifted.g.shape == (0, group.element_dim)
        assert lifted.set_index.num_sets == 2


def test_lift_keeps_translations_as_they_are():
    pos = torch.randn(4, 3)
    assert torch.equal(T(3).lift(pos).g, pos)
    assert "num_lifts=2" in repr(SE3().lift(pos, k=2))
