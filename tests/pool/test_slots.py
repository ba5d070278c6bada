"""SlotPooling against dense matrices, and its place among PyG's poolings."""

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GCNConv
from torch_geometric.nn.pool.connect import FilterEdges
from torch_geometric.utils import to_dense_adj

from pyg_setops.pool import SlotPooling
from pyg_setops.ragged import SetIndex
from pyg_setops.slots.coarsen import coarse_adjacency, coarsening_losses
from tests.slots.test_attend import Counter

SIZES, SLOTS, CHANNELS = [5, 0, 1, 4], 3, 6


class Graphs:
    """Directed graphs with weights, nodes in a random order."""

    def __init__(self):
        graph = torch.arange(len(SIZES)).repeat_interleave(torch.tensor(SIZES))
        order = torch.randperm(len(graph))
        self.batch = graph[order]
        self.x = torch.randn(len(graph), CHANNELS, dtype=torch.float64)
        pairs = (self.batch[:, None] == self.batch).nonzero().t()
        self.edge_index = pairs[:, torch.rand(pairs.size(1)) < 0.5]
        self.weight = torch.rand(self.edge_index.size(1), dtype=torch.float64)

    def adjacency(self, weight: Tensor | None = None) -> Tensor:
        size = len(self.x)
        return to_dense_adj(self.edge_index, edge_attr=weight, max_num_nodes=size)[0]


@pytest.fixture
def graphs() -> Graphs:
    return Graphs()


@pytest.fixture
def pool() -> SlotPooling:
    return SlotPooling(CHANNELS, 8, SLOTS, hidden_channels=7).double()


def dense(shares: Tensor, adjacency: Tensor, batch: Tensor) -> Tensor:
    """S^T A S of each graph, ``[B, K, K]``."""
    return torch.stack(
        [
            shares[batch == b].T
            @ adjacency[batch == b][:, batch == b]
            @ shares[batch == b]
            for b in range(len(SIZES))
        ]
    )


def test_is_the_dense_coarsening(pool, graphs):
    out = pool(graphs.x, graphs.edge_index, graphs.weight, graphs.batch)
    expected = dense(out.shares, graphs.adjacency(graphs.weight), graphs.batch)
    torch.testing.assert_close(out.edge_attr.view(-1, SLOTS, SLOTS), expected)
    slots, shares = pool.layer(graphs.x, graphs.batch, return_attention=True)
    torch.testing.assert_close(out.x, slots.flatten(0, 1))
    torch.testing.assert_close(out.shares, shares)
    assert out.batch.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    torch.testing.assert_close(out.edge_attr.sum(), graphs.weight.sum())
    rows = out.edge_attr.view(len(SIZES), -1).sum(1)
    for number in range(len(SIZES)):
        mine = graphs.batch[graphs.edge_index[0]] == number
        torch.testing.assert_close(rows[number], graphs.weight[mine].sum())


def test_edges_are_the_pairs_of_each_graph_s_slots(pool, graphs):
    out = pool(graphs.x, graphs.edge_index, None, graphs.batch)
    block = torch.block_diag(*[torch.ones(SLOTS, SLOTS)] * len(SIZES))
    assert torch.equal(out.edge_index, block.nonzero().t())
    apart = SlotPooling(CHANNELS, 8, SLOTS, hidden_channels=7, loops=False).double()
    apart.load_state_dict(pool.state_dict())
    without = apart(graphs.x, graphs.edge_index, None, graphs.batch)
    assert (without.edge_index[0] != without.edge_index[1]).all()
    kept = out.edge_index[0] != out.edge_index[1]
    torch.testing.assert_close(without.edge_attr, out.edge_attr[kept])


def test_channels_are_coarsened_one_by_one(pool, graphs):
    weight = torch.stack([graphs.weight, graphs.weight.square()], 1)
    out = pool(graphs.x, graphs.edge_index, weight, graphs.batch)
    assert out.edge_attr.shape == (len(SIZES) * SLOTS**2, 2)
    for channel in range(2):
        one = pool(graphs.x, graphs.edge_index, weight[:, channel], graphs.batch)
        torch.testing.assert_close(out.edge_attr[:, channel], one.edge_attr)


def test_hard_shares_merge_nodes(graphs):
    shares = torch.eye(SLOTS, dtype=torch.float64)[torch.randint(SLOTS, (10,))]
    sets = SetIndex.build(graphs.batch, dim_size=len(SIZES))
    coarse = coarse_adjacency(
        shares, graphs.edge_index, graphs.weight[:, None], sets
    ).squeeze(3)
    expected = torch.zeros_like(coarse)
    cluster = shares.argmax(1)
    for (i, j), weight in zip(
        graphs.edge_index.t().tolist(), graphs.weight, strict=True
    ):
        expected[graphs.batch[i], cluster[i], cluster[j]] += weight
    torch.testing.assert_close(coarse, expected)


