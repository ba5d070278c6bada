"""SE3TransformerConv against loops over edges, under motions, and to second order."""

import copy
import pickle
import subprocess
import sys

import pytest
import torch
from e3nn import o3
from torch_geometric import EdgeIndex

from pyg_setops.conv import SE3TransformerConv
from pyg_setops.testing.memory import _LargestTensor
from tests.oracles import se3 as oracle

NODES, CUTOFF = 5, 2.0
IN, OUT = "2x0e + 2x1o + 1x2e", "3x0e + 2x1o + 1x0o + 2x1e + 1x2e"


@pytest.fixture(autouse=True)
def _symbols_do_not_depend_on_the_default_type():
    assert torch.get_default_dtype() == torch.float32


def make(irreps_in=IN, irreps_out=OUT, heads=2, edge_channels=0, **kwargs):
    options = {"num_radial": 5, "radial_channels": 4, "cutoff": CUTOFF, **kwargs}
    conv = SE3TransformerConv(
        irreps_in, irreps_out, heads=heads, edge_channels=edge_channels, **options
    )
    return conv.double()


def cloud(conv, nodes=NODES, seed=0, spread=0.6):
    """Nodes, positions, and edges in any order: one a loop, one node without any."""
    generator = torch.Generator().manual_seed(seed)
    adjacency = torch.rand(nodes, nodes, generator=generator) < 0.6
    adjacency[:, 1] = False
    adjacency[2, 2] = True
    edge_index = adjacency.nonzero().t()
    edge_index = edge_index[:, torch.randperm(edge_index.size(1), generator=generator)]

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    x, pos = normal(nodes, conv.irreps_in.dim), spread * normal(nodes, 3)
    return x, pos, edge_index, normal(edge_index.size(1), conv.edge_channels)


def representation(irreps, matrix):
    """D(R) in float64: e3nn builds it in the default type."""
    torch.set_default_dtype(torch.float64)
    try:
        return irreps.D_from_matrix(matrix)
    finally:
        torch.set_default_dtype(torch.float32)


def random_motion(improper, seed=0):
    torch.manual_seed(seed)
    torch.set_default_dtype(torch.float64)
    try:
        return o3.rand_matrix() * (-1 if improper else 1)
    finally:
        torch.set_default_dtype(torch.float32)


def plain(irreps):
    return [(mul, (irrep.l, irrep.p)) for mul, irrep in irreps]


def expected(conv, x, pos, edge_index, edge_attr):
    irreps = {
        "in": plain(conv.irreps_in),
        "hidden": plain(conv.irreps_hidden),
        "out": plain(conv.irreps_out),
    }
    edges = edge_index.t().tolist()
    weights = dict(conv.named_parameters())
    return oracle.conv(x, pos, edges, edge_attr, weights, irreps, CUTOFF, conv.heads)


@pytest.mark.parametrize("max_edges", [100, 3])
@pytest.mark.parametrize(
    ("heads", "edge_channels", "irreps_in", "irreps_out"),
    [
        (1, 0, IN, OUT),
        (2, 1, IN, OUT),
        (3, 0, "3x0e", "2x0e + 1x1o"),
        (2, 0, "1x1o + 2x0o + 1x1o", "2x0e + 2x1o + 1x1e"),
    ],
)
def test_values_and_gradients(heads, edge_channels, irreps_in, irreps_out, max_edges):
    conv = make(irreps_in, irreps_out, heads, edge_channels, max_edges=max_edges)
    x, pos, edge_index, edge_attr = cloud(conv)
    given = edge_attr if edge_channels else None
    inputs = [x.requires_grad_(), pos.requires_grad_(), *conv.parameters()]
    out = conv(x, pos, edge_index, given)
    loop = expected(conv, x, pos, edge_index, edge_attr)
    torch.testing.assert_close(out, loop)
    weight = torch.randn_like(out)
    torch.testing.assert_close(
        torch.autograd.grad(out, inputs, weight, allow_unused=True),
        torch.autograd.grad(loop, inputs, weight, allow_unused=True),
    )


