"""Equivariant linear layers against dense stacks, single diagrams and matrices."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from math import log
from pathlib import Path
from time import process_time

import torch
from torch import Tensor
from torch_geometric.utils import erdos_renyi_graph, to_dense_batch

from pyg_setops import EquivariantLinear, PairLinear
from pyg_setops.partition import diagrams
from pyg_setops.ragged import GraphIndex, TensorIndex

from . import timing
from .peers.dense_pairs import DensePairs
from .peers.diagrams_apart import Matrices, PerDiagram
from .tables import Table
from .timing import Run, Times, saved_bytes

OURS, PADDED, BY_SIZE = "ours", "dense padded", "dense by size"
APART, FLOOR = "diagram by diagram", "products only"
MATRICES, TOGETHER = "matrices", "matrices by size"
SETUP = "layout, once a batch"
PICTURE = Path(__file__).parent.parent / "docs" / "benchmarks" / "partition_growth.png"
ORDERS = [(k, total - k) for total in range(1, 6) for k in range(total + 1)]
TARGETS = {(3, 2): (MATRICES, 15), (2, 3): (MATRICES, 15), (3, 3): (APART, 9)}

Call = Callable[[Tensor], Tensor]


class Batch:
    """Tensors of one order over sets of given sizes, and a layer for them."""

    def __init__(self, sizes: Tensor, orders: tuple[int, int], channels: int):
        torch.manual_seed(0)
        self.sizes, self.channels = sizes, channels
        self.ptr = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
        self.tensors = TensorIndex.build(ptr=self.ptr)
        self.layer = EquivariantLinear(*orders, channels, channels)
        rows = self.tensors.num_rows(orders[0])
        self.x = torch.randn(rows, channels, requires_grad=True)

    def ours(self, x: Tensor) -> Tensor:
        return self.layer(x, self.tensors)

    def training(self, call: Call, parameters: list[Tensor] | None = None) -> Run:
        """Forward and backward, to the input and the weights."""
        inputs = [self.x, *(parameters or [self.layer.weight])]

        def run() -> tuple[Tensor, ...]:
            out = call(self.x)
            return torch.autograd.grad(out, inputs, torch.ones_like(out))

        return run

    def index_bytes(self) -> int:
        """What the layout holds: it is shared by layers, and kept for backward."""
        maps = [*self.tensors._maps.values(), *self.tensors._rows.values()]
        maps += [*self.tensors._patterns.values(), *self.tensors._many.values()]
        tensors = [each._index for each in maps if each._index is not None]
        tensors += [axis for axes in self.tensors._axes.values() for axis in axes]
        return sum({t.data_ptr(): t.nbytes for t in tensors}.values())


#: Seconds of the processor, on one thread: other work on the machine does not count.
_interleave = partial(timing.interleave, clock=process_time)


def run(quick: bool = False) -> Iterator[Table]:
    """Times layers, counts bytes, and draws how time grows."""
    rounds = 1 if quick else 5
    yield _pairs(rounds)
    yield _orders(rounds)
    yield _never_slower(3)
    yield _sparse(rounds)
    yield _growth(quick)


def ragged_sizes() -> Tensor:
    """64 sets of 5 to 50."""
    return torch.randint(5, 51, (64,), generator=torch.Generator().manual_seed(0))


def _pairs(rounds: int) -> Table:
    rows = []
    cases = (
        ("64 sets of 5 to 50", ragged_sizes(), {PADDED: 10, BY_SIZE: 8}),
        ("64 sets of 30", torch.full((64,), 30), {PADDED: 7}),
    )
    for name, sizes, targets in cases:
        batch = Batch(sizes, (2, 2), 64)
        calls = _dense_calls(batch)
        runs = {name: batch.training(*call) for name, call in calls.items()}
        runs[FLOOR] = _products(len(batch.x), batch.channels)
        runs[SETUP] = partial(_set_up, batch)
        times = _interleave(runs, rounds, warmup=1)
        kept = {
            label: saved_bytes(partial(call, batch.x), tuple(batch.layer.parameters()))
            for label, (call, *_) in calls.items()
        }
        kept[OURS] += batch.index_bytes()
        for label in runs:
            rows.append([name, label, *_pair_cells(times, kept, label, targets)])
    note = (
        "Pairs to pairs, width 64, forward and backward: medians over "
        f"{rounds} interleaved rounds, of processor time, as the machine was shared. "
        f"`{PADDED}` stacks all 15 maps and mixes last, "
        f"`{BY_SIZE}` does so for sets of equal size together, without padding; "
        f"`{FLOOR}` are the matrix products of order 2 alone, of our layer. Bytes of "
        "ours include the layout's, which layers share. Load of the machine: "
        f"{os.getloadavg()[1]:.1f}."
    )
    header = ["sets", "", "time", "times ours", "kept for backward", "target"]
    return Table("Pairs to pairs", [*header, "reached"], rows, note)


def _pair_cells(
    times: Times, kept: dict[str, int], label: str, targets: dict[str, int]
) -> list[str]:
    ratio = times.ratio(label, OURS)
    cells = [f"{1e3 * times.seconds(label):.1f} ms", f"{ratio:.2f}"]
    if label not in kept:
        return [*cells, "", "", ""]
    size = f"{kept[label] / 2**20:.0f} MiB"
    if label != OURS:
        size += f" ({kept[label] / kept[OURS]:.0f}x)"
    if label not in targets:
        return [*cells, size, "", ""]
    wanted, met = f"{targets[label]}x", ratio >= targets[label]
    if label == PADDED and len(targets) > 1:  # the bytes are asked for on ragged sets
        wanted, met = f"{wanted}, 30x the bytes", met and kept[label] >= 30 * kept[OURS]
    return [*cells, size, wanted, "yes" if met else "no"]


def _dense_calls(batch: Batch) -> dict[str, tuple]:
    """What gives the output for ``batch.x``, and the weights it has."""
    by_partition = dict(batch.layer.per_diagram())
    weight = torch.stack([by_partition[p] for p in DensePairs.maps])
    dense = DensePairs(weight, batch.layer.bias)
    sizes, mask = batch.sizes.tolist(), None
    if min(sizes) < max(sizes):
        index = torch.arange(len(sizes)).repeat_interleave(batch.sizes)
        _, mask = to_dense_batch(index, index)
    square = mask.unsqueeze(2) & mask.unsqueeze(1) if mask is not None else None
    groups = [
        [number for number, each in enumerate(sizes) if each == size]
        for size in sorted(set(sizes))
    ]

    def padded(x: Tensor) -> Tensor:
        if square is None:
            return dense(x.view(len(sizes), sizes[0], sizes[0], -1)).flatten(0, 2)
        wide = x.new_zeros(*square.shape, x.size(1)).masked_scatter(
            square.unsqueeze(3), x
        )
        return dense(wide, mask)[square]

    def by_size(x: Tensor) -> Tensor:
        parts = x.split([size**2 for size in sizes])
        outs: dict[int, Tensor] = {}
        for group in groups:
            size = sizes[group[0]]
            stack = torch.stack([parts[number] for number in group])
            out = dense(stack.view(len(group), size, size, -1)).flatten(1, 2)
            outs.update(zip(group, out, strict=True))
        return torch.cat([outs[number] for number in range(len(sizes))])

    calls: dict[str, tuple] = {OURS: (batch.ours,), PADDED: (padded, [dense.weight])}
    if mask is not None:
        calls[BY_SIZE] = (by_size, [dense.weight])
    calls[APART] = (PerDiagram(batch.layer, batch.tensors),)
    with torch.no_grad():
        expected = batch.ours(batch.x)
        for name, (call, *_) in calls.items():
            if name != APART:  # it has no bias, which is zero here anyhow
                torch.testing.assert_close(
                    call(batch.x), expected, atol=1e-4, rtol=1e-4
                )
    return calls


def _set_up(batch: Batch) -> Tensor:
    """A fresh layout, with all maps that the layer asks for."""
    tensors = TensorIndex.build(ptr=batch.ptr)
    for axes, order in batch.tensors._maps:
        tensors.map(axes, order)
    return tensors.rows(2).index


def _products(rows: int, width: int) -> Run:
    block = torch.randn(min(rows, 1024), width)
    weight = torch.randn(width, 2 * width)
    grad = block @ weight
    pairs = [(block, weight), (grad, weight.t()), (block.t(), grad)]
    outs = [a @ b for a, b in pairs]

    def run() -> None:
        for _ in range(max(1, rows // len(block))):
            for (a, b), out in zip(pairs, outs, strict=True):
                torch.mm(a, b, out=out)

    return run


def _compare(batch: Batch, names: tuple[str, ...], rounds: int) -> Times:
    """Our layer beside others, which must agree with it."""
    makers = {
        OURS: lambda: batch.ours,
        APART: lambda: PerDiagram(batch.layer, batch.tensors),
        MATRICES: lambda: Matrices(batch.layer, batch.sizes.tolist(), False),
        TOGETHER: lambda: Matrices(batch.layer, batch.sizes.tolist(), True),
    }
    calls = {name: makers[name]() for name in (OURS, *names)}
    with torch.no_grad():
        expected = batch.ours(batch.x)
        for name in names:
            found = calls[name](batch.x)
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    runs = {name: batch.training(call) for name, call in calls.items()}
    return _interleave(runs, rounds, warmup=1)


def _orders(rounds: int) -> Table:
    sizes = torch.randint(3, 9, (16,), generator=torch.Generator().manual_seed(0))
    rows = []
    for orders in (
        (2, 2),
        (3, 1),
        (3, 2),
        (2, 3),
        (4, 1),
        (1, 4),
        (5, 0),
        (0, 5),
        (3, 3),
    ):
        others = (APART,) if orders == (3, 3) else (APART, MATRICES, TOGETHER)
        times = _compare(Batch(sizes, orders, 16), others, 4 * rounds)
        cells = [f"{orders[0]} to {orders[1]}", str(len(diagrams(*orders)))]
        cells.append(f"{1e3 * times.seconds(OURS):.2f} ms")
        for name in (APART, MATRICES, TOGETHER):
            cells.append(f"{times.ratio(name, OURS):.1f}x" if name in others else "")
        if orders in TARGETS:
            name, target = TARGETS[orders]
            met = times.ratio(name, OURS) >= target
            cells += [f"{target}x {name}", "yes" if met else "no"]
        rows.append([*cells, *[""] * (8 - len(cells))])
    note = (
        "16 sets of 3 to 8, width 16, forward and backward: how many times longer the "
        f"others take. `{APART}` multiplies with each diagram fast, mixing at the "
        f"lowest order, but shares nothing; `{MATRICES}` are explicit, made before, "
        f"set by set, `{TOGETHER}` take sets of equal size together."
    )
    header = ["orders", "diagrams", OURS, APART, MATRICES, TOGETHER]
    header += ["target", "reached"]
    return Table("Any orders", header, rows, note)


def _never_slower(rounds: int) -> Table:
    sizes = torch.tensor([8, 9, 8, 8])
    rows = []
    for orders in ORDERS:
        others = (APART, MATRICES, TOGETHER)
        times = _compare(Batch(sizes, orders, 16), others, rounds)
        ratios = [times.ratio(name, OURS) for name in others]
        rows.append(
            [
                f"{orders[0]} to {orders[1]}",
                f"{1e3 * times.seconds(OURS):.2f} ms",
                *[f"{ratio:.2f}x" for ratio in ratios],
                "yes" if min(ratios) >= 1 else "no",
            ]
        )
    note = "4 sets of 8 and 9, width 16, forward and backward."
    header = ["orders", OURS, APART, MATRICES, TOGETHER, "ours is fastest"]
    return Table("From 8 elements on", header, rows, note)


def _sparse(rounds: int) -> Table:
    """PairLinear on graphs, beside the dense layer on all their pairs."""
    torch.manual_seed(0)
    sizes = torch.randint(20, 41, (32,)).tolist()
    edges, start = [], 0
    for size in sizes:
        edges.append(erdos_renyi_graph(size, 5 / size) + start)
        start += size
    edge_index = torch.cat(edges, dim=1)
    batch = Batch(torch.tensor(sizes), (2, 2), 64)
    index = torch.arange(len(sizes)).repeat_interleave(batch.sizes)
    graphs = GraphIndex.build(edge_index, index)
    layer = PairLinear(64, 64)
    x = torch.randn(start, 64, requires_grad=True)
    edge_attr = torch.randn(edge_index.size(1), 64, requires_grad=True)
    inputs = [x, edge_attr, *layer.parameters()]

    def sparse() -> tuple[Tensor, ...]:
        out = torch.cat(layer(x, edge_attr, graphs))
        return torch.autograd.grad(out, inputs, torch.ones_like(out))

    runs = {"PairLinear": sparse, "all pairs": batch.training(batch.ours)}
    times = _interleave(runs, 2 * rounds)
    rows = [
        [
            f"{len(sizes)} graphs, {start} nodes, {edge_index.size(1)} edges",
            f"{1e3 * times.seconds('PairLinear'):.1f} ms",
            f"{times.ratio('all pairs', 'PairLinear'):.1f}x",
        ]
    ]
    note = (
        "Width 64, forward and backward: `PairLinear` on nodes and edges, and how many "
        f"times longer `EquivariantLinear` takes on all {len(batch.x)} pairs of nodes."
    )
    return Table("Sparse graphs", ["graphs", "PairLinear", "all pairs"], rows, note)


def _growth(quick: bool) -> Table:
    """Seconds of each layer by the size of one set, and the stated complexity."""
    measured: dict[tuple[int, int], dict[int, float]] = {}
    for orders in [o for o in ORDERS if max(o) <= 3] + [(3, 3), (4, 1), (1, 4)]:
        highest = max(orders)
        largest = {0: 512, 1: 512, 2: 256, 3: 48, 4: 20}[highest]
        sizes = [4 * 2 ** (i / 2) for i in range(20)]
        sizes = sorted({round(n) for n in sizes if n <= largest})[:: 2 if quick else 1]
        measured[orders] = {}
        for size in sizes:
            batch = Batch(torch.tensor([size]), orders, 16)
            times = _interleave(
                {OURS: batch.training(batch.ours)}, 1 if quick else 5, 1
            )
            measured[orders][size] = times.seconds(OURS)
    if not quick:
        _draw(measured)
    rows = []
    for orders, seconds in measured.items():
        few, first = list(seconds.items())[-4]
        many, last = list(seconds.items())[-1]
        slope = log(last / first) / log(many / few)
        rows.append(
            [
                f"{orders[0]} to {orders[1]}",
                f"n^{max(orders)}",
                f"n^{slope:.1f}",
                f"{1e3 * last:.1f} ms at n = {many}",
            ]
        )
    note = (
        f"![Time by size of the set]({PICTURE.name})\n\nOne set, width 16, forward and "
        "backward. The exponent is that between the fourth size from the end and the "
        "last; small sets cost what "
        "calling costs, so it is reached from below."
    )
    return Table("Growth", ["orders", "stated", "found", "time"], rows, note)


def _draw(measured: dict[tuple[int, int], dict[int, float]]) -> None:
    import matplotlib.pyplot as plt
    from matplotlib.ticker import NullFormatter

    highest = sorted({max(orders) for orders in measured})
    figure, panels = plt.subplots(
        1, len(highest), figsize=(4.2 * len(highest), 4), layout="constrained"
    )
    for axes, power in zip(panels, highest, strict=True):
        mine = {o: s for o, s in measured.items() if max(o) == power}
        for orders, seconds in mine.items():
            values = [1e3 * each for each in seconds.values()]
            label = f"{orders[0]} to {orders[1]}"
            axes.plot(list(seconds), values, "o-", ms=3, lw=1.4, label=label)
        sizes = sorted({size for seconds in mine.values() for size in seconds})
        top = max(1e3 * max(seconds.values()) for seconds in mine.values())
        stated = [top * (size / sizes[-1]) ** power for size in sizes]
        axes.plot(sizes, stated, "--", color="black", lw=1, label=f"$n^{power}$")
        axes.set(xscale="log", yscale="log", xlabel="n", title=f"up to order {power}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_ylim(bottom=0.05)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    panels[0].set_ylabel("forward and backward [ms]")
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    draft = PICTURE.with_suffix(".part.png")
    figure.savefig(draft, dpi=100)
    draft.replace(PICTURE)
    plt.close(figure)
