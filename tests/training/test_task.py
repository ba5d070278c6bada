import pytest
import torch
from torch_geometric.data import Data

from pyg_setops.training.sources import Source
from pyg_setops.training.task import prepare


def task(graphs, column=0, **kwargs):
    parts = (graphs[4:], graphs[:2], graphs[2:4])
    return prepare(Source("graphs", parts, "ordered", "y", column), 5.0, **kwargs)


def graph(y, **fields):
    edge_index = torch.tensor([[0, 1, 2], [2, 0, 1]])
    return Data(edge_index=edge_index, y=y, num_nodes=3, **fields)


@pytest.mark.parametrize(
    ("values", "num_classes"),
    [
        ([0, 1, 2, 0, 1, 2, 0, 1], 3),
        ([0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0], 2),
        ([0.0, 1.0, 2.0, 0.0, 1.0, 2.0, 0.0, 1.0], None),
    ],
)
def test_integers_and_zeros_and_ones_are_classes(values, num_classes):
    made = task([graph(torch.tensor([value])) for value in values])
    assert made.num_classes == num_classes
    assert made.train[0].y.dtype == (torch.float if num_classes is None else torch.long)
    assert made.unit == ("" if num_classes is None else "%")


def test_negative_classes_are_refused():
    with pytest.raises(ValueError, match="numbered from 0, got class -1"):
        task([graph(torch.tensor([value])) for value in [-1, 1] * 4])


def test_the_column_of_the_target():
    graphs = [graph(torch.tensor([[float(i), i + 10.5]])) for i in range(8)]
    made = task(graphs, column=1)
    assert [graph.y.item() for graph in made.test] == [12.5, 13.5]
    with pytest.raises(ValueError, match=r"every graph of graphs .* got \[1, 2\]"):
        task(graphs, column=2)


def test_graphs_without_the_target_are_left_out_and_counted():
    graphs = [graph(torch.tensor([float(i)])) for i in range(8)]
    graphs[5].y = torch.tensor([float("nan")])
    made = task(graphs)
    assert (len(made.train), made.num_unlabelled) == (3, 1)
    graphs[0].y = graphs[1].y = graphs[5].y
    with pytest.raises(ValueError, match=r"got \[3, 0, 2\]"):
        task(graphs)


def test_features_are_described_and_edges_sorted_by_target():
    graphs = [
        graph(
            torch.tensor([float(i)]),
            x=torch.full((3, 2), i),
            edge_attr=torch.tensor([2.0, 0.0, 1.0])[:, None],
        )
        for i in range(8)
    ]
    made = task(graphs)
    assert (made.node_features, made.edge_features) == ((8, 8), 1)
    assert made.train[0].edge_index.tolist() == [[1, 2, 0], [0, 1, 2]]
    assert made.train[0].edge_attr.flatten().tolist() == [0.0, 1.0, 2.0]


def test_atomic_numbers_come_before_features_and_positions_before_bonds():
    graphs = [
        graph(
            torch.tensor([float(i)]),
            x=torch.rand(3, 2),
            z=torch.tensor([6, 1, 8]),
            pos=torch.eye(3),
            edge_attr=torch.rand(3, 1),
        )
        for i in range(8)
    ]
    made = task(graphs)
    assert (made.node_features, made.edge_features) == ((9,), None)
    assert set(made.train[0].to_dict()) == {"y", "z", "pos", "edge_index"}
    assert made.train[0].num_edges == 6


def test_nodes_without_features_are_alike():
    made = task([graph(torch.tensor([float(i)])) for i in range(8)])
    assert made.node_features == (1,)


def test_a_subset_is_in_proportion_and_said():
    graphs = [graph(torch.tensor([float(i)])) for i in range(8)]
    made = task(graphs, max_graphs=4)
    assert (len(made.train), len(made.val), len(made.test)) == (2, 1, 1)
    assert made.fraction == 0.5
    assert task(graphs, max_graphs=100).fraction == 1
    parts = (graphs[:5], graphs[:5], graphs[:5])
    halves = prepare(Source("graphs", parts, "ordered", "y", 0), 5.0, max_graphs=11)
    assert len(halves.train) + len(halves.val) + len(halves.test) == 11


def test_statistics_and_baseline():
    values = [5.0, 5.0, 2.0, 4.0, 1.0, 2.0, 3.0, 10.0]
    made = task([graph(torch.tensor([value])) for value in values])
    assert made.statistics() == (4.0, pytest.approx((50 / 3) ** 0.5))
    assert made.baseline() == 1.0  # the median is 2
    classes = task([graph(torch.tensor([value])) for value in [0, 0, 1, 0, 1, 1, 0, 1]])
    assert classes.baseline() == 0.5


def test_the_checksum_sees_every_change():
    def made(change=None):
        torch.manual_seed(0)
        graphs = [graph(torch.rand(1), x=torch.rand(3, 2)) for _ in range(8)]
        if change is not None:
            change(graphs)
        return task(graphs).checksum()

    assert made() == made()
    assert made() != made(lambda graphs: graphs[7].x.add_(1))
    assert made() != made(lambda graphs: graphs[1].y.add_(1))
    assert made() != made(lambda graphs: graphs.reverse())


def test_the_checksum_sees_the_parting():
    def made(first, second):
        torch.manual_seed(0)
        graphs = [graph(torch.rand(1)) for _ in range(8)]
        parts = (graphs[:first], graphs[first:second], graphs[second:])
        source = Source("graphs", parts, "ordered", "y", 0)
        return prepare(source, 5.0).checksum()

    assert len({made(4, 6), made(5, 6), made(4, 7)}) == 3
