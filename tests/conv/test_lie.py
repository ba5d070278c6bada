"""LieSelfAttention against loops over pairs, and its symmetries."""

from dataclasses import replace
from itertools import product

import pytest
import torch
from torch_geometric import EdgeIndex
from torch_geometric.utils import to_torch_coo_tensor, to_torch_csr_tensor

from pyg_setops.conv import LieSelfAttention
from pyg_setops.lie import (
    KNN,
    SE3,
    SO2,
    SO3,
    AttentionKernel,
    Octahedral,
    Radius,
    T,
    Trivial,
)
from pyg_setops.lie.neighbors import expand_edges
from pyg_setops.lie.pairs import EdgePairs, FullPairs
from pyg_setops.ragged import SetIndex
from pyg_setops.testing import measure_memory
from tests.lie.groups import FINITE, GROUPS
from tests.oracles import lie as oracle

IN, OUT, HEADS = 3, 4, 2
INDEX = torch.tensor([1, 0, 3, 1, 1, 3, 4, 1])
FLOAT64 = {"dtype": torch.float64}


def valid(content, location, combine, normalize):
    try:
        return AttentionKernel(content, location, combine, normalize, 5)
    except ValueError:
        return None


KERNELS = [
    kernel
    for options in product(
        ("dot", "concat", None),
        ("mlp", "raw", None),
        ("sum", "product", "mlp"),
        ("softmax", "exp", "constant"),
    )
    if (kernel := valid(*options)) is not None
]


def name(kernel):
    return "-".join(map(str, (kernel.content, kernel.location, kernel.combine)))


def make(group, kernel=None, **kwargs):
    return LieSelfAttention(IN, OUT, group, HEADS, kernel, **kwargs).double()


def problem(group, k=None, index=INDEX):
    """Features and the lift of points in sets that are not sorted."""
    pos = torch.randn(len(index), group.dim, **FLOAT64)
    sets = SetIndex.build(index, dim_size=6)
    lifted = group.lift(pos, sets, k)
    return torch.randn(len(lifted.g), IN, **FLOAT64), lifted


def expected(conv, x, lifted, neighbours=None):
    """The loops; pairs are embedded one at a time, from matrices."""
    group, g, orbit = lifted.group, lifted.g, lifted.orbit
    linear, shift = group.split(g)
    if group.points.size:
        pair = oracle.motion_coordinates(
            group.points.matrix(linear),
            shift if group.translations else torch.zeros(len(g), group.dim, **FLOAT64),
        )

    def coordinates(i, j):
        if not group.points.size:
            found = shift[i] - shift[j] if group.translations else shift[:0].flatten()
        elif group.translations:
            found = pair(i, j)
        else:
            found = pair(i, j)[: group.dim**2]
            if group.dim == 2:
                found = found[[0, 2]]
        return torch.cat([found, orbit[i], orbit[j]])

    kernel = conv.kernel
    return oracle.lie_self_attention(
        dict(conv.named_parameters()),
        x,
        coordinates,
        neighbours or oracle.sets_as_neighbours(lifted.set_index.index),
        conv.heads,
        kernel.content,
        kernel.location,
        kernel.combine,
        kernel.normalize,
        kernel.act_last,
    )


@pytest.mark.parametrize("kernel", KERNELS, ids=name)
def test_every_kernel_is_a_loop_over_pairs(kernel):
    for group in (T(3), SE3()):
        x, lifted = problem(group)
        conv = make(group, kernel)
        torch.testing.assert_close(conv(x, lifted), expected(conv, x, lifted))


@pytest.mark.parametrize("group", [Trivial(2), SO2(), SO3(), T(2)], ids=repr)
def test_every_kind_of_coordinate_is_a_loop_over_pairs(group):
    for kernel in (AttentionKernel(), AttentionKernel("concat", "raw", "mlp")):
        x, lifted = problem(group)
        conv = make(group, kernel)
        torch.testing.assert_close(conv(x, lifted), expected(conv, x, lifted))


def test_gradients_are_those_of_the_loop():
    group = SE3()
    x, lifted = problem(group, k=2)
    x.requires_grad_()
    # Elements move along the group: off it there is nothing to agree on.
    shift = torch.zeros(len(x), 6, **FLOAT64, requires_grad=True)
    lifted = replace(lifted, g=group.mul(group.exp(shift), lifted.g))
    conv = make(group)
    inputs = [x, shift, *conv.parameters()]
    out, loop = conv(x, lifted), expected(conv, x, lifted)
    weight = torch.randn_like(out)
    torch.testing.assert_close(
        torch.autograd.grad(out, inputs, weight, retain_graph=True),
        torch.autograd.grad(loop, inputs, weight),
    )


