"""SWARM against dense padded layers: time, bytes kept for backward, small batches."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.nn import GRUAggregation, SetTransformerAggregation
from torch_geometric.utils import to_dense_batch

from pyg_setops.aggr import SwarmAggregation
from pyg_setops.swarm import SwarmLayer

from .batches import BATCHES
from .peers.dense_swarm import DenseSwarm
from .tables import Table
from .timing import Run, Times, interleave, saved_bytes

IN, HIDDEN, OUT, ITERATIONS = 64, 128, 128, 10
DENSE, LOOP, FLOOR = "dense padded", "set by set", "products only"
MODES = ("plain", "recompute", "keep")
# What the dense layer would pad to more than this is left out: it does not fit.
MOST_ROWS = 10**5
# Batch, pool, with backward, and how many times faster than dense it should be.
CASES: tuple[tuple[str, str, bool, float | None], ...] = (
    ("equal", "mean", True, 2.0),
    ("log-normal", "mean", True, 12.0),
    ("molecules", "mean", True, None),
    ("giant", "mean", True, None),
    ("equal", "mean", False, 4.0),
    ("log-normal", "mean", False, 4.0),
    ("equal", "causal", True, 1.2),
    ("equal", "causal", False, None),
)
SMALL = {
    "1 set of 18": [18],
    "32 sets of 18": [18] * 32,
    "512 sets of 3": [3] * 512,
    "512 sets of 1": [1] * 512,
}


class Batch:
    """The elements of sets of given sizes, ragged and padded."""

    def __init__(self, sizes: Tensor, channels: int):
        torch.manual_seed(0)
        self.index = torch.arange(len(sizes)).repeat_interleave(sizes)
        self.ptr = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
        self.x = torch.randn(int(sizes.sum()), channels, requires_grad=True)
        self.padded_rows = len(sizes) * int(sizes.max())

    def padded(self) -> tuple[Tensor, Tensor]:
        x, mask = to_dense_batch(self.x.detach(), self.index)
        return x.requires_grad_(), mask.unsqueeze(-1)


def run(quick: bool = False) -> list[Table]:
    """Times layers, counts bytes, and sets SWARM beside PyG's aggregations."""
    rounds = 1 if quick else 3
    return [_layers(rounds), _bytes(), _small(10 * rounds), _aggregations(rounds)]


def _layers(rounds: int) -> Table:
    rows = [_case(*case, rounds) for case in CASES]
    names = [LOOP, *MODES, FLOOR]
    note = (
        f"Widths {IN}, {HIDDEN}, {OUT}, {ITERATIONS} iterations; the gradient of the "
        f"input included. Milliseconds of the dense layer (padding and masking not "
        f"timed), and how many times faster the others are: medians over {rounds} "
        f"interleaved rounds. `{LOOP}` is the plain layer on one set at a time, "
        f"`{FLOOR}` the matrix products that the maths cannot avoid, and nothing else. "
        f"Where the dense layer does not fit in memory, all are milliseconds. Load of "
        f"the machine: {os.getloadavg()[1]:.1f}."
    )
    header = ["sets", "pool", "pass", DENSE, *names, "target", "reached by"]
    return Table("Layers", header, rows, note)


def _case(
    name: str, pool: str, backward: bool, target: float | None, rounds: int
) -> list[str]:
    batch = Batch(BATCHES[name](), IN)
    runs = _candidates(batch, pool, backward)
    times = interleave(runs, rounds, warmup=0)  # seconds each: nothing to warm up
    cells = [name, pool, "forward and backward" if backward else "forward"]
    if DENSE not in runs:
        found = [_milliseconds(times, each) for each in (LOOP, *MODES, FLOOR)]
        return [*cells, "", *found, "", ""]
    ratios = {each: times.ratio(DENSE, each) for each in (LOOP, *MODES, FLOOR)}
    reached = [each for each in MODES if target is not None and ratios[each] >= target]
    return [
        *cells,
        _milliseconds(times, DENSE),
        *[f"{ratio:.1f}x" for ratio in ratios.values()],
        "" if target is None else f"{target:g}x",
        "" if target is None else ", ".join(reached) or "none",
    ]


def _candidates(batch: Batch, pool: str, backward: bool) -> dict[str, Run]:
    layers = {mode: _layer(pool, mode) for mode in MODES}
    runs = {}
    if batch.padded_rows <= MOST_ROWS:
        dense, (x, mask) = _dense(pool), batch.padded()
        found = dense(x, mask)[mask.squeeze(-1)]
        torch.testing.assert_close(found, layers["keep"](batch.x, ptr=batch.ptr))
        runs[DENSE] = _timed(dense, lambda: dense(x, mask), x, backward)
    each = [batch.x[start:end] for start, end in pairwise(batch.ptr.tolist())]
    plain = layers["plain"]
    loop = lambda: torch.cat([plain(x) for x in each])  # noqa: E731
    runs[LOOP] = _timed(plain, loop, batch.x, backward)
    for mode, layer in layers.items():
        call = partial(layer, batch.x, ptr=batch.ptr)
        runs[mode] = _timed(layer, call, batch.x, backward)
    heard = len(batch.x) if pool == "causal" else len(each)
    runs[FLOOR] = _products(len(batch.x), heard, backward)
    return runs


