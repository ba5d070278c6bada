import math

import pytest
import torch

from pyg_setops.lie import (
    E3,
    SE2,
    SE3,
    SO2,
    SO3,
    Cyclic,
    Dihedral,
    Icosahedral,
    IndexEmbedding,
    LieGroup,
    Octahedral,
    RadialEmbedding,
    T,
    Tetrahedral,
    WignerEmbedding,
)
from tests.lie.groups import GROUPS, IRREPS

FLOAT64 = {"dtype": torch.float64}
every_group = pytest.mark.parametrize("group", GROUPS, ids=repr)


def draw(group: LieGroup, n: int = 40):
    return group.random(n, **FLOAT64)


def close(a, b, atol=1e-12):
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


@every_group
class TestLaws:
    def test_product_acts_one_after_the_other(self, group):
        g, h, x = draw(group), draw(group), torch.randn(40, group.dim, **FLOAT64)
        close(group.act(group.mul(g, h), x), group.act(g, group.act(h, x)))

    def test_inverse_undoes(self, group):
        g, x = draw(group), torch.randn(40, group.dim, **FLOAT64)
        close(group.act(group.inv(g), group.act(g, x)), x)
        close(group.act(group.mul(g, group.inv(g)), x), x)

    def test_identity_moves_nothing(self, group):
        g, x = draw(group), torch.randn(40, group.dim, **FLOAT64)
        close(group.mul(group.identity(g), g), g)
        close(group.act(group.identity(x), x), x)

    def test_pairs_do_not_change_by_a_motion(self, group):
        g_i, g_j, h = draw(group), draw(group), draw(group, 1)
        moved = group.mul(h, g_i), group.mul(h, g_j)
        close(group.pair(*moved), group.pair(g_i, g_j), atol=1e-10)
        close(group.distance(*moved), group.distance(g_i, g_j), atol=1e-6)

    def test_pair_is_of_the_quotient(self, group):
        g_i, g_j = draw(group), draw(group)
        quotient = group.mul(group.inv(g_j), g_i)
        expected = group.pair(quotient, group.identity(g_i).expand_as(g_i))
        close(group.pair(g_i, g_j), expected)

    def test_log_undoes_exp(self, group):
        omega = torch.randn(40, group.algebra_dim, **FLOAT64).clamp(-1.8, 1.8)
        close(group.log(group.exp(omega)), omega)

    def test_exp_of_a_multiple_is_a_power(self, group):
        omega = torch.randn(40, group.algebra_dim, **FLOAT64)
        once, x = group.exp(omega), torch.randn(40, group.dim, **FLOAT64)
        twice = group.act(group.exp(2 * omega), x)
        close(twice, group.act(once, group.act(once, x)))

    def test_representation_is_one(self, group):
        g, h, irreps = draw(group), draw(group), IRREPS
        product = group.rep(irreps, group.mul(g, h))
        close(product, group.rep(irreps, g) @ group.rep(irreps, h))
        assert product.size(-1) == group.irreps_dim(irreps)

    def test_vectors_are_represented_by_what_moves_them(self, group):
        g, x = draw(group), torch.randn(40, group.dim, **FLOAT64)
        origin = torch.zeros(group.dim, **FLOAT64)
        moved = group.act(g, x) - group.act(g, origin)
        linear = group.split(g)[0]
        if "Rx" in repr(group):
            moved = moved / linear.norm(dim=-1, keepdim=True)
        close((group.rep("1o", g) @ x[..., None]).squeeze(-1), moved)

    def test_is_of_the_type_asked_for(self, group):
        for dtype in (torch.float32, torch.float64):
            g = group.random(3, dtype=dtype)
            assert group.pair(g, g).dtype == dtype
            assert group.lift(torch.randn(3, group.dim, dtype=dtype)).g.dtype == dtype

    def test_draws_what_a_generator_says(self, group):
        first, second = (
            group.random(5, torch.Generator().manual_seed(3)) for _ in range(2)
        )
        assert torch.equal(first, second)


