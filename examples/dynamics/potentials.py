"""Potentials of springs by several networks, and the true one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.nn import MLP

from pyg_setops.aggr import EquilibriumAggregation, SwarmAggregation
from pyg_setops.dynamics import CentredPotential, PairPotential
from pyg_setops.lie import SE2, AttentionKernel, Cyclic, T
from pyg_setops.models import DeepSets, LieTransformer
from pyg_setops.ragged import SetIndex, pair_index


def _lie(group: Callable[[], object], width: int = 64, layers: int = 2) -> Module:
    """A LieTransformer with the published kernel."""
    kernel = AttentionKernel(normalize="constant")
    return LieTransformer(2, 1, group(), width, layers, heads=4, kernel=kernel)


class Between(Module):
    """An aggregation between a small network on elements and one on sets."""

    def __init__(self, aggr: Module, channels: int = 64):
        super().__init__()
        self.on_elements = MLP([4, channels, channels], act="silu", norm=None)
        self.aggr = aggr
        self.on_sets = MLP([channels, channels, 1], act="silu", norm=None)

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        """Maps elements to sets."""
        return self.on_sets(self.aggr(self.on_elements(x), index))


class Smooth(Module):
    """A network with SiLU in the place of ReLU: forces need derivatives."""

    def __init__(self, network: Module):
        super().__init__()
        self.network = network
        for module in network.modules():
            if hasattr(module, "act"):
                module.act = torch.nn.SiLU()

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        """As the network."""
        return self.network(x, index)


# The widths make a step of each take a time of the same order.
POTENTIALS: dict[str, Callable[[], Module]] = {
    "LieTransformer, T(2)": partial(_lie, partial(T, 2)),
    "LieTransformer, SE(2)": partial(_lie, SE2),
    "SWARM": lambda: CentredPotential(
        Between(SwarmAggregation(64, 64, num_iterations=4, readout="sum"))
    ),
    "Equilibrium": lambda: CentredPotential(Between(EquilibriumAggregation(64, 64))),
    "Deep Sets": lambda: CentredPotential(Smooth(DeepSets(4, 1, 64, num_layers=3))),
    "pairs": partial(PairPotential, 2, 64),
}
#: Sixteen times the pairs: for one size of the training set.
FINITE = {"LieTransformer, T(2) with 4 turns": partial(_lie, partial(Cyclic, 4), 32, 1)}


def true_potential(x: Tensor, pos: Tensor, batch: Tensor | None) -> Tensor:
    """The true potential, of all systems together: ``sum_{i<j} k_i k_j r_ij²``."""
    sets = SetIndex.build(batch, None, None, len(pos), pos.device)
    source, target = pair_index(sets, loops=False)
    square = (pos[source] - pos[target]).square().sum(-1)
    return (x[source, 1] * x[target, 1] * square).sum()[None] / 2
