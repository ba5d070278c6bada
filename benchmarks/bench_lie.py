"""LieSelfAttention against dense padded layers, and on many neighbourhoods."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch_geometric.utils import to_dense_batch

from pyg_setops.conv import LieSelfAttention
from pyg_setops.lie import KNN, SE3, AttentionKernel, LieGroup, T
from pyg_setops.ragged import SetIndex

from .peers.dense_lie import DenseLieSelfAttention
from .tables import Table
from .timing import Run, interleave, one_thread, saved_bytes

CHANNELS, HEADS, HIDDEN = 160, 8, 16
DENSE, KEEP, RECOMPUTE, FLOOR = "dense padded", "keep", "recompute", "products only"
MAX_PAIRS = {KEEP: 10**9, RECOMPUTE: 0}
POINTS = (1_000, 10_000, 100_000)
NEAREST = 16


@dataclass(frozen=True)
class Case:
    """Sets of points, lifted; and how many times faster than dense it should be.

    Attributes:
        name: What the sets are.
        sizes: Their sizes.
        group: The group.
        num_lifts: The lifts of each point.
        target: The ratio, and which of both it is of.
        mode: The one that is meant.
    """

    name: str
    sizes: Tensor
    group: LieGroup
    num_lifts: int
    target: float
    mode: str


def molecules() -> Tensor:
    """32 sets of about 18, the largest of 29."""
    draw = torch.randn(32, generator=torch.Generator().manual_seed(0))
    sizes = draw.mul(3).add(18).round().clamp(3, 29).long()
    sizes[0] = 29
    return sizes


HUNDREDS = torch.full((8,), 100)
CASES = (
    Case("32 molecules", molecules(), T(3), 1, 2.8, KEEP),
    Case("32 molecules", molecules(), SE3(), 1, 2.2, KEEP),
    Case("32 molecules", molecules(), SE3(), 2, 5.0, KEEP),
    Case("8 of 100", HUNDREDS, T(3), 1, 2.5, RECOMPUTE),
    Case("8 of 100", HUNDREDS, SE3(), 2, 1.7, RECOMPUTE),
)


class Lifted:
    """Features and lifts of a case, ragged and padded."""

    def __init__(self, case: Case):
        torch.manual_seed(0)
        zero = case.sizes.new_zeros(1)
        sets = SetIndex.build(ptr=torch.cat([zero, case.sizes.cumsum(0)]))
        pos = torch.randn(sets.num_elements, 3)
        self.lifted = case.group.lift(pos, sets, case.num_lifts)
        count = len(self.lifted.g)
        self.x = torch.randn(count, CHANNELS, requires_grad=True)
        self.num_pairs = int((case.sizes * case.num_lifts).square().sum())

    def padded(self) -> tuple[Tensor, Tensor, Tensor]:
        index, group = self.lifted.set_index.index, self.lifted.group
        x, mask = to_dense_batch(self.x.detach(), index)
        g, _ = to_dense_batch(self.lifted.g, index)
        g[~mask] = group.identity(g)
        return x.requires_grad_(), g, mask


def run(quick: bool = False) -> list[Table]:
    """Times layers, counts bytes, and counts what a point costs among many."""
    return [_layers(2 if quick else 5), _neighbours(quick)]


def _layers(rounds: int) -> Table:
    rows = [_case(case, rounds) for case in CASES]
    header = ["sets", "group", "lifts", "pairs", DENSE, KEEP, RECOMPUTE, FLOOR]
    header += ["target", "reached", f"kept, {DENSE}", f"kept, {KEEP}"]
    header += [f"kept, {RECOMPUTE}"]
    note = (
        f"Width {CHANNELS}, {HEADS} heads, location networks of width {HIDDEN}, "
        "constant normalisation: one layer of the published size, forward and "
        "backward. Milliseconds of the dense layer (lift, padding and mask are not "
        "timed), and how many times faster the others are, medians over "
        f"{rounds} interleaved rounds; MiB kept for backward, parameters not counted. "
        f"`{KEEP}` and `{RECOMPUTE}` are what `max_pairs` chooses between; the target "
        f"is of `{KEEP}` for molecules and of `{RECOMPUTE}` for sets of 100. "
        f"`{FLOOR}`: the matrix products that the maths cannot avoid, and nothing "
        "else. The package `lie-transformer-pytorch` is not compared: its output does "
        f"not depend on the coordinates. Load of the machine: {os.getloadavg()[1]:.1f}."
    )
    return Table("Layers", header, rows, note)


def _case(case: Case, rounds: int) -> list[str]:
    batch = Lifted(case)
    layers = {
        mode: _layer(case.group, max_pairs=most) for mode, most in MAX_PAIRS.items()
    }
    dense, padded = DenseLieSelfAttention(layers[KEEP]), batch.padded()
    found = dense(*padded)[padded[2]]
    expected = layers[KEEP](batch.x, batch.lifted)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    calls: dict[str, Callable[[], Tensor]] = {DENSE: partial(dense, *padded)}
    for mode, layer in layers.items():
        calls[mode] = partial(layer, batch.x, batch.lifted)
    runs: dict[str, Run] = {}
    for name, call in calls.items():
        inputs = padded[0] if name == DENSE else batch.x
        parameters = layers[RECOMPUTE if name == RECOMPUTE else KEEP].parameters()
        runs[name] = partial(_both, call, [inputs, *parameters])
    runs[FLOOR] = _products(len(batch.x), batch.num_pairs)
    times = interleave(runs, rounds, warmup=1)
    known = tuple(p for layer in layers.values() for p in layer.parameters())
    kept = [saved_bytes(call, known) / 2**20 for call in calls.values()]
    ratios = {name: times.ratio(DENSE, name) for name in (KEEP, RECOMPUTE, FLOOR)}
    return [
        case.name,
        str(case.group),
        str(case.num_lifts),
        f"{batch.num_pairs:,}",
        f"{1e3 * times.seconds(DENSE):.0f} ms",
        *[f"{ratio:.1f}x" for ratio in ratios.values()],
        f"{case.target:g}x",
        "yes" if ratios[case.mode] >= case.target else "no",
        *[f"{size:.1f}" for size in kept],
    ]


def _layer(group: LieGroup, **options: object) -> LieSelfAttention:
    torch.manual_seed(0)
    kernel = AttentionKernel(normalize="constant", hidden_channels=HIDDEN)
    return LieSelfAttention(CHANNELS, CHANNELS, group, HEADS, kernel, **options)


def _both(call: Callable[[], Tensor], inputs: list[Tensor]) -> tuple[Tensor, ...]:
    out = call()
    return torch.autograd.grad(out, inputs, torch.ones_like(out))


def _products(rows: int, pairs: int) -> Run:
    """All matrix products of both passes, by their shapes, on what fits a cache."""
    width, block = CHANNELS // HEADS, 2**12
    x, w = torch.randn(rows, CHANNELS), torch.randn(CHANNELS, CHANNELS)
    hidden = torch.randn(HEADS, HIDDEN, block)
    second = torch.randn(HEADS, HIDDEN, HIDDEN)
    last = torch.randn(HEADS, 1, HIDDEN)
    value = torch.randn(HEADS, width, 64)
    weight = torch.randn(HEADS, 64, block // 64)

    def run() -> None:
        for _ in range(4):  # queries, keys, values, outputs; two products back
            _ = x @ w, x @ w.t(), x.t() @ x
        for _ in range(-(-pairs // block)):
            for matrix in (second, last):
                out = matrix @ hidden
                _ = matrix.mT @ out, out @ hidden.mT
            for _ in range(2):  # contents, and the sum of values
                out = value @ weight
                _ = value.mT @ out, out @ weight.mT

    return run


def _processor_seconds(run: Run, rounds: int) -> float:
    """The least time of one thread in which nothing else counts."""
    times = []
    with one_thread():
        for _ in range(rounds):
            start = time.process_time()
            run()
            times.append(time.process_time() - start)
    return min(times)


def _neighbours(quick: bool) -> Table:
    rows, first = [], 0.0
    for count in POINTS[: 2 if quick else 3]:
        group = T(3)
        torch.manual_seed(0)
        pos = torch.rand(count, 3) * count ** (1 / 3)  # as dense, however many
        lifted = group.lift(pos)
        x = torch.randn(count, 64, requires_grad=True)
        search = KNN(NEAREST)
        layer = LieSelfAttention(64, 64, group, 4, neighbors=search)
        edges = search(lifted)
        call = partial(layer, x, lifted, edges)
        rounds = 2 if count > 20_000 else 5
        found = _processor_seconds(partial(search, lifted), rounds)
        both = partial(_both, call, [x, *layer.parameters()])
        seconds = _processor_seconds(both, rounds)
        first = first or seconds / count
        kept = saved_bytes(call, tuple(layer.parameters()))
        rows.append(
            [
                f"{count:,}",
                f"{edges.size(1):,}",
                f"{1e3 * found:.0f} ms",
                f"{1e3 * seconds:.0f} ms",
                f"{1e6 * seconds / count:.0f} µs",
                f"{seconds / count / first:.2f}",
                f"{kept / count:,.0f}",
            ]
        )
    header = ["points", "edges", "search", "both passes", "per point", "relative"]
    note = (
        f"One set, `KNN({NEAREST})`, T(3), width 64, 4 heads: what a point costs must "
        "not grow with their number. Processor time, the best of a few rounds; "
        "`search` is SciPy's tree. From 65,536 pairs on, blocks are recomputed, which "
        "takes longer and keeps less."
    )
    return Table("Nearest neighbours", [*header, "bytes kept per point"], rows, note)