@pytest.mark.parametrize(
    ("group", "count"),
    [
        (Cyclic(5), 5),
        (Cyclic(5, inversion=True), 10),
        (Cyclic(4, inversion=True), 4),
        (Dihedral(5), 10),
        (Dihedral(3, inversion=True), 12),
        (Tetrahedral(), 12),
        (Tetrahedral(inversion=True), 24),
        (Octahedral(), 24),
        (Octahedral(inversion=True), 48),
        (Icosahedral(), 60),
        (Icosahedral(inversion=True), 120),
    ],
    ids=str,
)
def test_finite_groups_are_closed(group, count):
    assert group.num_lifts == len(group.table) == count
    products = group.points.multiply(
        group.table[:, None].expand(-1, count, -1), group.table.expand(count, -1, -1)
    )
    entries = group.points.entries(products).flatten(0, 1)
    distance = distances(entries, group.points.entries(group.table))
    assert distance.min(dim=1).values.max() < 1e-12
    # Cayley's table: every element once in every row.
    table = distance.argmin(dim=1).view(count, count)
    assert (table.sort(dim=1).values == torch.arange(count)).all()


def test_tables_hold_inversion_if_asked():
    for group in (Tetrahedral(inversion=True), Cyclic(3, inversion=True)):
        x = torch.randn(group.dim, **FLOAT64)
        images = group.points.act(group.table, x.expand(len(group.table), -1))
        assert (images + x).norm(dim=1).min() < 1e-12


def distances(a, b):
    """Not by scalar products, which lose half of the digits."""
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def angles():
    exact = [0.0, 1e-9, 1e-4, 0.1, 0.4999, 0.5001, 1.0, 3.1, math.pi - 1e-4]
    return torch.tensor(exact + torch.rand(200).mul(math.pi - 1e-4).tolist())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("group", [SO3(), SE3()], ids=repr)
