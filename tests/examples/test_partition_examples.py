import partition_counts
import partition_delaunay
import pytest
import torch
from torch_geometric.data import Batch
from torch_geometric.utils import to_dense_adj

from pyg_setops.datasets import Delaunay, RandomGraphs


def test_relative_error_of_the_mean_is_one():
    truth = torch.randn(500, 4) * torch.tensor([1.0, 2, 3, 4]) + 7
    error = truth.mean(0) - truth
    for columns in (partition_counts.WALKS, partition_counts.CYCLES):
        assert partition_counts.relative(error, truth, columns) == pytest.approx(
            1, 0.01
        )


@pytest.mark.parametrize("density", [False, True])
def test_models_start_at_the_scale_of_the_targets(density):
    train = RandomGraphs(density=density, num_sets=100)
    batch = Batch.from_data_list(list(train[:50]))
    models = partition_counts.make_models(train)
    assert len(models) == 7
    for name, make in models.items():
        network = make()
        out = network(batch)
        assert out.shape == (50, 4), name
        assert partition_counts.loss(network, batch)["loss"] < 10, name


def test_pairs_are_all_pairs_once_and_edges_are_found():
    batch = Batch.from_data_list(list(Delaunay((3, 9), num_sets=5)))
    pairs = partition_delaunay.Pairs(batch)
    adjacency = to_dense_adj(batch.edge_index)[0]
    first, second = pairs.ends
    torch.testing.assert_close(pairs.truth, adjacency[first, second])
    sizes = batch.ptr.diff()
    assert len(first) == int((sizes * (sizes - 1) // 2).sum())
    assert (batch.batch[first] == batch.batch[second]).all()
    assert 2 * pairs.truth.sum() == batch.num_edges


def test_f1_of_each_set_is_by_its_definition():
    batch = Batch.from_data_list(list(Delaunay((4, 9), num_sets=5)))
    pairs = partition_delaunay.Pairs(batch)
    said = torch.rand(len(pairs.truth)) < 0.5
    number = batch.batch[pairs.ends[0]]
    for each, score in enumerate(pairs.f1(said)):
        mine = number == each
        hits = (said & pairs.truth.bool())[mine].sum()
        precision = hits / said[mine].sum()
        recall = hits / pairs.truth[mine].sum()
        expected = 2 * precision * recall / (precision + recall)
        torch.testing.assert_close(score, expected.nan_to_num())


def test_threshold_is_the_best_one():
    class Knowing(torch.nn.Module):
        """Certain of edges, and fairly sure of a tenth of the rest."""

        def forward(self, batch, pairs):
            maybe = torch.rand(len(pairs.truth)) < 0.1
            return torch.where(pairs.truth.bool(), 3.0, torch.where(maybe, 2.0, 0.0))

    val = Delaunay(split="val", num_sets=8)
    threshold = partition_delaunay.best_threshold(Knowing(), val)
    assert 2 <= threshold < 3
    assert (partition_delaunay.scores(Knowing(), threshold, val) == 1).all()


@pytest.mark.parametrize("name", partition_delaunay.make_models())
def test_logits_do_not_depend_on_the_order_of_points(name):
    torch.manual_seed(0)
    network = partition_delaunay.make_models()[name]()
    data = Delaunay((5, 5), num_sets=1)[0]
    order = torch.tensor([4, 2, 0, 1, 3])
    moved = data.clone()
    moved.pos, moved.edge_index = data.pos[order], order.argsort()[data.edge_index]
    outs = []
    for each, names in ((data, torch.arange(5)), (moved, order)):
        batch = Batch.from_data_list([each])
        pairs = partition_delaunay.Pairs(batch)
        square = torch.zeros(5, 5)
        first, second = names[pairs.ends]
        square[first, second] = square[second, first] = network(batch, pairs).detach()
        outs.append(square)
    torch.testing.assert_close(*outs, rtol=1e-4, atol=1e-5)