def test_no_edges(pool, graphs):
    out = pool(graphs.x, graphs.edge_index[:, :0], None, graphs.batch)
    assert not out.edge_attr.any()
    assert out.x.isfinite().all()
    losses = pool.losses(out, graphs.edge_index[:, :0], None, graphs.batch)
    assert all(value.isfinite().all() for value in vars(losses).values())


def test_no_edges_have_no_features(pool, graphs):
    none = graphs.edge_index[:, :0]
    out = pool(graphs.x, none, torch.ones(0, 2), graphs.batch)
    assert out.edge_attr.shape == (len(SIZES) * SLOTS**2, 2)
    assert not out.edge_attr.any()
    assert pool(graphs.x, none, torch.ones(0)).edge_attr.shape == (SLOTS**2,)


def test_one_graph_by_default(pool, graphs):
    assert pool(graphs.x, graphs.edge_index).x.shape == (SLOTS, 8)


def test_normalised_weights_are_those_of_the_dense_formula(graphs):
    plain = SlotPooling(CHANNELS, 8, SLOTS, hidden_channels=7).double()
    pool = SlotPooling(CHANNELS, 8, SLOTS, hidden_channels=7, normalise=True).double()
    pool.load_state_dict(plain.state_dict())
    given = (graphs.x, graphs.edge_index, graphs.weight, graphs.batch)
    coarse = plain(*given).edge_attr.view(-1, SLOTS, SLOTS)
    degree = (coarse.sum(1) + coarse.sum(2)) / 2
    expected = coarse / (degree[:, :, None] * degree[:, None]).sqrt()
    found = pool(*given).edge_attr.view(-1, SLOTS, SLOTS)
    torch.testing.assert_close(found, expected.nan_to_num(0))


def test_losses_are_those_of_dense_matrices(pool, graphs):
    edge_index = torch.cat([graphs.edge_index, graphs.edge_index.flip(0)], 1)
    edge_index = edge_index.unique(dim=1)
    weight = torch.rand(edge_index.size(1), dtype=torch.float64)
    out = pool(graphs.x, edge_index, weight, graphs.batch)
    losses = pool.losses(out, edge_index, weight, graphs.batch)
    adjacency = to_dense_adj(edge_index, edge_attr=weight, max_num_nodes=10)[0]
    unit = torch.eye(SLOTS, dtype=torch.float64) / SLOTS**0.5
    for number, size in enumerate(SIZES):
        mine = graphs.batch == number
        s, a = out.shares[mine], adjacency[mine][:, mine]
        if size == 0:
            assert not any(value[number].any() for value in vars(losses).values())
            continue
        degree = a.sum(1).diag()
        overlap = s.T @ s
        expected = {
            "link": (a - s @ s.T).square().sum() / size**2,
            "entropy": -(s * s.log()).sum() / size,
            "cut": 1 - (s.T @ a @ s).trace() / (s.T @ degree @ s).trace(),
            "orthogonality": (overlap / overlap.norm() - unit).norm(),
        }
        if not a.any():
            expected["cut"] = torch.zeros((), dtype=torch.float64)
        for name, value in expected.items():
            torch.testing.assert_close(getattr(losses, name)[number], value)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_losses_of_half_shares_are_those_of_the_shares(dtype):
    size = 400
    pool, edge_index = SlotPooling(CHANNELS, 8, SLOTS).to(dtype), torch.arange(size)
    edge_index = torch.stack([edge_index, edge_index.roll(1)])
    out = pool(torch.randn(size, CHANNELS, dtype=dtype), edge_index)
    expected = pool.losses(out._replace(shares=out.shares.double()), edge_index)
    for name, value in vars(pool.losses(out, edge_index)).items():
        assert value.dtype == torch.float32
        wide = vars(expected)[name].float()
        torch.testing.assert_close(value, wide, rtol=1e-4, atol=1e-5)


def loss_gradients(shares: Tensor, sets: SetIndex) -> dict[str, Tensor]:
    shares = shares.requires_grad_()
    edge_index, weight = torch.zeros(2, 1).long(), torch.ones(1, dtype=shares.dtype)
    coarse = coarse_adjacency(shares, edge_index, weight[:, None], sets).squeeze(3)
    losses = coarsening_losses(shares, edge_index, weight, coarse, sets)
    return {
        name: torch.autograd.grad(value.sum(), shares, retain_graph=True)[0]
        for name, value in vars(losses).items()
    }


@pytest.mark.parametrize("num_slots", [1, 2])
def test_losses_have_gradients_where_they_are_zero(num_slots):
    shares = torch.eye(num_slots).repeat(2, 1)
    sets = SetIndex.build(num_elements=len(shares))
    for name, gradient in loss_gradients(shares, sets).items():
        assert gradient.isfinite().all(), name