def test_rotations_make_the_round_trip_at_every_angle(group, dtype):
    axes = torch.nn.functional.normalize(torch.randn(209, 50, 3, dtype=dtype), dim=-1)
    omega = axes * angles().to(dtype)[:, None, None]
    if group.translations:
        omega = torch.cat([omega, torch.randn_like(omega)], dim=-1)
    g = group.exp(omega)
    log = group.log(g)
    assert log[..., :3].norm(dim=-1).max() <= math.pi * (1 + 1e-6)
    # In single precision an angle near pi is only as good as its cosine.
    tolerance = 1e-5 if dtype == torch.float32 else 1e-10
    error = group.points.matrix(g) - group.points.matrix(group.exp(log))
    assert error.abs().max() < tolerance
    assert (log - omega).abs().max() < (1e-5 if dtype == torch.float32 else 1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_planar_motions_make_the_round_trip(dtype):
    group = SE2()
    angle = torch.cat([angles(), -angles()]).to(dtype)[:, None]
    omega = torch.cat([angle, torch.randn(len(angle), 2, dtype=dtype)], dim=1)
    error = (group.log(group.exp(omega)) - omega).abs().max()
    assert error < (1e-5 if dtype == torch.float32 else 1e-12)


def test_matrices_of_quaternions_and_signs():
    group = E3()
    g = draw(group)
    a = group.split(g)[0]
    m = group.points.matrix(a)
    close(m @ m.mT, torch.eye(3, **FLOAT64).expand_as(m))
    close(torch.det(m)[:, None], group.points.sign(a))
    assert (group.points.sign(a) < 0).any()
    assert (group.points.sign(a) > 0).any()


def test_only_logarithms_jump():
    """A pair that turns through pi moves its matrix a little, its logarithm a lot."""
    axis = torch.tensor([0.0, 0.0, 1.0], **FLOAT64)
    below, above = (
        SO3().exp(axis * angle) for angle in (math.pi - 1e-6, math.pi + 1e-6)
    )
    jump = {}
    for name in ("matrix", "wigner", "log"):
        embed = SO3(embedding=name).embedding
        jump[name] = (embed(SO3(), below) - embed(SO3(), above)).abs().max()
    assert jump["matrix"] < 1e-5
    assert jump["wigner"] < 1e-4
    assert jump["log"] > 6


@pytest.mark.parametrize("embedding", ["log", "matrix", "wigner", "index"])
@pytest.mark.parametrize(
    ("make", "arguments"),
    [
        (Cyclic, {"n": 2}),
        (Cyclic, {"n": 6}),
        (Dihedral, {"n": 4}),
        (Tetrahedral, {"inversion": True}),
        (Octahedral, {}),
        (Icosahedral, {}),
    ],
)
def test_pairs_of_finite_groups_do_not_change_by_any_element(
    make, arguments, embedding
):
    """Nor do half turns, whose logarithm may go either way round."""
    group = make(**arguments, embedding=embedding)
    t = torch.randn(len(group.table), group.dim, **FLOAT64)
    g = torch.cat([group.table, t], dim=1)
    at_rest = group.pair(g[:, None], g)
    for h in g:
        moved = group.mul(h.expand_as(g), g)
        close(group.pair(moved[:, None], moved), at_rest)


@pytest.mark.parametrize("angle", [math.pi, -math.pi, math.pi - 1e-15, 1e-15 - math.pi])
@pytest.mark.parametrize("axis", [[1.0, 0, 0], [-1, 0, 0], [0, -1, 1], [0, 0, -1]])
def test_a_half_turn_has_one_logarithm(angle, axis):
    axis = torch.nn.functional.normalize(torch.tensor(axis, **FLOAT64), dim=0)
    omega = SO3().log(SO3().exp(angle * axis))
    close(omega.norm(), torch.tensor(math.pi, **FLOAT64))
    assert omega[omega.abs() > 1e-9][0] > 0
    (turn,) = SO2().log(SO2().exp(torch.tensor([angle], **FLOAT64)))
    close(turn, torch.tensor(math.pi, **FLOAT64))


EMBEDDINGS = ["matrix", "log", "wigner", RadialEmbedding(2.0, 3)]


@pytest.mark.parametrize("embedding", EMBEDDINGS, ids=str)
@pytest.mark.parametrize("group", [T(3), SE2(), SE3(), E3()], ids=repr)
def test_embeddings_have_two_derivatives_on_the_diagonal(group, embedding):
    group = type(group)(*([3] if isinstance(group, T) else []), embedding=embedding)
    g = group.random(3, **FLOAT64)
    g = torch.cat([g, g[:1]])  # coincident with the first
    i, j = torch.tensor([0, 0, 0]), torch.tensor([0, 1, 3])
    weight = torch.randn(group.pair_dim, **FLOAT64)

    def pair(shift):
        moved = group.mul(group.exp(shift), g)
        return group.pair(moved[i], moved[j]) @ weight

    shift = 0.1 * torch.randn(4, group.algebra_dim, **FLOAT64)
    shift[3] = shift[0]
    shift.requires_grad_()
    assert torch.autograd.gradcheck(pair, shift)
    assert torch.autograd.gradgradcheck(pair, shift)
    zero = torch.zeros_like(shift).requires_grad_()
    assert torch.autograd.gradcheck(pair, zero)
    assert torch.autograd.gradgradcheck(pair, zero)


@every_group
@pytest.mark.parametrize("embedding", ["matrix", "radial"])
def test_all_pairs_are_those_one_by_one(group, embedding):
    if embedding == "radial" and not group.translations:
        pytest.skip("there are no distances")
    group = LieGroup(
        group.points,
        translations=group.translations,
        table=group.table,
        embedding=embedding,
    )
    torch.manual_seed(0)
    g = draw(group, 16)
    if group.translations:  # far from the origin, where rounding is coarse
        far = group.exp(1e3 * torch.ones(group.algebra_dim, **FLOAT64))
        g = group.mul(far.expand_as(g), g)
    shift = 0.1 * torch.randn(16, group.algebra_dim, **FLOAT64)
    moved = group.mul(group.exp(shift.requires_grad_()), g)
    targets, sources = moved[:6].view(2, 3, -1), moved[6:].view(2, 5, -1)
    every = group.pairs(targets, sources)
    single = group.pair(targets[:, :, None], sources[:, None])
    close(every, single, atol=1e-9)
    weight = torch.randn_like(single)
    totals = [(weight * out).sin().sum() for out in (every, single)]
    derivatives = [two_derivatives(total, shift) for total in totals]
    for result, expected in zip(*derivatives, strict=True):
        torch.testing.assert_close(result, expected, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("embedding", ["matrix", "wigner", "index"])
def test_pairs_are_as_good_in_half_precision_as_their_elements(dtype, embedding):
    """Float32 under autocast, or half precision itself; near points of a wide set."""
    group = Octahedral(embedding=embedding)
    t = 10 * torch.randn(24, 3)
    t[12:] = t[:12] + 0.1
    g = torch.cat([group.table.float(), t], dim=1).to(dtype)
    exact = g.double()
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.float32):
        every, single = group.pairs(g[None], g[None])[0], group.pair(g[:, None], g)
    expected = group.pair(exact[:, None], exact)
    for pairs in (every, single):
        assert pairs.dtype == dtype
        error = (pairs.double() - expected).abs()
        size = 1 + expected.abs().amax(-1, keepdim=True)
        assert (error / size).max() < max(8 * torch.finfo(dtype).eps, 1e-5)


def two_derivatives(total, inputs):
    """The gradient, and that of its square."""
    (first,) = torch.autograd.grad(total, inputs, create_graph=True)
    square = first.square().sum()
    return first, *torch.autograd.grad(square, inputs, retain_graph=True)


def test_index_embedding_tells_the_element():
    group = Octahedral(embedding="index")
    g = torch.cat([group.table, torch.zeros(24, 3, **FLOAT64)], dim=1)
    # Any quaternion and its negative are one rotation.
    g[5, :4] *= -1
    indicator = group.embedding(group, g)[:, :24]
    assert torch.equal(indicator, torch.eye(24, **FLOAT64))
    assert group.pair_dim == 27


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_index_embedding_tells_the_element_in_half_precision(dtype):
    group = Cyclic(60, embedding="index")
    g = torch.cat([group.table, torch.zeros(60, 2, **FLOAT64)], dim=1).to(dtype)
    indicator = group.embedding(group, g)[:, :60]
    assert torch.equal(indicator, torch.eye(60, dtype=dtype))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SE3(embedding="polar"), "'embedding' must be one of"),
        (lambda: SE3(embedding=IndexEmbedding()), "finite group"),
        (lambda: SO3(embedding="radial"), "needs translations"),
        (lambda: WignerEmbedding(0), "'max_degree'"),
        (lambda: RadialEmbedding(-1.0), "'cutoff'"),
        (lambda: RadialEmbedding(1.0, 0), "'num_radial'"),
        (lambda: Cyclic(0), "'n' must be positive"),
        (lambda: SE3().lift(torch.randn(4, 2)), r"'pos' must be points \[N, 3\]"),
        (
            lambda: T(3).lift(torch.randn(4, 3), k=2),
            "'k' must .* at most 1 ",
        ),
        (lambda: Octahedral().lift(torch.randn(4, 3), k=25), "'k' must .* at most 24"),
        (lambda: SE3().lift(torch.randn(4, 3), k=0), "'k' must be positive"),
        (lambda: SE3().lift(torch.randn(4, 3), frames="all"), "'frames'"),
    ],
)
def test_errors_name_the_argument(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_representations_are_those_of_e3nn():
    from e3nn.o3 import Irreps

    group, irreps = E3(), "1x0o + 2x1o + 1x2e + 1x3o"
    g = draw(group)
    a = group.split(g)[0]
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # e3nn computes in it
    try:
        expected = Irreps(irreps).D_from_matrix(group.points.matrix(a))
    finally:
        torch.set_default_dtype(before)
    close(group.rep(irreps, g), expected, atol=1e-10)
