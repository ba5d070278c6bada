"""A graph network of PyG, and the same with one argument changed.

    python examples/01_drop_in.py

The network regresses the HOMO energy of 10,000 real molecules (QM9, in the package)
from their bond graphs. Where it says ``aggr="mean"``,

    SAGEConv(64, 64, aggr="mean")   becomes   SAGEConv(64, 64, aggr=SwarmAggregation())

and neighbours no longer just average: they exchange what they know first. Nothing
else changes; the two errors are printed side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor
from torch.nn.functional import l1_loss
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import SAGEConv, global_mean_pool
from torch_geometric.nn.aggr import Aggregation

from pyg_setops.aggr import SwarmAggregation
from pyg_setops.datasets import QM9

AGGREGATIONS: dict[str, Callable[[], str | Aggregation]] = {
    'aggr="mean"': lambda: "mean",
    "aggr=SwarmAggregation()": SwarmAggregation,
}


@dataclass(frozen=True)
class Config:
    """One network, two aggregations."""

    epochs: int = 10
    """Passes over the 7,643 training molecules."""
    seed: int = 0
    """Seed of the weights and of the order of molecules."""
    smoke: bool = False
    """One pass over few molecules, to see that everything works."""


class Net(torch.nn.Module):
    """Two convolutions and a readout; ``make_aggr`` gives each its aggregation."""

    def __init__(self, make_aggr: Callable[[], str | Aggregation]):
        super().__init__()
        self.conv1 = SAGEConv(11, 64, aggr=make_aggr())
        self.conv2 = SAGEConv(64, 64, aggr=make_aggr())
        self.head = torch.nn.Linear(64, 1)

    def forward(self, batch: Batch) -> Tensor:
        """One number for each molecule."""
        x = self.conv1(batch.x, batch.edge_index).relu()
        x = self.conv2(x, batch.edge_index).relu()
        return self.head(global_mean_pool(x, batch.batch)).squeeze(1)


def main(config: Config) -> None:
    """Trains and tests the network with each aggregation."""
    dataset = QM9()
    train, _, test = dataset.split()
    if config.smoke:
        train, test = train[:128], test[:128]
    table = Table(
        "aggregation", "parameters", "test MAE [eV]", title="HOMO, QM9 sample"
    )
    for name, make_aggr in AGGREGATIONS.items():
        torch.manual_seed(config.seed)
        net = Net(make_aggr)
        error = train_and_test(net, train, test, config.epochs, name)
        size = sum(parameter.numel() for parameter in net.parameters())
        table.add_row(name, f"{size:,}", f"{error:.3f}")
    Console().print(table)


def train_and_test(
    net: Net, train: Sequence[Data], test: Sequence[Data], epochs: int, name: str
) -> float:
    """Minimises the absolute error, and returns that of the test molecules."""
    homo = QM9.targets["homo"].column
    net.head.bias.data.fill_(torch.cat([data.y[:, homo] for data in train]).mean())
    net(next(iter(DataLoader(train))))  # lazy widths are known after one batch
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in track(range(epochs), description=f"{name:<24}"):
        for batch in DataLoader(train, batch_size=64, shuffle=True):
            optimizer.zero_grad()
            l1_loss(net(batch), batch.y[:, homo]).backward()
            optimizer.step()
    with torch.no_grad():
        batch = Batch.from_data_list(list(test))
        return float(l1_loss(net(batch), batch.y[:, homo]))


if __name__ == "__main__":
    config = tyro.cli(Config, description=__doc__)
    if config.smoke:
        config = Config(epochs=1, smoke=True)
    main(config)
