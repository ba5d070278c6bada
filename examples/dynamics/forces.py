"""Energies of molecules by several networks, and forces as their gradients."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import partial

import torch
from torch import Tensor
from torch.nn import Linear, Module
from torch.nn.functional import one_hot
from torch_geometric.data import Batch
from torch_geometric.nn.aggr import Aggregation

from pyg_setops.aggr import (
    EquilibriumAggregation,
    SlotAggregation,
    SwarmAggregation,
)
from pyg_setops.dynamics import CentredPotential
from pyg_setops.lie import SE3, AttentionKernel, LieGroup, T
from pyg_setops.models import LieTransformer, MoleculeRegressor, SE3Transformer
from pyg_setops.ragged import SetIndex, pair_index, segment_sum

from .egnn import EquivariantNetwork

CUTOFF = 5.0  # Å: the whole molecule


class EnergyAndForces(Module):
    """A network's energy, and minus its gradient in the positions.

    Args:
        network: Maps a batch with ``z``, ``x`` (elements, one-hot), ``pos`` and
            ``edge_index`` (all pairs) to energies ``[B, 1]``.
        offset: The mean energy of the training set.
    """

    def __init__(self, network: Module, offset: float):
        super().__init__()
        self.network = network
        self.offset = offset

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Energies ``[B]`` less the offset, and forces ``[N, 3]``."""
        # Validation is in inference mode, which has no derivatives.
        with torch.inference_mode(False), torch.enable_grad():
            data = copy(batch)
            data.z, data.batch = batch.z.clone(), batch.batch.clone()
            data.pos = batch.pos.clone().requires_grad_()
            data.x = one_hot((data.z > 1).long() + (data.z > 6).long(), 3).to(
                data.pos.dtype
            )
            sets = SetIndex.build(data.batch, dim_size=batch.num_graphs)
            data.edge_index = torch.stack(pair_index(sets, loops=False))
            energy = self.network(data).squeeze(1)
            (slope,) = torch.autograd.grad(
                energy.sum(), data.pos, create_graph=self.training
            )
        return energy, -slope


class OnPoints(Module):
    """A potential called with ``(x, pos, batch)``."""

    def __init__(self, potential: Module):
        super().__init__()
        self.potential = potential

    def forward(self, data: Batch) -> Tensor:
        """Energies of a batch."""
        return self.potential(data.x, data.pos, data.batch)


class Messages(Module):
    """The messages of EGNN, and a sum over atoms."""

    def __init__(self) -> None:
        super().__init__()
        self.network = EquivariantNetwork(3, channels=48, num_layers=3)
        self.lin = Linear(48, 1)

    def forward(self, data: Batch) -> Tensor:
        """Energies of a batch."""
        h, _ = self.network(data.x, data.pos, None, data.batch)
        sets = SetIndex.build(data.batch, dim_size=data.num_graphs)
        return segment_sum(self.lin(h), sets)


def _lie(make_group: Callable[..., LieGroup], **kwargs: str) -> Module:
    group, kernel = make_group(embedding="radial"), AttentionKernel()
    network = LieTransformer(
        3, 1, group, 64, 3, heads=4, kernel=kernel, pool="sum", **kwargs
    )
    return OnPoints(network)


def _regressor(make_readout: Callable[[], str | Aggregation]) -> Module:
    return MoleculeRegressor(make_readout(), hidden_channels=64, cutoff=CUTOFF)


def _swarm(readout: str) -> Aggregation:
    return SwarmAggregation(64, 64, num_iterations=4, readout=readout)


ENERGIES: dict[str, Callable[[], Module]] = {
    "LieTransformer, T(3)": partial(_lie, partial(T, 3)),
    "LieTransformer, SE(3)": partial(_lie, SE3),
    "LieTransformer, SE(3), a frame a set": partial(_lie, SE3, frames="set"),
    "SE3Transformer": partial(
        SE3Transformer,
        "0e",
        "16x0e + 8x1o",
        CUTOFF,
        num_layers=2,
        num_types=10,
        readout="sum",
        max_degree=1,
    ),
    "distances, SWARM readout": partial(_regressor, partial(_swarm, "sum")),
    "distances, Equilibrium readout": partial(
        _regressor, partial(EquilibriumAggregation, 64, 64)
    ),
    "distances, slots readout": partial(_regressor, SlotAggregation),
    "distances, sum readout": partial(_regressor, partial(str, "sum")),
    "EGNN": Messages,
    "SWARM on coordinates": lambda: OnPoints(
        CentredPotential(SwarmAggregation(6, 1, 64, num_iterations=6, readout="sum"))
    ),
}
