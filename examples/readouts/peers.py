"""Equilibrium Aggregation and its peers, with as many outputs each."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import Linear, Module
from torch_geometric.nn.aggr import EquilibriumAggregation as Published
from torch_geometric.nn.aggr import SetTransformerAggregation

from pyg_setops.aggr import EquilibriumAggregation, SwarmAggregation
from pyg_setops.models.set_networks import DeepSets

WIDTHS = [64, 64]  # of the residual potential, ours and PyG's
STEPS = 5  # of its solver


class PublishedEquilibrium(Module):
    """PyG's class, made to work in inference mode, where it raises."""

    def __init__(self, in_channels: int, channels: int):
        super().__init__()
        self.aggr = Published(in_channels, channels, WIDTHS, grad_iter=STEPS)

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        """Maps elements to sets."""
        with torch.inference_mode(False), torch.enable_grad():
            # A clone is an ordinary tensor, which its inner autograd needs.
            y = self.aggr(x.clone(), index)
        return y if self.training else y.detach()


class SetTransformer(Module):
    """PyG's Set Transformer behind a linear layer, as it keeps its width."""

    def __init__(self, in_channels: int, channels: int):
        super().__init__()
        self.lin = Linear(in_channels, channels)
        self.aggr = SetTransformerAggregation(channels, heads=4)

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        """Maps elements to sets."""
        return self.aggr(self.lin(x), index)


def make_readouts(in_channels: int, channels: int) -> dict[str, Callable[[], Module]]:
    """Set functions by name, each called with ``(x, index)``."""
    widths = in_channels, channels
    residual = partial(EquilibriumAggregation, *widths, WIDTHS, grad_iter=STEPS)
    return {
        "Equilibrium, convex": partial(EquilibriumAggregation, *widths),
        "Equilibrium, residual": residual,
        "PyG's Equilibrium": partial(PublishedEquilibrium, *widths),
        "Deep Sets": partial(DeepSets, *widths, hidden_channels=64, num_layers=2),
        "PyG's Set Transformer": partial(SetTransformer, *widths),
        "SWARM": partial(SwarmAggregation, *widths, hidden_channels=max(32, channels)),
    }