def test_selection_is_what_pyg_connects_by(pool, graphs):
    out = pool(graphs.x, graphs.edge_index, None, graphs.batch)
    select = pool.select_output(out, graphs.batch)
    assert (select.num_nodes, select.num_clusters) == (10, len(SIZES) * SLOTS)
    dense_shares = torch.zeros(10, len(SIZES) * SLOTS, dtype=torch.float64)
    dense_shares[select.node_index, select.cluster_index] = select.weight
    coarse = dense_shares.T @ graphs.adjacency().double() @ dense_shares
    torch.testing.assert_close(coarse[tuple(out.edge_index)], out.edge_attr)
    occupied = FilterEdges.get_pooled_batch(select, graphs.batch)
    kept = torch.tensor(SIZES)[out.batch] > 0
    assert torch.equal(occupied[kept], out.batch[kept])


def test_gradients_reach_nodes_weights_and_parameters(graphs):
    pool = SlotPooling(CHANNELS, 4, 2, hidden_channels=3).double()
    x, weight = graphs.x.requires_grad_(), graphs.weight.requires_grad_()

    def run(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        out = pool(x, graphs.edge_index, weight, graphs.batch)
        return out.x, out.edge_attr

    assert torch.autograd.gradcheck(run, (x, weight), fast_mode=True)
    assert torch.autograd.gradgradcheck(run, (x, weight), fast_mode=True)


def test_between_convolutions_of_pyg():
    graphs = [
        Data(torch.randn(n, CHANNELS), torch.randint(n, (2, 3 * n))) for n in (4, 7)
    ]
    batch = Batch.from_data_list(graphs)
    first, pool = GCNConv(CHANNELS, 8), SlotPooling(8, 8, 2)
    second = GCNConv(8, 1)
    h = first(batch.x, batch.edge_index).relu()
    x, edge_index, edge_attr, assigned, _ = pool(h, batch.edge_index, batch=batch.batch)
    out = second(x, edge_index, edge_attr)
    assert out.shape == (4, 1)
    assert assigned.tolist() == [0, 0, 1, 1]
    out.sum().backward()
    assert first.lin.weight.grad.abs().sum() > 0


class TestErrors:
    def test_edges_between_graphs(self, pool, graphs):
        edge = torch.stack([graphs.batch.argmin(), graphs.batch.argmax()])[:, None]
        with pytest.raises(ValueError, match="'edge_index' must not join nodes of two"):
            pool(graphs.x, edge, None, graphs.batch)

    def test_weights_of_losses(self, pool, graphs):
        weight = torch.ones(graphs.edge_index.size(1), 2)
        out = pool(graphs.x, graphs.edge_index, weight, graphs.batch)
        with pytest.raises(ValueError, match=r"'edge_weight' must be \[\d+\], got"):
            pool.losses(out, graphs.edge_index, weight, graphs.batch)

    @pytest.mark.parametrize(
        ("edges", "error"),
        [
            (torch.tensor([[0], [10]]), ValueError),
            (torch.tensor([[0], [-1]]), ValueError),
            (torch.zeros(3, 2).long(), ValueError),
            (torch.zeros(2).long(), ValueError),
            (torch.zeros(2, 1), TypeError),
        ],
    )
    def test_edge_index(self, graphs, edges, error):
        pool = SlotPooling(-1, 8, SLOTS)
        with pytest.raises(error, match="'edge_index'"):
            pool(graphs.x, edges)
        assert pool.layer.in_channels == -1

    @pytest.mark.parametrize("shape", [(3,), (), (1, 1, 1)])
    def test_edge_attr(self, pool, graphs, shape):
        with pytest.raises(ValueError, match="'edge_attr' must be"):
            pool(graphs.x, graphs.edge_index, torch.ones(shape), graphs.batch)


def test_lazy_and_repr(graphs):
    pool = SlotPooling(-1, 8, SLOTS).double()
    assert repr(pool) == "SlotPooling(-1, 8, num_slots=3)"
    pool(graphs.x, graphs.edge_index)
    assert repr(pool) == f"SlotPooling({CHANNELS}, 8, num_slots=3)"


def test_no_matrix_of_node_pairs_is_made():
    sets = SetIndex.build(ptr=torch.tensor([0, 1000]))
    edges, shares = torch.randint(1000, (2, 90_000)), torch.rand(1000, 8)
    with Counter() as counter:
        coarse = coarse_adjacency(shares, edges, torch.ones(90_000, 1), sets)
        coarsening_losses(shares, edges, torch.ones(90_000), coarse[..., 0], sets)
    # Two numbers for each edge, as given; neither a row for it nor a node pair.
    assert counter.largest <= 90_000 * 2 * 8
