"""The layer on nodes and edges: by loops, and as the layer on pairs."""

import copy
import pickle
from functools import partial

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch_geometric.utils import erdos_renyi_graph

from pyg_setops import EquivariantLinear, PairLinear
from pyg_setops.ragged import GraphIndex, SetIndex, TensorIndex, pair_index
from tests.oracles import partition as oracle

SIZES = [4, 1, 6, 0, 3]
# One way only, both ways, a loop; a node alone; a graph without nodes.
EDGES = [(0, 1), (1, 0), (1, 2), (3, 3), (5, 6), (6, 5), (7, 5), (9, 10), (12, 11)]
BATCH = torch.arange(5).repeat_interleave(torch.tensor(SIZES))


def graphs():
    return GraphIndex.build(torch.tensor(EDGES).t(), BATCH, num_graphs=5)


def draw(node=2, edge=3):
    x = torch.randn(sum(SIZES), node, dtype=torch.float64)
    return x, torch.randn(len(EDGES), edge, dtype=torch.float64)


def layer(*arguments, **kwargs):
    module = PairLinear(*arguments, **kwargs).double()
    if module.lin_graph.bias is not None:
        torch.nn.init.normal_(module.lin_graph.bias)
    return module


@pytest.mark.parametrize("aggr", ["mean", "sum"])
def test_equals_loops(aggr):
    module = layer((2, 3), 4, aggr=aggr)
    x, edge_attr = draw()
    out = module(x, edge_attr, torch.tensor(EDGES).t(), BATCH)
    expected = oracle.pair_linear(
        x, edge_attr, EDGES, BATCH.tolist(), module.state_dict(), aggr
    )
    torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(module(x, edge_attr, graphs()), expected)


@pytest.mark.parametrize("bias", [True, False])
def test_on_complete_graphs_equals_the_layer_on_pairs(bias):
    dense = EquivariantLinear(2, 2, 3, 4, bias=bias, aggr="sum").double()
    if bias:
        torch.nn.init.normal_(dense.bias)
    module = PairLinear.on_edges(dense)
    sets = SetIndex.build(BATCH, dim_size=5)
    tensors = TensorIndex.of(sets)
    pairs = torch.randn(tensors.num_rows(2), 3, dtype=torch.float64)
    source, target = pair_index(sets)  # row-major with the target first
    loops = source == target
    edge_index = torch.stack([source, target])[:, ~loops]
    x, edge_attr = module(pairs[loops], pairs[~loops], edge_index, BATCH)
    expected = dense(pairs, tensors)
    torch.testing.assert_close(x, expected[loops], rtol=1e-12, atol=1e-11)
    torch.testing.assert_close(edge_attr, expected[~loops], rtol=1e-12, atol=1e-11)


@pytest.mark.parametrize("aggr", ["mean", "sum"])
def test_has_15_different_maps(aggr):
    module = layer(1, 1, bias=False, aggr=aggr)
    source, target = pair_index(SetIndex.build(num_elements=4), loops=False)
    edge_index, maps = torch.stack([source, target]), []
    weights = [module.lin_graph.weight, module.lin_node.weight, module.lin_edge.weight]
    for weight in weights:
        for number in range(weight.numel()):
            with torch.no_grad():
                for each in weights:
                    each.zero_()
                weight.view(-1)[number] = 1
            columns = []
            for unit in torch.eye(16, dtype=torch.float64)[:, :, None]:
                columns.append(torch.cat(module(unit[:4], unit[4:], edge_index)))
            maps.append(torch.stack(columns).flatten())
    assert len(maps) == 15
    assert torch.linalg.matrix_rank(torch.stack(maps).detach()) == 15


def test_commutes_with_relabelling_of_nodes_and_edges():
    module = layer((2, 3), 4)
    x, edge_attr = draw()
    edge_index = torch.tensor(EDGES).t()
    nodes, edges = torch.randperm(len(x)), torch.randperm(len(EDGES))
    place = nodes.argsort()
    out = module(x, edge_attr, edge_index, BATCH)
    moved = module(
        x[nodes], edge_attr[edges], place[edge_index[:, edges]], BATCH[nodes]
    )
    torch.testing.assert_close(moved[0], out[0][nodes])
    torch.testing.assert_close(moved[1], out[1][edges])


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_graph_is_mapped_for_itself(value):
    module = layer((2, 3), 4)
    x, edge_attr = draw()
    out = module(x, edge_attr, graphs())
    first = torch.tensor([s < SIZES[0] for s, _ in EDGES])
    spoiled = x.masked_fill((BATCH > 0)[:, None], value).requires_grad_()
    edges = edge_attr.masked_fill(~first[:, None], value).requires_grad_()
    beside = module(spoiled, edges, graphs())
    nodes = slice(0, SIZES[0])
    torch.testing.assert_close(beside[0][nodes], out[0][nodes])
    torch.testing.assert_close(beside[1][first], out[1][first])
    total = beside[0][nodes].sum() + beside[1][first].sum()
    for gradient in torch.autograd.grad(total, [spoiled, edges]):
        assert gradient.isfinite().all()


