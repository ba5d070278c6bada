"""Networks that say where particles will be: each adds to straight motion."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Data

from pyg_setops import SwarmLayer
from pyg_setops.aggr import SwarmAggregation
from pyg_setops.dynamics import HamiltonianNet, PairPotential
from pyg_setops.lie import SE3, AttentionKernel, LieGroup, T, Tetrahedral
from pyg_setops.models import LieTransformer, SE3Transformer
from pyg_setops.ragged import SetIndex, gather, pair_index, segment_mean

from .egnn import EquivariantNetwork

CHANNELS = 32


def strength(batch: Data) -> Tensor:
    """What particles act on each other by, ``[N]``: their charges, or their masses."""
    return batch.charge if "charge" in batch else batch.mass


def features(batch: Data) -> Tensor:
    """The invariants of each particle, ``[N, 2]``: its strength and its speed."""
    return torch.stack([strength(batch), batch.vel.norm(dim=-1)], dim=1)


class Straight(Module):
    """No force: every particle goes on as it goes."""

    def forward(self, batch: Data, time: float) -> Tensor:
        """Positions after ``time``."""
        return batch.pos + time * batch.vel


class Messages(Module):
    """Messages along the lines between particles, with any aggregation."""

    def __init__(self, make_aggr: Callable[[], Module] | None = None):
        super().__init__()
        kwargs = {} if make_aggr is None else {"make_aggr": make_aggr}
        self.network = EquivariantNetwork(2, 1, CHANNELS, **kwargs)

    def forward(self, batch: Data, time: float) -> Tensor:
        """Positions after ``time``."""
        own = strength(batch)

        def products(source: Tensor, target: Tensor) -> Tensor:
            return (own[source] * own[target])[:, None]

        # Straight motion is in what each layer adds along the velocity.
        start, index = batch.pos, batch.get("batch")
        x = features(batch)
        _, moved = self.network(x, start, batch.vel, index, products)
        return moved + time * batch.vel


class Lie(Module):
    """LieTransformer: the velocity goes in, the displacement comes out, as vectors."""

    def __init__(
        self,
        make_group: Callable[..., LieGroup],
        channels: int = 2 * CHANNELS,
        layers: int = 3,
        frames: Literal["node", "set"] = "node",
    ):
        super().__init__()
        self.network = LieTransformer(
            2,
            0,
            make_group(embedding="radial"),
            channels,
            layers,
            heads=4,
            kernel=AttentionKernel(),
            irreps_in="1x1o",
            irreps_out="1x1o",
            pool=None,
            frames=frames,
        )

    def forward(self, batch: Data, time: float) -> Tensor:
        """Positions after ``time``."""
        x = torch.cat([features(batch), batch.vel], dim=1)
        push = self.network(x, batch.pos, batch.get("batch"))
        return batch.pos + time * batch.vel + push


class Irreps(Module):
    """SE3Transformer: attention on irreps, over all pairs."""

    def __init__(self) -> None:
        super().__init__()
        self.network = SE3Transformer(
            "1o",
            "16x0e + 8x1o",
            cutoff=20.0,
            num_layers=2,
            num_types=0,
            irreps_x="2x0e + 1x1o",
            readout="none",
            max_degree=1,
            edge_channels=1,
        )

    def forward(self, batch: Data, time: float) -> Tensor:
        """Positions after ``time``."""
        sets = SetIndex.build(
            batch.get("batch"), None, None, len(batch.pos), batch.pos.device
        )
        source, target = pair_index(sets, loops=False)
        own = strength(batch)
        data = Data(
            x=torch.cat([features(batch), batch.vel], dim=1),
            pos=batch.pos,
            edge_index=torch.stack([source, target]),
            edge_attr=(own[source] * own[target])[:, None],
        )
        return batch.pos + time * batch.vel + self.network(data)


class Plain(Module):
    """SWARM on bare coordinates: knows of shifts, not of turns."""

    def __init__(self) -> None:
        super().__init__()
        self.network = SwarmLayer(7, 3, 2 * CHANNELS, num_iterations=6)

    def forward(self, batch: Data, time: float) -> Tensor:
        """Positions after ``time``."""
        index = batch.get("batch")
        sets = SetIndex.build(index, None, None, len(batch.pos), batch.pos.device)
        centred = batch.pos - gather(segment_mean(batch.pos, sets), sets)
        x = torch.cat([centred, batch.vel, strength(batch)[:, None]], dim=1)
        return batch.pos + time * batch.vel + self.network(x, index)


class Hamiltonian(Module):
    """A learned pair potential, followed in steps; the initial velocity is known."""

    def __init__(self, num_steps: int = 10):
        super().__init__()
        self.num_steps = num_steps
        self.network = HamiltonianNet(PairPotential(1, CHANNELS), recompute=True)

    def forward(self, batch: Data, time: float) -> Tensor:
        """Positions after ``time``."""
        mass = None if "charge" in batch else batch.mass
        path = self.network(
            strength(batch)[:, None],
            batch.pos,
            batch.vel if mass is None else mass[:, None] * batch.vel,
            time / self.num_steps,
            self.num_steps,
            mass,
            batch.get("batch"),
        )
        return path.pos[:, -1]


MOVERS: dict[str, Callable[[], Module]] = {
    "LieTransformer, T(3)": partial(Lie, partial(T, 3)),
    "LieTransformer, SE(3)": partial(Lie, SE3),
    "LieTransformer, SE(3), a frame a set": partial(Lie, SE3, frames="set"),
    "LieTransformer, T(3) with 12 turns": partial(Lie, Tetrahedral, CHANNELS, 1),
    "SE3Transformer": Irreps,
    "EGNN": Messages,
    "EGNN with SWARM": partial(
        Messages,
        partial(SwarmAggregation, CHANNELS, CHANNELS, CHANNELS, num_iterations=3),
    ),
    "HamiltonianNet, pairs": Hamiltonian,
    "SWARM on coordinates": Plain,
}
