import torch
from torch_geometric.data import Batch, Data

from pyg_setops.training.cost import saved_bytes
from pyg_setops.training.graph_predictor import GraphPredictor


class Chain(torch.nn.Module):
    """Saves one product of known size for each exponential."""

    def __init__(self, length):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.length = length

    def forward(self, batch):
        x = batch.x * self.weight
        for _ in range(self.length):
            x = x.exp()
        return x.sum(dim=1, keepdim=True)


def count(length, nodes):
    data = Data(x=torch.zeros(nodes, 5), y=torch.zeros(nodes), edge_index=None)
    data.num_nodes = nodes
    predictor = GraphPredictor(Chain(length), None, 0.0, 1.0, 1e-3)
    before = torch.get_rng_state()
    result = saved_bytes(predictor, Batch.from_data_list([data]))
    assert torch.equal(torch.get_rng_state(), before)
    assert predictor.model.weight.grad is None
    return result


def test_every_kept_result_counts_once_and_the_input_does_not():
    assert count(3, 7) - count(2, 7) == 7 * 5 * 4
    assert count(3, 70) == 10 * count(3, 7)
