"""Particles: simulation against a loop, roll-outs against padding, their memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from weakref import WeakSet

import numpy as np
import torch
from torch import Tensor
from torch_geometric.utils import to_dense_batch

from pyg_setops.datasets.simulation import (
    inverse_square_law,
    move,
    systems_at_once,
)
from pyg_setops.datasets.spring_dynamics import SpringDynamics, exact_motion, solve
from pyg_setops.dynamics import HamiltonianNet, PairPotential
from pyg_setops.lie import T
from pyg_setops.models import LieTransformer

from .peers import loop_nbody
from .peers.dense_pair_potential import DensePairPotential
from .tables import Table
from .timing import Run, interleave

VECTORISED, LOOP = "vectorised", "system by system"
DENSE, RAGGED, RECOMPUTE = "dense padded", "ragged", "ragged, recompute"
CHANNELS, HIDDEN, STEP = 2, 64, 0.01
# Sizes of systems.
BATCHES: dict[str, list[int]] = {
    "32 systems of 6": [6] * 32,
    "32 systems of 3 to 20": np.random.default_rng(0).integers(3, 21, 32).tolist(),
    "1 system of 40 among 31 of 5": [40] + [5] * 31,
}


def run(quick: bool = False) -> Iterator[Table]:
    """Times simulations and roll-outs, and counts what roll-outs keep."""
    rounds = 1 if quick else 3
    yield _simulations(rounds, 20 if quick else 200)
    yield _rollouts(rounds)
    yield _memory(rounds, (2, 4) if quick else (5, 20, 80))


def _simulations(rounds: int, num_steps: int) -> Table:
    rows = []
    for n, target in ((5, "50x"), (20, ""), (100, "")):
        many = systems_at_once(n)
        rng = np.random.default_rng(0)
        pos, vel = rng.normal(size=(2, many, n, 3))
        charge = rng.choice([-1.0, 1.0], (many, n))
        stops = list(range(num_steps // 10, num_steps + 1, num_steps // 10))
        law = inverse_square_law(charge[:, :, None] * charge[:, None], largest=100)
        ours = partial(move, law, pos, vel, 1e-3, stops, synchronised=False)
        loop = partial(
            loop_nbody.charged, pos[0], vel[0], charge[0], 1e-3, num_steps, stops[0]
        )
        np.testing.assert_allclose(
            ours()[0][0].swapaxes(0, 1), loop(), rtol=1e-6, atol=1e-8
        )
        rows.append(_simulation(f"charges, {n}", ours, many, loop, rounds, target))
    rng = np.random.default_rng(1)
    mass, stiffness = 3 * rng.uniform(size=(2, 1000, 6)) + 0.1
    pos, vel = 0.4 * rng.normal(size=(2, 1000, 6, 2))
    law_of = mass, stiffness, pos, vel
    numbers = np.broadcast_to(np.arange(0, 500, 100), (1000, 5))
    ours = partial(solve, *law_of, numbers, SpringDynamics.step, exact_motion)
    first = [law_of[place][0] for place in (2, 3, 0, 1)]
    loop = partial(loop_nbody.springs, *first, SpringDynamics.step, 499)
    np.testing.assert_allclose(
        ours()[0][0].swapaxes(0, 1), loop()[::100], rtol=0, atol=1e-2
    )
    rows.append(_simulation("springs, 6", ours, 1000, loop, rounds, "50x"))
    note = (
        f"Milliseconds for one system; the loop takes systems one after another and is "
        f"vectorised over pairs only. Charges: {num_steps} steps, as many systems at "
        "once as the datasets take; the same numbers to 6 digits. Springs: 5 states of "
        "500, by normal modes, where the loop takes 499 steps of RK4. Medians of "
        f"{rounds} interleaved rounds; load of the machine {os.getloadavg()[1]:.1f}."
    )
    header = ["system", "systems at once", LOOP, VECTORISED, "faster", "target"]
    return Table("Simulation", header, rows, note)


def _simulation(
    name: str, ours: Run, many: int, loop: Run, rounds: int, target: str
) -> list[str]:
    times = interleave({VECTORISED: ours, LOOP: loop}, rounds, warmup=1)
    each = times.seconds(VECTORISED) / many
    ratio = times.ratio(LOOP, VECTORISED) * many
    return [
        name,
        str(many),
        f"{1e3 * times.seconds(LOOP):.1f} ms",
        f"{1e3 * each:.3f} ms",
        f"{ratio:.0f}x",
        target,
    ]


class Systems:
    """Particles of systems of given sizes, ragged and padded."""

    def __init__(self, sizes: list[int], dim: int = 2):
        torch.manual_seed(0)
        counts = torch.tensor(sizes)
        self.batch = torch.arange(len(sizes)).repeat_interleave(counts)
        self.x = torch.randn(len(self.batch), CHANNELS)
        self.pos, self.momentum = torch.randn(2, len(self.batch), dim)
        self.shares = sum(size**2 for size in sizes) / (len(sizes) * max(sizes) ** 2)

    def positions(self, net: HamiltonianNet, num_steps: int = 4) -> Tensor:
        state = self.x, self.pos, self.momentum
        return net(*state, STEP, num_steps, batch=self.batch).pos

    def follow_padded(self, net: DensePairPotential, num_steps: int = 4) -> Tensor:
        """Leapfrog on padded systems, as :class:`HamiltonianNet` does it on rows."""
        x, mask = to_dense_batch(self.x, self.batch)
        pos, momentum = (
            to_dense_batch(each, self.batch)[0] for each in (self.pos, self.momentum)
        )
        path = [pos]
        for _ in range(num_steps):
            pos = pos + STEP / 2 * momentum
            pos = pos if pos.requires_grad else pos.requires_grad_()
            energy = net(x, pos, mask).sum()
            (slope,) = torch.autograd.grad(energy, pos, create_graph=True)
            momentum = momentum - STEP * slope
            pos = pos + STEP / 2 * momentum
            path.append(pos)
        return torch.stack(path, 2)[mask]


def _rollouts(rounds: int) -> Table:
    rows = []
    for name, sizes in BATCHES.items():
        systems = Systems(sizes)
        torch.manual_seed(1)
        potential, dense = (
            PairPotential(CHANNELS, HIDDEN),
            DensePairPotential(CHANNELS, HIDDEN),
        )
        dense.load_state_dict(potential.state_dict())
        nets = {
            RAGGED: HamiltonianNet(potential),
            RECOMPUTE: HamiltonianNet(potential, recompute=True),
        }
        torch.testing.assert_close(
            systems.positions(nets[RAGGED]),
            systems.follow_padded(dense),
            rtol=1e-4,
            atol=1e-5,
        )
        runs = {DENSE: _train(partial(systems.follow_padded, dense), dense)}
        for key, net in nets.items():
            runs[key] = _train(partial(systems.positions, net), net)
        times = interleave(runs, rounds)
        rows.append(
            [
                name,
                f"{systems.shares:.0%}",
                f"{1e3 * times.seconds(DENSE):.1f} ms",
                *[f"{times.ratio(DENSE, key):.1f}x" for key in nets],
            ]
        )
    note = (
        f"A training step: four leapfrog steps in a pair potential of width {HIDDEN}, "
        f"and the gradients of its weights; the dense version has the same weights and "
        f"gives the same numbers. `pairs used`: the share of the padded pairs that are "
        f"pairs of particles. How many times faster than dense; medians of {rounds} "
        f"interleaved rounds; load of the machine {os.getloadavg()[1]:.1f}."
    )
    header = ["systems", "pairs used", DENSE, RAGGED, RECOMPUTE]
    return Table("Training through a roll-out", header, rows, note)


def _train(follow: Callable[[], Tensor], module: torch.nn.Module) -> Run:
    weights = [weight for weight in module.parameters() if weight.requires_grad]

    def step() -> object:
        loss = follow().square().mean()
        return torch.autograd.grad(loss, weights, allow_unused=True)

    return step


def _memory(rounds: int, lengths: tuple[int, ...]) -> Table:
    systems = Systems([6] * 32)
    potentials = {
        "pairs": PairPotential(CHANNELS, HIDDEN),
        "LieTransformer, T(2)": LieTransformer(CHANNELS, 1, T(2), HIDDEN, 2, 4),
    }
    rows = []
    for name, potential in potentials.items():
        for length in lengths:
            nets = [
                HamiltonianNet(potential, recompute=recompute)
                for recompute in (False, True)
            ]
            follow = [partial(systems.positions, net, length) for net in nets]
            kept = [alive_bytes(each) for each in follow]
            runs = {
                key: _train(each, net)
                for key, each, net in zip(
                    (RAGGED, RECOMPUTE), follow, nets, strict=True
                )
            }
            times = interleave(runs, max(1, rounds // 2), warmup=0)
            rows.append(
                [
                    name,
                    str(length),
                    *[f"{each / 2**20:.2f} MiB" for each in kept],
                    f"1/{kept[0] / kept[1]:.0f}",
                    f"{times.ratio(RECOMPUTE, RAGGED):.2f}x",
                ]
            )
    note = (
        "What is kept for backward after the roll-out of 32 systems of 6 particles by "
        "leapfrog, weights included, each storage once. With `recompute` the states "
        "are kept, and the graph of one step at a time on the way back."
    )
    header = ["potential", "steps", "plain", "recompute", "share", "time"]
    return Table("Memory of back-propagation through a roll-out", header, rows, note)


class _Kept:
    def __init__(self, tensor: Tensor):
        self.tensor = tensor


def alive_bytes(run: Run) -> int:
    """What is still kept for backward after ``run``, each storage once.

    Forces are derivatives: while they are taken, more is kept and let go again.
    """
    alive: WeakSet[_Kept] = WeakSet()

    def pack(tensor: Tensor) -> _Kept:
        alive.add(kept := _Kept(tensor))
        return kept

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda kept: kept.tensor):
        out = run()
    storages = [kept.tensor.untyped_storage() for kept in alive]
    del out
    return sum({each.data_ptr(): each.nbytes() for each in storages}.values())
