"""The layer against explicit matrices, and what is promised beside."""

from itertools import permutations

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from pyg_setops import EquivariantLinear, testing
from pyg_setops.partition import diagrams
from pyg_setops.ragged import TensorIndex
from tests.oracles import partition as oracle

ORDERS = [(k, total - k) for total in range(6) for k in range(total + 1)]
SIZES = [2, 0, 1, 5, 3, 4]


def layer(order_in, order_out, channels=2, out_channels=3, **kwargs):
    module = EquivariantLinear(order_in, order_out, channels, out_channels, **kwargs)
    module = module.double()
    for name, parameter in module.named_parameters():
        if name != "weight":
            torch.nn.init.normal_(parameter)
    return module


def draw(sizes, order, channels=2):
    rows = sum(size**order for size in sizes)
    return torch.randn(rows, channels, dtype=torch.float64)


def pointers(sizes):
    return torch.tensor([0, *sizes]).cumsum(0)


@pytest.mark.parametrize("aggr", ["mean", "sum"])
@pytest.mark.parametrize("orders", ORDERS)
def test_equals_explicit_matrices(orders, aggr):
    module = layer(*orders, aggr=aggr)
    x = draw(SIZES, orders[0])
    out = module(x, ptr=pointers(SIZES))
    weights = module.per_diagram()
    expected = oracle.linear(
        x, SIZES, weights, module.biases(), *reversed(orders), aggr
    )
    torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("orders", [(3, 3), (4, 2), (2, 4), (1, 5), (5, 1), (6, 0)])
def test_equals_explicit_matrices_of_six_axes(orders):
    module, sizes = layer(*orders), [2, 0, 1, 3]
    x = draw(sizes, orders[0])
    weights = module.per_diagram()
    expected = oracle.linear(
        x, sizes, weights, module.biases(), *reversed(orders), "mean"
    )
    out = module(x, ptr=pointers(sizes))
    torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size_exponent", [False, True])
@pytest.mark.parametrize("orders", [(2, 2), (3, 0), (0, 2), (1, 2), (2, 1)])
@pytest.mark.parametrize("aggr", ["mean", "sum"])
@pytest.mark.parametrize("size", range(4))
def test_dense_weight_is_the_map(orders, size, aggr, size_exponent):
    kwargs = {"size_exponent": size_exponent, "typical_size": 3.0, "bias": False}
    module = layer(*orders, aggr=aggr, **kwargs)
    x = draw([size], orders[0])
    expected = torch.einsum("rcoi,ci->ro", module.dense_weight(size), x)
    out = module(x, ptr=pointers([size]))
    torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("orders", "expected"),
    [
        ((2, 2), [1, 8, 14, 15]),
        ((3, 2), [1, 16, 41, 51]),
        ((2, 0), [1, 2, 2, 2]),
        ((1, 2), [1, 4, 5, 5]),
    ],
)
def test_ranks(orders, expected):
    """As many maps as there are, for sets that are large enough: none is missing."""
    count = len(diagrams(*orders))
    module = EquivariantLinear(*orders, 1, 1, bias=False).double()
    for size, rank in enumerate(expected, start=1):
        maps = []
        for number in range(count):
            with torch.no_grad():
                module.weight.zero_()[number] = 1
            # The map's columns are its values at unit vectors, a set each.
            columns = torch.eye(size ** orders[0], dtype=torch.float64)
            sizes = [size] * len(columns)
            maps.append(module(columns.reshape(-1, 1), ptr=pointers(sizes)).flatten())
        assert torch.linalg.matrix_rank(torch.stack(maps).detach()) == rank


