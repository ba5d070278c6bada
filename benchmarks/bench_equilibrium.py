"""Equilibrium Aggregation against PyG: time, bytes, and whether it has converged."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.nn import (
    MLP,
    DeepSetsAggregation,
    GRUAggregation,
    MedianAggregation,
    SetTransformerAggregation,
)
from torch_geometric.nn.aggr import EquilibriumAggregation as Published

from pyg_setops.aggr import EquilibriumAggregation
from pyg_setops.equilibrium import ResNetEnergy
from pyg_setops.solvers import Momentum, OneStep

from .tables import Table
from .timing import Run, Times, interleave, peak_bytes, saved_bytes

CHANNELS, HIDDEN = 64, [128, 128]
PUBLISHED = "PyG, {} steps"
SAME = "same maths, {} steps"
ONE_STEP, CONVEX, FLOOR = "one-step adjoint, 5 steps", "convex, Newton", "products only"
# What is to be reached against PyG with as many steps (5 where there are none): times
# faster with backward and without, and the share of the bytes saved and of the peak.
TARGETS = {
    SAME.format(5): (1.7, 2.2, 10, 6),
    SAME.format(10): (1.7, 2.2, 10, 6),
    ONE_STEP: (2.8, None, None, None),
    CONVEX: (15, 15, 30, 15),
}
MIB = 2**20


def log_normal() -> Tensor:
    """64 sets of exp(N(mu, 0.9)) in 16..1024, one of them of 1024."""
    draw = torch.randn(64, generator=torch.Generator().manual_seed(0)).mul(0.9)
    low, high = 0.0, 10.0
    for _ in range(50):
        mu = (low + high) / 2
        sizes = (draw + mu).exp().round().clamp(16, 1024).long()
        low, high = (mu, high) if sizes.sum() <= 16_384 else (low, mu)
    sizes[0] = 1024
    return sizes


def molecules() -> Tensor:
    """512 sets of about 18."""
    draw = torch.randn(512, generator=torch.Generator().manual_seed(0))
    return draw.mul(3).add(18).round().clamp(3, 29).long()


BATCHES = {"log-normal": log_normal, "molecules": molecules}


class Batch:
    """The elements of sets of given sizes."""

    def __init__(self, sizes: Tensor):
        torch.manual_seed(0)
        self.index = torch.arange(len(sizes)).repeat_interleave(sizes)
        self.x = torch.randn(len(self.index), CHANNELS, requires_grad=True)
        self.num_sets = len(sizes)

    def call(self, module: Module) -> Tensor:
        return module(self.x, self.index, dim_size=self.num_sets)


def run(quick: bool = False) -> Iterator[Table]:
    """Times PyG's class and ours, counts bytes and measures what is left to descend."""
    rounds = 1 if quick else 3
    for name, sizes in BATCHES.items():
        yield _against_published(name, Batch(sizes()), rounds)
    yield _against_others(Batch(log_normal()), rounds)


def _against_published(name: str, batch: Batch, rounds: int) -> Table:
    modules = _modules()
    for steps in (5, 10):
        theirs, ours = (modules[each.format(steps)] for each in (PUBLISHED, SAME))
        torch.testing.assert_close(batch.call(ours), batch.call(theirs))
    training = {each: _training(batch, module) for each, module in modules.items()}
    inference = {
        each: torch.no_grad()(partial(batch.call, module))
        for each, module in modules.items()
    }
    floors = [_products(len(batch.x), backward) for backward in (True, False)]
    times = [
        interleave({**runs, FLOOR: floor}, rounds, warmup=1)
        for runs, floor in zip((training, inference), floors, strict=True)
    ]
    saved = {
        each: saved_bytes(partial(batch.call, module), tuple(module.parameters()))
        for each, module in modules.items()
    }
    peaks = {each: peak_bytes(each_run) for each, each_run in training.items()}
    rows = []
    for each, module in modules.items():
        reference = _reference(each)
        ratios = [*_times_faster(times, each), saved[reference] / saved[each]]
        ratios.append(peaks[reference] / peaks[each])
        rows.append(
            [
                each,
                *_time_cells(times, each),
                f"{saved[each] / MIB:.1f} MiB ({_share(ratios[2])})",
                f"{peaks[each] / MIB:.0f} MiB ({_share(ratios[3])})",
                f"{_residual(batch, module):.1g}",
                *_verdict(ratios, TARGETS.get(each)),
            ]
        )
    rows.append([FLOOR, *_time_cells(times, FLOOR), "", "", "", "", ""])
    header = ["", "training", "inference", "saved for backward", "peak of training"]
    header += ["median gradient norm", "target", "reached"]
    note = (
        f"{batch.num_sets} sets, {len(batch.x)} elements, {CHANNELS} channels to "
        f"{CHANNELS}, hidden layers {HIDDEN}, 128 convex units. Training includes the "
        f"gradients of the input and of all parameters. In brackets, how many times "
        f"faster than PyG's class with as many steps (5 where there are none), and the "
        f"share of its bytes; a target has training, inference, saved bytes and peak. "
        f"`same maths` has the same parameters and gives the same numbers as PyG; "
        f"`{FLOOR}` are its matrix products alone, for 5 steps. Medians over {rounds} "
        f"interleaved rounds; load of the machine {os.getloadavg()[1]:.1f}."
    )
    return Table(f"Against PyG: {name}", header, rows, note)