@pytest.mark.parametrize("improper", [False, True])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)]
)
def test_moves_along_with_every_motion(improper, dtype, tolerance):
    conv = make(max_edges=4).to(torch.float32).to(dtype)  # rounds no symbol
    x, pos, edge_index, _ = cloud(conv, nodes=12)
    rotation = random_motion(improper)
    before, after = (
        representation(irreps, rotation) for irreps in (conv.irreps_in, conv.irreps_out)
    )
    shift = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    moved = (x @ before.t()).to(dtype), (pos @ rotation.t() + shift).to(dtype)
    out = conv(x.to(dtype), pos.to(dtype), edge_index)
    assert out.abs().mean() > 0.1
    error = conv(*moved, edge_index) - out @ after.t().to(dtype)
    assert error.abs().max() < tolerance * 10


def test_pseudoscalars_tell_mirror_images_apart():
    layers = [
        make("2x0e", "2x0e + 2x1o + 2x2e"),
        make("2x0e + 2x1o + 2x2e", "2x1e"),
        make("2x1e", "1x0o"),
    ]
    x, pos, edge_index, _ = cloud(layers[0], nodes=8)

    def chirality(pos):
        hidden = x
        for layer in layers:
            hidden = layer(hidden, pos, edge_index)
        return hidden

    found = chirality(pos)
    assert found.abs().max() > 1e-6
    torch.testing.assert_close(chirality(-pos), -found)


@pytest.mark.parametrize("max_edges", [100, 3])
def test_derivatives_of_second_order(max_edges):
    conv = make("1x0e + 1x1o", "1x0e + 1x1o", 1, max_edges=max_edges)
    x, pos, edge_index, _ = cloud(conv, nodes=3)
    inputs = (x.requires_grad_(), pos.requires_grad_())
    assert torch.autograd.gradcheck(lambda x, p: conv(x, p, edge_index), inputs)
    assert torch.autograd.gradgradcheck(
        lambda x, p: conv(x, p, edge_index).square().mean(1), inputs
    )


def forces(conv, x, pos, edge_index):
    """Forces, and the gradient of their square: what training on forces takes."""
    pos = pos.clone().requires_grad_()
    energy = conv(x, pos, edge_index)[:, 0].sum()
    (force,) = torch.autograd.grad(energy, pos, create_graph=True)
    parameters = [p for p in conv.parameters() if p.numel() > 0]
    second = torch.autograd.grad(
        force.square().sum(), [pos, *parameters], allow_unused=True
    )
    return force.detach(), [grad for grad in second if grad is not None]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_derivatives_are_finite_where_points_coincide(dtype):
    conv = make().to(dtype)
    x, pos, edge_index, _ = cloud(conv)
    pos[3] = pos[0]
    edge_index = torch.cat([edge_index, torch.tensor([[0, 3], [3, 0]])], dim=1)
    for where in (pos, torch.zeros_like(pos)):
        force, second = forces(conv, x.to(dtype), where.to(dtype), edge_index)
        assert force.isfinite().all()
        assert all(grad.isfinite().all() for grad in second)


def test_forces_are_continuous_where_points_meet():
    conv = make("2x0e", "2x0e")
    x = torch.randn(2, 2, dtype=torch.float64)
    edge_index = torch.tensor([[0, 1], [1, 0]])
    sizes = []
    for distance in (1e-2, 1e-6):
        pos = torch.tensor([[0.0, 0, 0], [distance, 0, 0]], dtype=torch.float64)
        sizes.append(forces(conv, x, pos, edge_index)[0].abs().max())
    # By symmetry the force is 0 where the points meet, and it comes there evenly.
    assert 1e-5 < sizes[1] / sizes[0] < 1e-3


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("gap", [1e-1, 1e-3, 1e-6, 0.0, -1e-3])
def test_a_neighbour_leaves_smoothly(gap, dtype):
    conv = make("2x0e + 1x1o", "2x0e + 1x1o", 1).to(dtype)
    x = torch.randn(3, 5, dtype=dtype)
    pos = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, CUTOFF - gap, 0]], dtype=dtype)
    near, alone = torch.tensor([[1, 2], [0, 0]]), torch.tensor([[1], [0]])
    for edges, without in ((near, alone), (near[:, 1:], near[:, :0])):
        force, second = forces(conv, x, pos, edges)
        assert all(grad.isfinite().all() for grad in [force, *second])
        change = conv(x, pos, edges) - conv(x, pos, without)
        # Three orders of the gap: two derivatives vanish at the cutoff.
        assert change.abs().max() <= 100 * max(gap, 0) ** 3 + 1e-6 * (
            dtype == torch.float32
        )