@pytest.mark.parametrize("size_exponent", [False, True])
@pytest.mark.parametrize("orders", ORDERS)
def test_commutes_with_permutations_of_every_set(orders, size_exponent):
    order_in, order_out = orders
    module = layer(*orders, size_exponent=size_exponent, typical_size=2.0)
    sizes = [3, 0, 1, 4]
    tensors = TensorIndex.build(ptr=pointers(sizes))
    moves = [torch.randperm(size) for size in sizes]

    def moved(x, order):
        """Row c of the result is row (move(c_0), move(c_1), ...) of x."""
        start, parts = 0, []
        for size, move in zip(sizes, moves, strict=True):
            part = x[start : start + size**order].view(*[size] * order, x.size(1))
            start += size**order
            for axis in range(order):
                part = part.index_select(axis, move)
            parts.append(part.reshape(-1, x.size(-1)))
        return torch.cat(parts)

    x = draw(sizes, order_in)
    out = module(moved(x, order_in), tensors)
    expected = moved(module(x, tensors), order_out)
    torch.testing.assert_close(out, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("orders", [(2, 2), (3, 1), (2, 0), (0, 2), (3, 2), (1, 1)])
def test_a_set_is_mapped_for_itself(orders):
    """In the batch as alone, and whatever its neighbours hold."""
    order_in, order_out = orders
    module, sizes = layer(*orders), [3, 0, 2, 1, 4]
    x = draw(sizes, order_in)
    ins = [size**order_in for size in sizes]
    outs = [size**order_out for size in sizes]
    together = module(x, ptr=pointers(sizes)).split(outs)
    parts = x.split(ins)
    for size, part, expected in zip(sizes, parts, together, strict=True):
        torch.testing.assert_close(module(part, ptr=pointers([size])), expected)
    spoiled = torch.cat([parts[0], *[part * torch.nan for part in parts[1:]]])
    spoiled.requires_grad_()
    out = module(spoiled, ptr=pointers(sizes)).split(outs)
    torch.testing.assert_close(out[0], together[0])
    (gradient,) = torch.autograd.grad(out[0].sum(), spoiled)
    (expected,) = torch.autograd.grad(
        module(first := parts[0].clone().requires_grad_(), ptr=pointers([3])).sum(),
        first,
    )
    torch.testing.assert_close(gradient[: ins[0]], expected)


@pytest.mark.parametrize("aggr", ["mean", "sum"])
@pytest.mark.parametrize("orders", [(2, 2), (2, 0), (0, 2), (3, 1), (1, 3), (2, 1)])
def test_derivatives_with_an_empty_set(orders, aggr):
    module = layer(*orders, 1, 2, aggr=aggr, size_exponent=orders[0] > 0)
    sizes = [2, 0, 1]
    tensors = TensorIndex.build(ptr=pointers(sizes))
    x = draw(sizes, orders[0], 1).requires_grad_()
    names = [name for name, _ in module.named_parameters()]

    def run(x, *values):
        parameters = dict(zip(names, values, strict=True))
        return torch.func.functional_call(module, parameters, (x, tensors))

    inputs = (x, *module.parameters())
    assert gradcheck(run, inputs)
    assert gradgradcheck(run, inputs)


def maron(x):
    """The 15 operations of the invariant graph network's layer, as it writes them."""
    n = len(x)
    row, column, diagonal = x.sum(1), x.sum(0), torch.stack([x[i, i] for i in range(n)])
    total, trace = x.sum((0, 1)), diagonal.sum(0)

    def on_diagonal(v):
        out = torch.zeros_like(x)
        for i in range(n):
            out[i, i] = v[i]
        return out

    each = torch.ones(n, 1, dtype=x.dtype)
    return {
        (0, 1, 0, 1): x,
        (0, 1, 1, 0): x.transpose(0, 1),
        (0, 1, 0, 2): row[:, None].expand_as(x),
        (0, 1, 1, 2): row[None].expand_as(x),
        (0, 1, 2, 0): column[:, None].expand_as(x),
        (0, 1, 2, 1): column[None].expand_as(x),
        (0, 1, 0, 0): diagonal[:, None].expand_as(x),
        (0, 1, 1, 1): diagonal[None].expand_as(x),
        (0, 0, 0, 1): on_diagonal(row),
        (0, 0, 1, 0): on_diagonal(column),
        (0, 0, 0, 0): on_diagonal(diagonal),
        (0, 1, 2, 3): total.expand_as(x),
        (0, 1, 2, 2): trace.expand_as(x),
        (0, 0, 1, 2): on_diagonal(each * total),
        (0, 0, 1, 1): on_diagonal(each * trace),
    }


def test_takes_the_weights_of_a_layer_of_15_operations():
    module = layer(2, 2, 4, 5, aggr="sum", bias=False)
    weights = {
        partition: torch.randn(5, 4, dtype=torch.float64)
        for partition in maron(torch.zeros(1, 1, 4))
    }
    assert len(weights) == 15
    module.load_diagrams(weights.items())
    for size in range(1, 5):
        x = draw([size], 2, 4)
        operations = maron(x.view(size, size, 4))
        expected = sum(operations[p] @ w.t() for p, w in weights.items())
        out = module(x, ptr=pointers([size]))
        torch.testing.assert_close(out.view(size, size, 5), expected)


def test_exported_weights_come_back():
    there, back = layer(3, 1), layer(3, 1)
    back.load_diagrams(reversed(there.per_diagram()))
    assert torch.equal(back.weight, there.weight)


def test_wrong_weights_are_refused_and_change_nothing():
    module = layer(1, 1)
    before, given = module.weight.clone(), module.per_diagram()
    with pytest.raises(ValueError, match="each of the 2 partitions"):
        module.load_diagrams(given[:1] * 2)
    with pytest.raises(ValueError, match=r"shape \[3, 2\], got \[2, 2\]"):
        module.load_diagrams([given[0], (given[1][0], torch.ones(2, 2))])
    assert torch.equal(module.weight, before)


@pytest.mark.parametrize("orders", [(1, 1), (1, 2), (2, 1), (1, 0)])
def test_an_unsorted_index_is_understood(orders):
    order_in, order_out = orders
    module = layer(*orders)
    index = torch.tensor([1, 0, 1, 0, 0])
    order = index.argsort(stable=True)
    x = draw([3, 2], order_in)
    expected = module(x, index.sort()[0])
    if order_in == 1:  # elements come, and go, in the order of the index
        x = x[order.argsort()]
    if order_out == 1:
        expected = expected[order.argsort()]
    torch.testing.assert_close(module(x, index), expected)


def test_leading_dimensions_are_batches_of_their_own():
    module, ptr = layer(2, 1), pointers([2, 3])
    x = torch.randn(2, 3, 13, 2, dtype=torch.float64)
    out = module(x, ptr=ptr)
    assert out.shape == (2, 3, 5, 3)
    torch.testing.assert_close(out[1, 2], module(x[1, 2], ptr=ptr))
    tensors = TensorIndex.build(ptr=ptr)
    torch.testing.assert_close(module(x, tensors), out)


def test_without_a_layout_there_is_one_set():
    x = draw([3], 2)
    module = layer(2, 2)
    torch.testing.assert_close(module(x), module(x, ptr=pointers([3])))
    with pytest.raises(ValueError, match="'x' must have 9 rows"):
        module(x[:8])


@pytest.mark.parametrize("orders", [(2, 2), (3, 0), (3, 1)])
def test_size_exponents_scale_sums(orders):
    """With an exponent of 1 for each axis, means become sums over n-bar."""
    mean = layer(*orders, size_exponent=True, typical_size=5.0)
    plain, total = layer(*orders), layer(*orders, aggr="sum", typical_size=5.0)
    for other in (plain, total):
        other.load_diagrams(mean.per_diagram())
        other.bias.data.copy_(mean.bias)
    x, ptr = draw([3, 0, 4], orders[0]), pointers([3, 0, 4])
    with torch.no_grad():
        mean.exponent.zero_()
        torch.testing.assert_close(mean(x, ptr=ptr), plain(x, ptr=ptr))
        for number, side in enumerate(mean.plan.pooled):
            mean.exponent[number] = side.num_summed
    torch.testing.assert_close(mean(x, ptr=ptr), total(x, ptr=ptr))


@pytest.mark.parametrize("orders", [(2, 2), (1, 2), (2, 1), (2, 0), (0, 2), (3, 1)])
def test_lazy_widths(orders):
    module = EquivariantLinear(*orders, -1, 4)
    sizes = [2, 3]
    out = module(draw(sizes, orders[0], 5).float(), ptr=pointers(sizes))
    assert out.size(1) == 4
    assert module.in_channels == 5


@pytest.mark.parametrize(
    ("orders", "how"),
    [
        ((2, 2), "tensors"),
        ((1, 2), "ptr"),
        *[
            pytest.param(orders, how, marks=pytest.mark.slow)
            for orders in [(2, 2), (2, 0), (0, 2), (3, 1), (1, 3), (3, 2)]
            for how in ("tensors", "ptr")
        ],
    ],
)
def test_compiles_to_one_graph_for_all_sizes(orders, how):
    torch.compiler.reset()
    module = EquivariantLinear(*orders, 2, 3)
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True, dynamic=True)
    for times in (1, 2):
        sizes = [3, 0, 2, 1, 4] * times
        x, ptr = draw(sizes, orders[0]).float().requires_grad_(), pointers(sizes)
        tensors = TensorIndex.build(ptr=ptr)
        given = (tensors,) if how == "tensors" else (None, ptr)
        out, expected = compiled(x, *given), module(x, *given)
        torch.testing.assert_close(out, expected)
        (gradient,) = torch.autograd.grad(out.square().sum(), x)
        (same,) = torch.autograd.grad(expected.square().sum(), x)
        torch.testing.assert_close(gradient, same)
    torch.compiler.reset()