def test_without_the_last_activation():
    x, lifted = problem(T(3))
    conv = make(T(3), AttentionKernel(act_last=False))
    torch.testing.assert_close(conv(x, lifted), expected(conv, x, lifted))


def test_nearest_neighbours_are_a_loop_over_them():
    x, lifted = problem(T(3))
    conv = make(T(3), neighbors=KNN(2))
    neighbours = oracle.nearest(lifted.pos, INDEX, 2)
    torch.testing.assert_close(conv(x, lifted), expected(conv, x, lifted, neighbours))


def all_edges(lifted):
    index = lifted.set_index.index
    return (index[:, None] == index).nonzero().t()


@pytest.mark.parametrize("kernel", KERNELS, ids=name)
@pytest.mark.parametrize("group", [T(3), SE3()], ids=repr)
def test_edges_of_all_pairs_are_full_attention(group, kernel):
    x, lifted = problem(group, k=None if group.num_lifts else 2)
    conv = make(group, kernel)
    edges = all_edges(lifted)[:, torch.randperm(all_edges(lifted).size(1))]
    torch.testing.assert_close(conv(x, lifted, edges), conv(x, lifted))


def test_a_radius_beyond_everything_is_full_attention():
    x, lifted = problem(SE3(), k=2)
    conv = make(SE3(), neighbors=Radius(1e3))
    full = make(SE3())
    full.load_state_dict(conv.state_dict())
    torch.testing.assert_close(conv(x, lifted), full(x, lifted))