@pytest.mark.parametrize("far", [2 * CUTOFF, 1e10])
def test_scores_and_distances_of_any_size(far):
    conv = make().float()
    with torch.no_grad():
        conv.lin_query.weight.mul_(1e6)
    x, pos, edge_index, _ = cloud(conv)
    pos[edge_index[0, 0]] += far
    force, second = forces(conv, x.float(), pos.float(), edge_index)
    assert conv(x.float(), pos.float(), edge_index).isfinite().all()
    assert all(grad.isfinite().all() for grad in [force, *second])


def test_an_edge_set_beyond_the_cutoff_changes_nothing():
    conv = make()
    x, pos, _, _ = cloud(conv, nodes=9, spread=2.0)
    distance = torch.cdist(pos, pos)
    every = (distance >= 0).nonzero().t()
    near = (distance < CUTOFF).nonzero().t()
    assert 0 < near.size(1) < every.size(1)
    torch.testing.assert_close(conv(x, pos, every), conv(x, pos, near))


def test_a_graph_does_not_see_another():
    conv = make(max_edges=6)
    x, pos, edge_index, _ = cloud(conv)
    own = conv(x, pos, edge_index)
    x2, pos2 = torch.cat([x, x * torch.nan]), torch.cat([pos, pos * torch.inf])
    both = conv(x2, pos2, torch.cat([edge_index, edge_index + NODES], dim=1))
    torch.testing.assert_close(both[:NODES], own)
    order = torch.randperm(NODES)
    place = order.argsort()
    torch.testing.assert_close(
        conv(x[order], pos[order], place[edge_index]), own[order]
    )


def test_parts_have_the_gradients_of_lent_weights():
    """The backward pass comes when the layer has its own weights back."""
    conv, found = make(), []
    x, pos, edge_index, _ = cloud(conv)
    lent = {
        name: (1.5 * weight.detach()).requires_grad_()
        for name, weight in conv.named_parameters()
    }
    for max_edges in (100, 3):
        conv.max_edges = max_edges
        out = torch.func.functional_call(conv, lent, (x, pos, edge_index))
        found.append(torch.autograd.grad(out.square().sum(), list(lent.values())))
    torch.testing.assert_close(*found)


def ring(conv, nodes):
    """Nodes near one another, each with an edge from the 20 next."""
    x, pos, _, _ = cloud(conv, nodes)
    number = torch.arange(nodes)
    source = torch.cat([(number + k) % nodes for k in range(1, 21)])
    return x.requires_grad_(), pos, torch.stack([source, number.repeat(20)])


def test_parts_equal_the_whole_and_keep_less():
    conv = make("8x0e + 4x1o", "8x0e + 4x1o")
    x, pos, edge_index = ring(conv, 120)
    found = {}
    for max_edges in (10**6, 100):
        conv.max_edges = max_edges
        saved = {}

        def pack(tensor, saved=saved):
            saved[tensor.untyped_storage().data_ptr()] = tensor
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            out = conv(x, pos, edge_index)
        with _LargestTensor() as largest:
            gradient = torch.autograd.grad(out.sum(), x)
        size = sum(tensor.untyped_storage().nbytes() for tensor in saved.values())
        found[max_edges] = size, largest.bytes, out.detach(), gradient[0]
    whole, parts = found.values()
    torch.testing.assert_close(parts[2:], whole[2:], rtol=0, atol=1e-12)
    assert parts[0] < whole[0] / 8
    assert parts[1] < whole[1] / 4


