"""Convolutions of the registry: as layers on complete graphs, and on any graph."""

import pytest
import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.testing import get_random_edge_index

from pyg_setops import testing
from pyg_setops.operators import Operator, operators
from pyg_setops.testing import assert_lazy, random_sets

CHANNELS, NODES = 3, 7
CHECKS = [
    check
    for check in testing.LAYER_CHECKS
    # The edges of complete graphs are quadratic, and their number depends on data.
    if check not in (testing.assert_memory_linear, testing.assert_compiles)
]

pytestmark = pytest.mark.parametrize(
    "operator", operators("graphs to graphs"), ids=lambda operator: operator.name
)


class OnCompleteGraphs(torch.nn.Module):
    """A convolution as a set-to-set layer: every element hears its whole set."""

    def __init__(self, conv: torch.nn.Module):
        super().__init__()
        self.conv = conv

    def reset_parameters(self):
        self.conv.reset_parameters()

    def forward(
        self, x: Tensor, index: Tensor | None = None, ptr: Tensor | None = None
    ):
        if index is None:
            index = torch.arange(len(ptr) - 1).repeat_interleave(ptr.diff())
        return self.conv(x, (index[:, None] == index).nonzero().t())


@pytest.fixture
def edge_index() -> Tensor:
    torch.manual_seed(0)
    return get_random_edge_index(NODES, NODES, 20, coalesce=True)


@pytest.fixture
def x() -> Tensor:
    return torch.randn(NODES, CHANNELS, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__[7:])
def test_holds_on_complete_graphs(operator: Operator, check):
    conv = OnCompleteGraphs(operator.example(CHANNELS)).double()
    check(conv, random_sets(CHANNELS, [3, 0, 2, 1, 4], dtype=torch.float64))


def test_lazy(operator: Operator):
    layer = OnCompleteGraphs(operator.example())
    assert_lazy(layer, random_sets(CHANNELS))


def test_order_of_edges_does_not_matter(operator: Operator, x, edge_index):
    conv = operator.example(CHANNELS).double()
    order = torch.randperm(edge_index.size(1))
    torch.testing.assert_close(conv(x, edge_index), conv(x, edge_index[:, order]))


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@pytest.mark.filterwarnings("ignore:Sparse invariant checks are implicitly disabled")
def test_every_form_of_adjacency_gives_the_same(operator: Operator, x, edge_index):
    conv = operator.example(CHANNELS).double()
    expected = conv(x, edge_index)
    (gradient,) = torch.autograd.grad(expected.square().sum(), x)
    by_column = edge_index[:, edge_index[1].argsort(stable=True)]
    shape = (NODES, NODES)
    ones = torch.ones(edge_index.size(1), dtype=torch.float64)
    # PyG takes adjacency matrices transposed: rows receive.
    transposed = torch.sparse_coo_tensor(
        by_column.flip(0), ones, shape, check_invariants=True
    ).coalesce()
    for adjacency in (
        EdgeIndex(by_column, sort_order="col", sparse_size=shape),
        transposed.to_sparse_csr(),
        transposed,
    ):
        out = conv(x, adjacency)
        torch.testing.assert_close(out, expected)
        (same,) = torch.autograd.grad(out.square().sum(), x)
        torch.testing.assert_close(same, gradient)


def test_compiles_to_one_graph(operator: Operator, x, edge_index):
    conv = operator.example(CHANNELS).double()
    torch.compiler.reset()
    compiled = torch.compile(conv, backend="aot_eager", fullgraph=True, dynamic=True)
    for count in (20, 12):
        edges = edge_index[:, :count]
        torch.testing.assert_close(compiled(x, edges), conv(x, edges))
    torch.compiler.reset()