def test_nothing_is_padded():
    """One large set beside many of one element: bytes follow the rows there are."""
    module = EquivariantLinear(2, 2, 4, 4)

    class OnPairs(torch.nn.Module):
        def forward(self, x, index=None, ptr=None):
            tensors = TensorIndex.build(index)
            pairs = tensors.gather(x, (0,), 2) * tensors.gather(x, (1,), 2)
            return module(pairs, tensors)

    bytes_, rows = [], []
    for size in (16, 64):
        sizes = [size] + [1] * size**2
        sets = testing.random_sets(4, sizes)
        memory = testing.measure_memory(OnPairs(), sets)
        bytes_.append(memory["bytes saved for backward"])
        rows.append(sum(n**2 for n in sizes))
        # Three maps of the elements' width side by side are the widest.
        assert memory["largest tensor"] <= 3 * 4 * 4 * rows[-1]
    assert bytes_[1] / bytes_[0] < 1.1 * rows[1] / rows[0]


def test_keeps_its_input_and_little_else():
    module = EquivariantLinear(2, 2, 16, 16, bias=False)
    tensors = TensorIndex.build(ptr=pointers([30] * 8))
    x = torch.randn(tensors.num_rows(2), 16, requires_grad=True)
    kept = {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = module(x, tensors)
    assert sum(kept.values()) < 1.7 * x.untyped_storage().nbytes()
    del out


def test_wrong_arguments_are_refused_by_name():
    for arguments, name in (
        ({"order_in": -1}, "order_in"),
        ({"order_out": -1}, "order_out"),
        ({"out_channels": 0}, "out_channels"),
        ({"in_channels": 0}, "in_channels"),
        ({"aggr": "max"}, "aggr"),
        ({"typical_size": 0.0}, "typical_size"),
    ):
        given = {"order_in": 1, "order_out": 1, "in_channels": 2, "out_channels": 3}
        with pytest.raises(ValueError, match=f"'{name}'"):
            EquivariantLinear(**{**given, **arguments})
    tensors = TensorIndex.build(ptr=pointers([2]))
    with pytest.raises(ValueError, match="'ptr'"):
        layer(1, 1)(draw([2], 1), tensors, pointers([2]))
    with pytest.raises(ValueError, match="'index' or 'ptr'"):
        layer(0, 1)(draw([2], 0))


def test_orders_of_axes_are_what_they_are_called():
    """From triples to triples, a permutation of the axes moves the axes."""
    x = torch.randn(3, 3, 3, 1, dtype=torch.float64)
    module = layer(3, 3, 1, 1, bias=False)
    kinds = [diagram.partition for diagram in diagrams(3, 3)]
    for move in permutations(range(3)):
        with torch.no_grad():
            module.weight.zero_()[kinds.index((0, 1, 2, *move))] = 1
        out = module(x.view(-1, 1)).view(3, 3, 3, 1)
        # Input axis p follows output axis move[p].
        torch.testing.assert_close(out, x.permute(*map(move.index, range(3)), 3))


@pytest.mark.parametrize("kwargs", [{}, {"aggr": "sum", "typical_size": 300.0}])
@pytest.mark.parametrize("order_out", [0, 1, 2])
def test_sums_need_not_fit_half_precision(order_out, kwargs):
    ptr = torch.tensor([0, 300])
    module = EquivariantLinear(2, order_out, 2, 3, **kwargs).half()
    pairs = (torch.rand(300**2, 2) + 0.5).half()  # they add up to more than 65504
    out = module(pairs, ptr=ptr)
    assert out.dtype == torch.half
    expected = module.double()(pairs.double(), ptr=ptr)
    torch.testing.assert_close(out.double(), expected, atol=4e-3, rtol=4e-3)
    with torch.autocast("cpu", torch.half):
        out = module.float()(pairs.float(), ptr=ptr)
    torch.testing.assert_close(out.double(), expected, atol=8e-3, rtol=8e-3)