def _layer(pool: str, mode: str) -> SwarmLayer:
    torch.manual_seed(0)
    return SwarmLayer(IN, OUT, HIDDEN, ITERATIONS, pool=pool, mode=mode)


def _dense(pool: str) -> DenseSwarm:
    dense = DenseSwarm(IN, OUT, HIDDEN, ITERATIONS, causal=pool == "causal")
    dense.load_state_dict(_layer(pool, "plain").state_dict())
    return dense


def _timed(
    module: Module, call: Callable[[], Tensor], x: Tensor, backward: bool
) -> Run:
    def both() -> tuple[Tensor, ...]:
        out = call()
        return torch.autograd.grad(out, [x, *module.parameters()], torch.ones_like(out))

    return both if backward else torch.no_grad()(call)


def _products(rows: int, heard: int, backward: bool) -> Run:
    """All matrix products, by their shapes, on rows that fit a cache."""
    gates = 4 * HIDDEN
    shapes = [(rows, IN, gates), (rows, 2 * HIDDEN, OUT)]
    shapes += [(rows, HIDDEN, gates), (heard, HIDDEN, gates)] * (ITERATIONS - 1)
    products = []
    for count, inner, outer in shapes:
        block = min(count, 1024)
        a, w = torch.randn(block, inner), torch.randn(inner, outer)
        grad = torch.randn(block, outer)
        pairs = [(a, w), (grad, w.t()), (a.t(), grad)][: 3 if backward else 1]
        products += [(*pair, torch.mm(*pair)) for pair in pairs] * (count // block)

    def run() -> None:
        for a, b, out in products:
            torch.mm(a, b, out=out)

    return run


def _milliseconds(times: Times, name: str) -> str:
    return f"{1e3 * times.seconds(name):.0f} ms"


def _bytes() -> Table:
    rows = []
    for name in ("equal", "log-normal"):
        batch, dense = Batch(BATCHES[name](), IN), _dense("mean")
        padded = batch.padded()
        kept = {DENSE: saved_bytes(partial(dense, *padded), (*dense.parameters(),))}
        for mode in MODES:
            layer = _layer("mean", mode)
            call = partial(layer, batch.x, ptr=batch.ptr)
            kept[mode] = saved_bytes(call, tuple(layer.parameters()))
        share = kept[DENSE] / kept["recompute"]
        reached = "yes" if share >= 20 else "no"
        megabytes = [f"{size / 2**20:.1f} MiB" for size in kept.values()]
        rows.append([name, *megabytes, "1/20", f"{reached}: 1/{share:.0f}"])
    header = ["sets", *kept, "target of recompute", "reached"]
    return Table("Kept for backward", header, rows, "Parameters are not counted.")


def _small(rounds: int) -> Table:
    rows = []
    for name, sizes in SMALL.items():
        for hidden in (32, HIDDEN):
            batch = Batch(torch.tensor(sizes), IN)
            cells = [name, str(hidden)]
            for backward in (False, True):
                runs = {}
                for mode in MODES:
                    torch.manual_seed(0)
                    layer = SwarmLayer(IN, OUT, hidden, ITERATIONS, mode=mode)
                    call = partial(layer, batch.x, ptr=batch.ptr)
                    runs[mode] = _timed(layer, call, batch.x, backward)
                times = interleave(runs, rounds)
                cells.append(f"{1e3 * times.seconds('plain'):.2f} ms")
                cells += [f"{times.ratio('plain', mode):.2f}x" for mode in MODES[1:]]
            rows.append(cells)
    header = ["sets", "hidden"]
    for which in ("forward", "both passes"):
        header += [f"plain, {which}", *MODES[1:]]
    note = (
        "Milliseconds of the plain layer and how many times faster the blocked one is, "
        "where there is little to win."
    )
    return Table("Small batches", header, rows, note)


def _aggregations(rounds: int) -> Table:
    rows = []
    for name in ("equal", "molecules", "log-normal"):
        batch = Batch(BATCHES[name](), IN)
        runs = {}
        for label, aggregation in (
            ("SWARM", SwarmAggregation(IN, hidden_channels=IN)),
            ("SetTransformer", SetTransformerAggregation(IN, heads=4)),
            ("GRU", GRUAggregation(IN, IN)),
        ):
            call = partial(aggregation, batch.x, batch.index)
            runs[label] = _timed(aggregation, call, batch.x, backward=True)
        times = interleave(runs, rounds, warmup=1)
        others = [f"{times.ratio(label, 'SWARM'):.2f}x" for label in list(runs)[1:]]
        rows.append([name, _milliseconds(times, "SWARM"), *others])
    note = (
        f"Forward and backward at width {IN}: milliseconds of `SwarmAggregation` (8 "
        "iterations), and how many times longer PyG's aggregations take, which compute "
        "something else: two blocks of attention with 4 heads, and a GRU over the set."
    )
    return Table("Aggregations", ["sets", *runs], rows, note)