@pytest.mark.parametrize("chunk", [1, 3, 7, 20])
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("recompute", [False, True])
def test_blocks_of_any_size_give_the_same(chunk, given, recompute):
    """Values, gradients and second derivatives."""
    group = SE3()
    conv = make(group)
    pos = torch.randn(len(INDEX), 3, **FLOAT64, requires_grad=True)
    x = torch.randn(len(INDEX), IN, **FLOAT64, requires_grad=True)
    sets = SetIndex.build(INDEX, dim_size=6)

    def derivatives(chunk, max_pairs):
        lifted = group.lift(pos, sets, fixed=True)
        pairs = (
            EdgePairs(lifted, all_edges(lifted), group, max_pairs, chunk)
            if given
            else FullPairs(lifted, group, max_pairs, chunk)
        )
        assert pairs.recompute == (max_pairs == 0)
        out = conv(x, lifted, pairs=pairs)
        first = torch.autograd.grad(out.square().sum(), [pos, x], create_graph=True)
        loss = sum(grad.square().sum() for grad in first)
        second = torch.autograd.grad(
            loss, [pos, x, *conv.parameters()], allow_unused=True
        )
        return out, *first, *second, len(pairs.blocks)

    *whole, one = derivatives(10**6, 10**6)
    *blocked, many = derivatives(chunk, 0 if recompute else 10**6)
    assert one <= 4 <= many or chunk == 20
    torch.testing.assert_close(blocked, whole, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("group", GROUPS, ids=repr)
class TestSymmetry:
    def test_the_output_does_not_change_when_points_and_lift_move(self, group):
        h = group.random(1, **FLOAT64)[0]
        x, lifted = problem(group, k=None if group.num_lifts else 2)
        for kernel in (AttentionKernel(), AttentionKernel("concat", "raw", "mlp")):
            conv = make(group, kernel)
            moved = conv(x, lifted.moved(h))
            torch.testing.assert_close(moved, conv(x, lifted), rtol=0, atol=1e-12)

    def test_nor_in_single_precision(self, group):
        pos = torch.randn(len(INDEX), group.dim)
        lifted = group.lift(pos, SetIndex.build(INDEX, dim_size=6))
        x = torch.randn(len(lifted.g), IN)
        conv = LieSelfAttention(IN, OUT, group, HEADS)
        moved = conv(x, lifted.moved(group.random(1)[0]))
        torch.testing.assert_close(moved, conv(x, lifted), rtol=0, atol=1e-5)

    def test_it_does_change_when_points_move_apart(self, group):
        """An installable package of this name ignores the coordinates."""
        x, lifted = problem(group)
        conv = make(group)
        apart = group.lift(3 * lifted.pos + lifted.pos.sin(), lifted.nodes, fixed=True)
        same = group.lift(lifted.pos, lifted.nodes, fixed=True)
        assert (conv(x, apart) - conv(x, same)).abs().max() > 1e-4

    def test_sets_are_apart(self, group):
        x, lifted = problem(group)
        conv = make(group)
        out, own = conv(x, lifted), lifted.set_index.index == 1
        poisoned = x.clone()
        poisoned[~own] = torch.nan
        torch.testing.assert_close(conv(poisoned, lifted)[own], out[own])


@pytest.mark.parametrize("group", FINITE, ids=repr)
def test_finite_groups_are_exact_over_all_their_elements(group):
    """The mean over the lifts of a point does not change by any element."""
    pos = torch.randn(3, group.dim, **FLOAT64)
    x, conv = torch.randn(3, IN, **FLOAT64), make(group)

    def output(pos):
        lifted = group.lift(pos)
        return lifted.mean(conv(lifted.repeat(x), lifted))

    at_rest = output(pos)
    shift = torch.randn(group.dim, **FLOAT64)
    for linear in group.table:
        h = torch.cat([linear, shift])
        turned = output(group.act(h.expand(3, -1), pos))
        torch.testing.assert_close(turned, at_rest, rtol=0, atol=1e-12)
    # Not under what is not an element.
    other = SE3().exp(torch.tensor([0.3, 0.2, 0.1, 0, 0, 0], **FLOAT64))
    if group.dim == 3:
        turned = output(SE3().act(other.expand(3, -1), pos))
        assert (turned - at_rest).abs().max() > 1e-9


class TestAdjacency:
    @pytest.fixture
    def edges(self):
        return torch.tensor([[0, 3, 4, 1, 6, 0, 3], [3, 0, 0, 1, 6, 0, 3]])

    @pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
    @pytest.mark.filterwarnings("ignore:Sparse invariant checks are implicitly")
    def test_every_form_gives_the_same(self, edges):
        x, lifted = problem(T(3))
        conv, size = make(T(3)), (len(INDEX), len(INDEX))
        out = conv(x, lifted, edges)
        for adjacency in (
            EdgeIndex(edges, sparse_size=size).sort_by("col")[0],
            to_torch_coo_tensor(edges.flip(0), size=size),
            to_torch_csr_tensor(edges.flip(0), size=size),
        ):
            torch.testing.assert_close(conv(x, lifted, adjacency), out)

    def test_who_hears_nobody_gets_the_bias(self, edges):
        x, lifted = problem(T(3))
        conv = make(T(3))
        out = conv(x, lifted, edges)
        for deaf in (2, 4, 5, 7):
            torch.testing.assert_close(out[deaf], conv.lin_out.bias)

    def test_compiles_to_one_graph(self, edges):
        conv = make(SE3())
        compiled = torch.compile(conv, backend="aot_eager", fullgraph=True)
        x, lifted = problem(SE3())
        torch.testing.assert_close(compiled(x, lifted, edges), conv(x, lifted, edges))
        torch.compiler.reset()


@pytest.mark.parametrize("given", [False, True])
def test_nothing_and_single_points(given):
    conv = make(SE3())
    for index in (INDEX[:0], torch.tensor([4]), torch.tensor([2, 0])):
        x, lifted = problem(SE3(), index=index)
        out = conv(x, lifted, all_edges(lifted) if given else None)
        assert out.shape == (len(index), OUT)
        # Alone, a point hears itself with weight 1, wherever it is.
        torch.testing.assert_close(out, conv.lin_out(conv.lin_value(x)))


@pytest.mark.parametrize("group", [T(3), SE3(), SO3(), Octahedral()], ids=repr)
@pytest.mark.parametrize("given", [False, True])
def test_two_derivatives_also_of_coincident_points(group, given):
    conv = make(group)
    pos = torch.randn(4, 3, **FLOAT64)
    pos[3] = pos[1]
    k = 2 if group.num_lifts in (None, 24) else None
    x = torch.randn(4, IN, **FLOAT64)
    weight = torch.randn(OUT, **FLOAT64)
    near = torch.tensor([[0, 1, 1, 3, 2, 0], [0, 0, 1, 1, 2, 3]])

    def output(x, pos):
        lifted = group.lift(pos, k=k, fixed=True)
        edges = expand_edges(near, lifted.num_lifts) if given else None
        return conv(lifted.repeat(x), lifted, edges).sum(0) @ weight

    inputs = (x.requires_grad_(), pos.requires_grad_())
    assert torch.autograd.gradcheck(output, inputs)
    assert torch.autograd.gradgradcheck(output, inputs)


def test_recomputed_blocks_keep_nothing_of_the_pairs():
    class OnPoints(torch.nn.Module):
        def __init__(self, max_pairs):
            super().__init__()
            self.conv = LieSelfAttention(3, 8, SE3(), 2, max_pairs=max_pairs)

        def forward(self, x, index=None, ptr=None):
            sets = SetIndex.build(index, ptr, None, len(x))
            return self.conv(x, SE3().lift(x.detach(), sets))

    from pyg_setops.testing import random_sets

    small, large = (random_sets(3, [size] * 4) for size in (16, 64))
    saved = {
        (size, max_pairs): measure_memory(OnPoints(max_pairs), sets)
        for max_pairs in (0, 10**9)
        for size, sets in (("small", small), ("large", large))
    }
    key = "bytes saved for backward"
    assert saved["large", 0][key] < 6 * saved["small", 0][key]
    assert saved["large", 10**9][key] > 12 * saved["small", 10**9][key]


def test_neighbourhoods_cost_by_their_edges():
    """Bytes for 4 nearest neighbours are linear in the points, here of one set."""
    conv = LieSelfAttention(IN, OUT, T(3), HEADS, neighbors=KNN(4))

    class OnPoints(torch.nn.Module):
        def forward(self, x, index=None, ptr=None):
            sets = SetIndex.build(index, ptr, None, len(x))
            return conv(x, T(3).lift(x.detach(), sets))

    from pyg_setops.testing import random_sets

    small, large = (
        measure_memory(OnPoints(), random_sets(3, [size])) for size in (100, 800)
    )
    for what, count in small.items():
        assert large[what] < 9 * count


def test_widths_types_and_errors():
    x, lifted = problem(SE3())
    lazy = LieSelfAttention(-1, OUT, SE3(), HEADS).double()
    assert lazy(x, lifted).shape == (len(x), OUT)
    assert lazy.in_channels == IN
    assert repr(lazy) == "LieSelfAttention(3, 4, SE3(), heads=2, neighbors='full')"
    conv = make(SE3())
    with pytest.raises(ValueError, match="3 channels"):
        conv(x[:, :2], lifted)
    with pytest.raises(ValueError, match="a row for each of the 8"):
        conv(x[:5], lifted)
    with pytest.raises(ValueError, match=r"lift to SE3\(\), got one to T\(3\)"):
        conv(x, problem(T(3))[1])
    with pytest.raises(ValueError, match="'heads' must divide"):
        LieSelfAttention(IN, 5, SE3(), 2)
    with pytest.raises(ValueError, match="'neighbors'"):
        LieSelfAttention(IN, OUT, SE3(), 2, neighbors="near")


def test_a_wrong_lift_leaves_the_width_open():
    conv, (x, lifted) = LieSelfAttention(-1, OUT, SE3(), HEADS), problem(SE3())
    for rows, lift in ((x[:5], lifted), (x, problem(T(3))[1])):
        with pytest.raises(ValueError, match=r"'x' must|'lifted' must"):
            conv(rows, lift)
    assert conv.in_channels == -1
    lifted = SE3().lift(torch.randn(8, 3))
    assert conv(torch.randn(8, 2), lifted).shape == (8, OUT)


@pytest.mark.parametrize(
    "options",
    [
        {"content": "sum"},
        {"location": "raw"},
        {"content": None, "location": None},
        {"content": None, "combine": "product"},
        {"normalize": "max"},
        {"hidden_channels": 0},
    ],
)
def test_kernels_that_are_none(options):
    with pytest.raises(ValueError, match=r"'|needs"):
        AttentionKernel(**options)


def test_pairs_are_embedded_as_the_layer_says():
    x, lifted = problem(SE3())
    for embedding in ("log", "wigner", "radial"):
        group = SE3(embedding=embedding)
        conv = make(group)
        expected = conv(x, replace(lifted, group=group))
        torch.testing.assert_close(conv(x, lifted), expected)


def test_published_kernels():
    assert AttentionKernel.published("mlp") == AttentionKernel(normalize="constant")
    assert AttentionKernel.published("2232") == AttentionKernel(
        "concat", "raw", "mlp", "constant"
    )
    assert AttentionKernel.published("1311").combine == "product"
    assert AttentionKernel.published("dot_product_only").location is None
    assert AttentionKernel.published("location_only").content is None
    for wrong in ("2942", "22", "relative_position"):
        with pytest.raises(ValueError, match="no published kernel"):
            AttentionKernel.published(wrong)


def test_autocast_tells_near_points_of_a_wide_set_apart():
    conv = LieSelfAttention(IN, OUT, T(3), HEADS, AttentionKernel(content=None))
    pos = 100 * torch.randn(8, 3)
    pos[4:] = pos[:4] + 0.1
    lifted, x = T(3).lift(pos), torch.randn(8, IN)

    def location():
        target, source = conv.scores.sides(x, lifted)
        return target.location[4:] + source.location[:4]

    expected = location()
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(location(), expected, rtol=0, atol=1e-3)


def test_autocast_and_bf16():
    pos = torch.randn(6, 3)
    conv = LieSelfAttention(IN, OUT, SE3(), HEADS)
    lifted = SE3().lift(pos, fixed=True)
    x = torch.randn(6, IN)
    full = conv(x, lifted)
    half = conv.bfloat16()(x.bfloat16(), SE3().lift(pos.bfloat16(), fixed=True))
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), full, rtol=0.1, atol=0.1)