def _modules() -> dict[str, Module]:
    modules: dict[str, Module] = {}
    for steps in (5, 10):
        torch.manual_seed(0)
        theirs = Published(CHANNELS, CHANNELS, HIDDEN, grad_iter=steps)
        modules[PUBLISHED.format(steps)] = theirs
        modules[SAME.format(steps)] = _same(theirs, Momentum(steps))
    theirs = modules[PUBLISHED.format(5)]
    modules[ONE_STEP] = _same(theirs, Momentum(5), adjoint=OneStep())
    modules[CONVEX] = EquilibriumAggregation(CHANNELS, CHANNELS)
    return modules


def _same(theirs: Module, solver: Momentum, **kwargs: object) -> EquilibriumAggregation:
    energy = ResNetEnergy(CHANNELS, CHANNELS, HIDDEN, batch_scaled_regulariser=True)
    energy.potential.load_state_dict(theirs.potential.state_dict())
    return EquilibriumAggregation(CHANNELS, CHANNELS, energy, solver, **kwargs)


def _reference(name: str) -> str:
    return PUBLISHED.format(10 if "10" in name else 5)


def _training(batch: Batch, module: Module) -> Run:
    inputs = [batch.x, *(each for each in module.parameters() if each.requires_grad)]

    def run() -> object:
        out = batch.call(module)
        return torch.autograd.grad(out.sum(), inputs, allow_unused=True)

    return run


def _products(rows: int, backward: bool) -> Run:
    """The matrix products of 5 steps, on rows that fit a cache."""
    block, width = 1024, HIDDEN[0]
    x, h = torch.randn(block, CHANNELS), torch.randn(block, width)
    into, weight = torch.randn(CHANNELS, width), torch.randn(width, width)
    once = [(x, into)] * 2
    steps = [(h, weight)] * 10
    if backward:
        once += [(h, into.t()), (x.t(), h)] * 2
        steps += [(h, weight)] * 20 + [(h.t(), h)] * 10
    products = [(a, b, torch.mm(a, b)) for a, b in once + steps] * (rows // block)

    def run() -> None:
        for a, b, out in products:
            torch.mm(a, b, out=out)

    return run


def _residual(batch: Batch, module: Module) -> float:
    """The median over the sets of the norm of the energy's gradient at the output."""
    if isinstance(module, EquilibriumAggregation):
        result = module.solve(batch.x, batch.index, dim_size=batch.num_sets)
        return result.residual.median().item()
    y = batch.call(module).detach().requires_grad_()
    energy = module.energy(batch.x, y, batch.index, batch.num_sets)
    return torch.autograd.grad(energy.sum(), y)[0].norm(dim=1).median().item()


def _times_faster(times: list[Times], name: str) -> list[float]:
    return [each.ratio(_reference(name), name) for each in times]


def _time_cells(times: list[Times], name: str) -> list[str]:
    ratios = _times_faster(times, name)
    return [
        f"{1e3 * each.seconds(name):.0f} ms ({ratio:.1f}x)"
        for each, ratio in zip(times, ratios, strict=True)
    ]


def _share(ratio: float) -> str:
    return f"1/{ratio:.0f}" if ratio >= 2 else f"{1 / ratio:.2f}"


def _verdict(ratios: list[float], targets: tuple | None) -> list[str]:
    if targets is None:
        return ["", ""]
    signs = ("{:g}x", "{:g}x", "1/{:g}", "1/{:g}")
    wanted = [
        sign.format(target) if target else "-"
        for sign, target in zip(signs, targets, strict=True)
    ]
    met = [
        ratio >= target for ratio, target in zip(ratios, targets, strict=True) if target
    ]
    return [", ".join(wanted), "yes" if all(met) else "no"]


def _against_others(batch: Batch, rounds: int) -> Table:
    modules: dict[str, Module] = {
        CONVEX: EquilibriumAggregation(CHANNELS, CHANNELS),
        "DeepSets": DeepSetsAggregation(
            MLP([CHANNELS, 128, CHANNELS]), MLP([CHANNELS, 128, CHANNELS])
        ),
        "Median": MedianAggregation(),
        "GRU": GRUAggregation(CHANNELS, CHANNELS),
        "SetTransformer": SetTransformerAggregation(CHANNELS, heads=4),
    }
    runs = {name: _training(batch, module) for name, module in modules.items()}
    times = interleave(runs, rounds, warmup=1)
    rows = [
        [
            name,
            f"{1e3 * times.seconds(name):.0f} ms",
            f"{times.ratio(name, CONVEX):.1f}",
        ]
        for name in modules
    ]
    note = "Training on the log-normal batch; others compute something else."
    header = ["", "training", f"times {CONVEX}"]
    return Table("Beside other aggregations of PyG", header, rows, note)