@pytest.mark.gpu
def test_parts_equal_the_whole_on_a_device():
    conv = make("8x0e + 4x1o", "8x0e + 4x1o").cuda()
    x, pos, edge_index = (tensor.detach().cuda() for tensor in ring(conv, 2000))
    x.requires_grad_()
    found = {}
    for max_edges in (10**6, 1000):
        conv.max_edges = max_edges
        torch.cuda.reset_peak_memory_stats()
        out = conv(x, pos, edge_index)
        gradient = torch.autograd.grad(out.sum(), x)[0]
        found[max_edges] = torch.cuda.max_memory_allocated(), out, gradient
    whole, parts = found.values()
    torch.testing.assert_close(parts[1:], whole[1:])
    assert parts[0] < whole[0] / 3


@pytest.mark.parametrize("edges", [0, 1])
def test_little_or_nothing(edges):
    conv = make()
    x, pos, edge_index, _ = cloud(conv)
    out = conv(x, pos, edge_index[:, :edges])
    quiet = [node for node in range(NODES) if node not in edge_index[1, :edges]]
    torch.testing.assert_close(out[quiet], conv.lin_root(x)[quiet])
    assert conv(x[:0], pos[:0], edge_index[:, :0]).shape == (0, conv.irreps_out.dim)
    conv.max_edges = 1
    assert conv(x[:0], pos[:0], edge_index[:, :0]).shape == (0, conv.irreps_out.dim)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@pytest.mark.filterwarnings("ignore:Sparse invariant checks are implicitly disabled")
def test_every_form_of_adjacency_gives_the_same():
    conv = make()
    x, pos, edge_index, _ = cloud(conv)
    shape = (NODES, NODES)
    by_column = edge_index[:, edge_index[1].argsort(stable=True)]
    ones = torch.ones(edge_index.size(1))
    transposed = torch.sparse_coo_tensor(by_column.flip(0), ones, shape).coalesce()
    for adjacency in (
        EdgeIndex(by_column, sort_order="col", sparse_size=shape),
        transposed,
        transposed.to_sparse_csr(),
    ):
        torch.testing.assert_close(conv(x, pos, adjacency), conv(x, pos, edge_index))


def test_compiles_to_one_graph():
    conv = make("1x0e + 1x1o", "1x0e + 1x1o", 1)
    torch.compiler.reset()
    compiled = torch.compile(conv, backend="aot_eager", fullgraph=True, dynamic=True)
    for nodes in (5, 8):
        x, pos, edge_index, _ = cloud(conv, nodes)
        pos.requires_grad_()
        outs = [each(x, pos, edge_index) for each in (compiled, conv)]
        torch.testing.assert_close(*outs)
        torch.testing.assert_close(
            *[torch.autograd.grad(out.square().sum(), pos) for out in outs]
        )
    torch.compiler.reset()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lower_precision(dtype):
    conv = make()
    x, pos, edge_index, _ = cloud(conv)
    expected = conv(x, pos, edge_index)
    out = conv.to(dtype)(x.to(dtype), pos.to(dtype), edge_index)
    assert out.dtype == dtype
    tolerance = 200 * torch.finfo(dtype).eps
    torch.testing.assert_close(out.double(), expected, rtol=0, atol=tolerance)


def test_autocast_rounds_no_rotation():
    conv = make(edge_channels=2).float()
    x, pos, edge_index, edge_attr = cloud(conv)
    given = x.float(), pos.float(), edge_index, edge_attr.float()
    expected = conv(*given), conv.attention(*given)
    with torch.autocast("cpu", torch.bfloat16):
        found = conv(*given), conv.attention(*given)
        half = x.bfloat16(), pos.float(), edge_index, edge_attr.bfloat16()
        assert conv.attention(*half).dtype == torch.float32
    assert all(map(torch.equal, found, expected))