@pytest.mark.parametrize("aggr", ["mean", "sum"])
def test_derivatives(aggr):
    module = layer((1, 2), 2, aggr=aggr)
    inputs = [value.requires_grad_() for value in (*draw(1, 2), *module.parameters())]
    names = [name for name, _ in module.named_parameters()]

    def run(x, edge_attr, *values):
        parameters = dict(zip(names, values, strict=True))
        given = (x, edge_attr, graphs())
        return torch.func.functional_call(module, parameters, given)

    assert gradcheck(run, inputs)
    assert gradgradcheck(run, inputs)


def test_compiles_to_one_graph():
    torch.compiler.reset()
    module = layer(3, 4)
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True, dynamic=True)
    for count in (9, 14):
        edge_index = erdos_renyi_graph(count, 0.4, directed=True)
        x = torch.randn(count, 3, dtype=torch.float64)
        edge_attr = torch.randn(edge_index.size(1), 3, dtype=torch.float64)
        out, expected = (
            compiled(x, edge_attr, edge_index),
            module(x, edge_attr, edge_index),
        )
        torch.testing.assert_close(out, expected)
    torch.compiler.reset()


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 5e-2)]
)
def test_precision(dtype, tolerance):
    module = layer((2, 3), 4)
    x, edge_attr = (value.bfloat16() for value in draw())
    expected = module(x.double(), edge_attr.double(), graphs())
    out = module.to(dtype)(x.to(dtype), edge_attr.to(dtype), graphs())
    for actual, exact in zip(out, expected, strict=True):
        assert actual.dtype == dtype
        error = (actual.double() - exact).abs().max() / exact.abs().max()
        assert error < tolerance


def test_copies_and_reset():
    module, given = layer((2, 3), 4), (*draw(), graphs())
    expected = module(*given)
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        torch.testing.assert_close(other(*given), expected)
    module.reset_parameters()
    assert not torch.equal(module(*given)[0], expected[0])
    assert not module.lin_graph.bias.any()


def test_without_edges_there_are_nodes():
    module = layer((2, 3), 4)
    x, edge_attr = draw()
    none = torch.empty(2, 0, dtype=torch.long)
    out, edges = module(x, edge_attr[:0], none, BATCH)
    assert out.isfinite().all()
    assert edges.shape == (0, 4)


def test_saves_what_nodes_and_edges_take():
    """A hundred times the nodes at the same degree: a hundred times the bytes."""
    module, totals = PairLinear(8, 8), []
    for count in (20, 2000):
        ring = torch.arange(count)
        edge_index = torch.stack([ring, ring.roll(1)])
        kept = {}

        def pack(tensor, kept=kept):
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        x = torch.randn(count, 8, requires_grad=True)
        edge_attr = torch.randn(count, 8, requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            out = module(x, edge_attr, edge_index)
        totals.append(sum(kept.values()))
        del out
    assert totals[1] < 105 * totals[0]


def test_wrong_graphs_are_refused_by_name():
    module = layer((2, 3), 4)
    x, edge_attr = draw()
    good = torch.tensor(EDGES).t()
    twice = good.clone()
    twice[:, 1] = twice[:, 0]
    between = good.clone()
    between[1, 0] = 5
    for wrong, message in (
        (good.double(), "'edge_index'.*integers"),
        (good.t(), "shape"),
        (good + 20, "'edge_index' names no nodes"),
        (twice, "twice"),
        (between, "two graphs"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            module(x, edge_attr, wrong, BATCH)
    with pytest.raises(ValueError, match="'x' must have shape"):
        module(x[:, :1], edge_attr, good, BATCH)
    with pytest.raises(ValueError, match="'edge_attr' must have shape"):
        module(x, edge_attr[1:], good, BATCH)
    for arguments in ((0, 4), ((2, 0), 4), (2, 0)):
        with pytest.raises(ValueError, match="channels'"):
            PairLinear(*arguments)
    with pytest.raises(ValueError, match="'aggr'"):
        PairLinear(2, 3, aggr="max")
    with pytest.raises(ValueError, match="'layer'"):
        PairLinear.on_edges(EquivariantLinear(2, 2, 3, 4))


def test_means_of_many_edges_in_half_precision():
    nodes = torch.randn(400, 2).half()
    source, target = pair_index(SetIndex.build(num_elements=400), loops=False)
    edges = (torch.rand(len(source), 3) + 0.5).half()  # more than 65504 together
    module = PairLinear((2, 3), 4).half()
    edge_index = torch.stack([source, target])
    out = module(nodes, edges, edge_index)
    expected = module.double()(nodes.double(), edges.double(), edge_index)
    for ours, exact in zip(out, expected, strict=True):
        torch.testing.assert_close(ours.double(), exact, atol=1e-2, rtol=1e-2)


def test_takes_the_integers_of_numpy():
    module = PairLinear(np.int64(2), np.int64(4)).double()
    x, edge_attr = module(*draw(2, 2), graphs())
    assert x.size(1) == edge_attr.size(1) == 4


@pytest.mark.parametrize("changes", [{"typical_size": 2.0}, {"in_channels": -1}])
def test_only_a_layer_of_known_plain_sums_is_taken(changes):
    dense = partial(EquivariantLinear, 2, 2, in_channels=3, out_channels=4, aggr="sum")
    PairLinear.on_edges(dense())
    with pytest.raises(ValueError, match="'layer' must map order 2 to order 2"):
        PairLinear.on_edges(dense(**changes))