def test_attention_is_what_neighbours_are_heard_by():
    conv = make(edge_channels=1, irreps_out="2x0e + 2x1o")
    x, pos, edge_index, edge_attr = cloud(conv)
    share = conv.attention(x, pos, edge_index, edge_attr)
    assert share.shape == (edge_index.size(1), 2)
    total = torch.zeros(NODES, 2).double().index_add(0, edge_index[1], share)
    assert ((total > 0) == (torch.arange(NODES) != 1)[:, None]).all()
    assert (total < 1).all()
    # Without one edge, all others of its target are heard more, by one factor.
    target = edge_index[1, 0]
    others = (edge_index[1] == target).nonzero()[1:, 0]
    left = conv.attention(x, pos, edge_index[:, 1:], edge_attr[1:])[others - 1]
    factor = left / share[others]
    torch.testing.assert_close(factor, 1 / (1 - share[:1]).expand_as(factor))


def test_copies_and_modes():
    conv = make()
    x, pos, edge_index, _ = cloud(conv)
    out = conv(x, pos, edge_index)
    other = make()
    assert not torch.allclose(other(x, pos, edge_index), out)
    other.load_state_dict(conv.state_dict())
    for twin in (other, copy.deepcopy(conv), pickle.loads(pickle.dumps(conv))):
        assert torch.equal(twin(x, pos, edge_index), out)
    for mode in (torch.no_grad, torch.inference_mode):
        for max_edges in (100, 3):
            conv.max_edges = max_edges
            with mode():
                torch.testing.assert_close(conv(x, pos, edge_index), out)
    conv.reset_parameters()
    changed = [
        not torch.equal(a, b)
        for a, b in zip(conv.parameters(), other.parameters(), strict=True)
    ]
    assert all(changed)


def test_default_hidden_irreps():
    conv = SE3TransformerConv("5x0e + 3x1o", "6x0e + 2x1e", CUTOFF, heads=4)
    assert str(conv.irreps_hidden) == "8x0e+4x1o"
    assert repr(conv) == (
        "SE3TransformerConv(5x0e+3x1o, 6x0e+2x1e, cutoff=2.0, heads=4)"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cutoff": 0}, "'cutoff' must be positive, got 0"),
        ({"heads": 0}, "'heads' must be at least 1, got 0"),
        ({"num_radial": 1}, "'num_radial' must be at least 2, got 1"),
        ({"max_degree": -1}, "'max_degree' must be at least 0, got -1"),
        ({"max_edges": 0}, "'max_edges' must be at least 1, got 0"),
        ({"irreps_hidden": "3x0e"}, "divisible by the 2 'heads', got 3x0e"),
        ({"irreps_in": "2x0e", "max_degree": 0, "irreps_out": "1x1o"}, "no product of"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**arguments)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("x", {"x": torch.randn(NODES, 3)}),
        ("pos", {"pos": torch.randn(NODES, 2)}),
        ("edge_attr", {"edge_attr": torch.randn(4, 1)}),
    ],
)
def test_wrong_shapes_are_named(name, change):
    conv = make()
    x, pos, edge_index, _ = cloud(conv)
    arguments = {"x": x, "pos": pos, "edge_index": edge_index, **change}
    with pytest.raises(ValueError, match=f"'{name}' must have shape"):
        conv(**arguments)


def test_e3nn_is_imported_when_needed_and_named_when_missing():
    program = """
import sys
import pyg_setops.conv
assert not any(name.startswith("e3nn") for name in sys.modules)
sys.modules["e3nn"] = None
try:
    pyg_setops.conv.SE3TransformerConv("1x0e", "1x0e", 1.0)
except ImportError as error:
    assert "pip install" in str(error) and "SE3TransformerConv" in str(error)
else:
    raise AssertionError
"""
    subprocess.run([sys.executable, "-c", program], check=True)
