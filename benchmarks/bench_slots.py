"""Slot Attention against dense padded layers and a package: time and bytes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.nn import MemPooling, SetTransformerAggregation
from torch_geometric.utils import to_dense_batch

from pyg_setops import SlotAttention
from pyg_setops.aggr import SlotAggregation

from .peers.dense_slots import DenseSlots
from .tables import Table
from .timing import Run, Times, interleave, peak_bytes, saved_bytes

try:
    from slot_attention import SlotAttention as Package
except ImportError:  # an optional extra: its rows are left out
    Package = None

CHANNELS, SLOTS, ITERATIONS, HIDDEN = 64, 7, 3, 128
OURS, IMPLICIT, DENSE = "SlotAttention", "implicit gradient", "dense padded"
PADDED, LOOP, FLOOR = "package, padded", "package, set by set", "products only"
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


def uniform() -> Tensor:
    """256 sets of 20 to 199."""
    return torch.randint(20, 200, (256,), generator=torch.Generator().manual_seed(0))


def equal(count: int, size: int) -> Tensor:
    return torch.full((count,), size)


# What is to be reached: times faster than the dense layer with backward and without,
# and than the package set by set.
BATCHES: dict[str, tuple[Tensor, float, float | None, float | None]] = {
    "log-normal": (log_normal(), 3, 4, 4),
    "molecules (512)": (molecules(), 1, None, 10),
    "512 sets of 32": (equal(512, 32), 1, None, 10),
    "uniform 20..199": (uniform(), 1.7, None, None),
    "64 sets of 1024": (equal(64, 1024), 1.7, None, None),
}
# Sets, slots, width, and the target.
SHAPES = (
    (equal(64, 256), 4, 64, None),
    (equal(64, 256), 16, 64, 1.0),
    (equal(64, 256), 32, 64, None),
    (equal(64, 256), 7, 128, None),
    (equal(8, 8192), 7, 64, None),
)


class Batch:
    """The elements of sets of given sizes, ragged and padded, and first slots."""

    def __init__(self, sizes: Tensor, slots: int = SLOTS, channels: int = CHANNELS):
        torch.manual_seed(0)
        self.sizes = sizes
        self.ptr = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
        self.index = torch.arange(len(sizes)).repeat_interleave(sizes)
        self.x = torch.randn(len(self.index), channels, requires_grad=True)
        padded, mask = to_dense_batch(self.x.detach(), self.index)
        self.padded, self.mask = padded.requires_grad_(), mask[..., None].float()
        self.each = self.x.detach().split(sizes.tolist())
        self.start = torch.randn(len(sizes), slots, channels)


def run(quick: bool = False) -> Iterator[Table]:
    """Times the layer against its peers, and counts bytes."""
    rounds = 1 if quick else 3
    yield _layers(rounds)
    yield _memory()
    yield _shapes(rounds)
    yield _variants(rounds)
    yield _readouts(rounds)


def _layers(rounds: int) -> Table:
    rows = []
    for name, (sizes, both, forward, loop) in BATCHES.items():
        batch = Batch(sizes)
        for backward in (True, False):
            runs = _candidates(batch, backward)
            times = interleave(runs, rounds, warmup=1)
            targets = (both, loop) if backward else (forward, None)
            rows.append(
                [name, "both" if backward else "forward", *_cells(times, targets)]
            )
    header = ["sets", "passes", OURS, IMPLICIT, DENSE, PADDED, LOOP, FLOOR]
    header += ["target", "reached"]
    note = (
        f"Width {CHANNELS}, {SLOTS} slots, {ITERATIONS} iterations, GRU and MLP of "
        f"{HIDDEN} included; both passes are with the gradients of the elements and "
        f"of all parameters. Milliseconds of `{OURS}`; for the rest, how many times "
        f"longer they take (below 1: less). `{DENSE}` is the same maths, padded and "
        f"masked (padding itself is not timed), and gives the same numbers. `package` "
        f"is slot-attention 1.5.2: padded, where padding takes part in its "
        f"competition, so that its numbers are wrong; and set by set, where they are "
        f"right. `{FLOOR}` "
        f"are the layer norm and the products that the maths cannot avoid. Targets are "
        f"against `{DENSE}`, then against `{LOOP}`. Medians over {rounds} interleaved "
        f"rounds; load of the machine {os.getloadavg()[1]:.1f}."
    )
    return Table("Layers", header, rows, note)


def _candidates(batch: Batch, backward: bool) -> dict[str, Run]:
    slots, width = batch.start.size(1), batch.start.size(2)
    layer, implicit = _layer(slots, width), _layer(slots, width, grad="implicit")
    dense = DenseSlots(width, width, ITERATIONS, HIDDEN)
    state = layer.state_dict()
    dense.load_state_dict({name: state[name] for name in dense.state_dict()})
    call = partial(layer, batch.x, ptr=batch.ptr, slots_init=batch.start)
    padded = partial(dense, batch.padded, batch.mask, batch.start)
    torch.testing.assert_close(call(), padded(), rtol=1e-3, atol=1e-4)
    again = partial(implicit, batch.x, ptr=batch.ptr, slots_init=batch.start)
    runs = {
        OURS: _timed(layer, call, batch.x, backward),
        IMPLICIT: _timed(implicit, again, batch.x, backward),
        DENSE: _timed(dense, padded, batch.padded, backward),
    }
    if Package is not None:
        package = Package(slots, width, ITERATIONS, hidden_dim=HIDDEN)
        dense_call = partial(package, batch.padded)
        runs[PADDED] = _timed(package, dense_call, batch.padded, backward)
        each = [x.clone()[None].requires_grad_() for x in batch.each]
        loop = lambda: torch.cat([package(x) for x in each])  # noqa: E731
        runs[LOOP] = _timed(package, loop, each, backward)
    runs[FLOOR] = _products(batch, backward)
    return runs


def _layer(
    slots: int = SLOTS, width: int = CHANNELS, **changes: object
) -> SlotAttention:
    torch.manual_seed(0)
    return SlotAttention(width, width, slots, ITERATIONS, HIDDEN, **changes)


def _timed(
    module: Module, call: Callable[[], Tensor], x: Tensor | list[Tensor], backward: bool
) -> Run:
    inputs = [x] if isinstance(x, Tensor) else x
    inputs = [*inputs, *(p for p in module.parameters() if p.requires_grad)]

    def both() -> object:
        out = call()
        return torch.autograd.grad(out, inputs, torch.ones_like(out), allow_unused=True)

    return both if backward else torch.no_grad()(call)


def _products(batch: Batch, backward: bool) -> Run:
    """The norm of the elements and all products, by their shapes."""
    count, width = batch.start.shape[1:]
    rows = len(batch.sizes) * count
    x = batch.x.detach()
    state, wide = torch.randn(rows, width), torch.randn(rows, HIDDEN)
    gates = torch.randn(rows, 3 * width)
    maps = [(state, width, state), (state, 3 * width, gates), (state, 3 * width, gates)]
    maps += [(state, HIDDEN, wide), (wide, width, state)]
    products = []
    for a, outer, grad in maps:
        w = torch.randn(a.size(1), outer)
        products += [(a, w), *([(grad, w.t()), (a.t(), grad)] if backward else [])]
    sizes, counts = batch.sizes.unique(return_counts=True)
    for size, sets in zip(sizes.tolist(), counts.tolist(), strict=True):
        e, q = torch.randn(sets, size, width), torch.randn(sets, count, width)
        share, both = torch.randn(sets, count, size), torch.randn(sets, 2 * count, size)
        asked = torch.randn(sets, 2 * count, width)
        products += [(q, e.mT), (share, e)]
        if backward:
            products += [(q, e.mT), (q, e.mT), (share, e), (both.mT, asked)]

    def run() -> None:
        torch.nn.functional.layer_norm(x, x.shape[-1:])
        for _ in range(ITERATIONS):
            for a, b in products:
                torch.matmul(a, b)

    return run


def _cells(times: Times, targets: tuple[float | None, float | None]) -> list[str]:
    cells = [f"{1e3 * times.seconds(OURS):.0f} ms"]
    for name in (IMPLICIT, DENSE, PADDED, LOOP, FLOOR):
        known = name in times.rounds
        cells.append(f"{times.ratio(name, OURS):.2f}x" if known else "")
    wanted = [
        (target, times.ratio(name, OURS))
        for name, target in zip((DENSE, LOOP), targets, strict=True)
        if target is not None and name in times.rounds
    ]
    met = ["yes" if ratio >= target else "no" for target, ratio in wanted]
    return [*cells, ", ".join(f"{t:g}x" for t, _ in wanted), ", ".join(met)]


def _memory() -> Table:
    rows = []
    for name, (sizes, *_) in BATCHES.items():
        batch = Batch(sizes)
        runs = _candidates(batch, True)
        peaks = {each: peak_bytes(runs[each]) for each in (OURS, IMPLICIT, DENSE)}
        saved = _saved(batch)
        cells = [f"{peaks[OURS] / MIB:.0f} MiB", f"{peaks[DENSE] / MIB:.0f} MiB"]
        cells.append(f"1/{peaks[DENSE] / peaks[OURS]:.1f}")
        cells += [f"{size / MIB:.1f} MiB" for size in saved.values()]
        cells.append(f"1/{saved[DENSE] / saved[OURS]:.1f}")
        ours = name == "log-normal"
        met = peaks[DENSE] >= 4 * peaks[OURS] and saved[DENSE] >= 5 * saved[OURS]
        cells += ["1/4, 1/5", "yes" if met else "no"] if ours else ["", ""]
        rows.append([name, *cells])
    header = ["sets", f"peak, {OURS}", f"peak, {DENSE}", "share", f"saved, {OURS}"]
    header += [f"saved, {IMPLICIT}", f"saved, {DENSE}", "share", "target", "reached"]
    note = (
        "Bytes allocated at once during both passes, beyond those before them; and "
        "bytes kept for the backward pass, parameters not counted. The implicit "
        "gradient keeps the same for any number of iterations."
    )
    return Table("Memory", header, rows, note)


def _saved(batch: Batch) -> dict[str, int]:
    layer, implicit = _layer(), _layer(grad="implicit")
    dense = DenseSlots(CHANNELS, CHANNELS, ITERATIONS, HIDDEN)
    given = {"ptr": batch.ptr, "slots_init": batch.start}
    calls = {
        OURS: (layer, partial(layer, batch.x, **given)),
        IMPLICIT: (implicit, partial(implicit, batch.x, **given)),
        DENSE: (dense, partial(dense, batch.padded, batch.mask, batch.start)),
    }
    return {
        name: saved_bytes(call, tuple(module.parameters()))
        for name, (module, call) in calls.items()
    }


def _shapes(rounds: int) -> Table:
    rows = []
    for sizes, slots, width, target in SHAPES:
        runs = _candidates(Batch(sizes, slots, width), True)
        kept = (OURS, DENSE, PADDED)
        times = interleave({n: r for n, r in runs.items() if n in kept}, rounds, 1)
        ratio = times.ratio(DENSE, OURS)
        rows.append(
            [
                f"{len(sizes)} of {int(sizes[0])}",
                str(slots),
                str(width),
                f"{1e3 * times.seconds(OURS):.0f} ms",
                f"{ratio:.2f}x",
                f"{times.ratio(PADDED, OURS):.2f}x" if PADDED in times.rounds else "",
                "" if target is None else f"{target:g}x",
                "" if target is None else "yes" if ratio >= target else "no",
            ]
        )
    header = ["sets", "slots", "width", OURS, DENSE, PADDED, "target", "reached"]
    return Table("Slots and widths", header, rows, "Both passes, as above.")


def _variants(rounds: int) -> Table:
    batch, runs = Batch(log_normal()), {}
    variants: dict[str, dict[str, object]] = {
        OURS: {},
        "implicit gradient": {"grad": "implicit"},
        "bilevel": {"init": "learned", "grad": "bilevel"},
        "4 heads": {"heads": 4},
        "4 heads, joint": {"heads": 4, "head_mode": "joint"},
        "Sinkhorn": {"attn": "sinkhorn"},
        "MESH": {"attn": "mesh"},
    }
    saved = {}
    for name, changes in variants.items():
        layer = _layer(**changes)
        call = partial(layer, batch.x, ptr=batch.ptr, slots_init=batch.start)
        runs[name] = _timed(layer, call, batch.x, True)
        saved[name] = saved_bytes(call, tuple(layer.parameters()))
    counts = torch.arange(len(batch.sizes)) % 5 + 3
    layer = _layer()
    ragged = lambda: layer(batch.x, ptr=batch.ptr, num_slots=counts)[0]  # noqa: E731
    runs["3 to 7 slots"] = _timed(layer, ragged, batch.x, True)
    saved["3 to 7 slots"] = saved_bytes(ragged, tuple(layer.parameters()))
    times = interleave(runs, rounds, warmup=1)
    rows = [
        [
            name,
            f"{1e3 * times.seconds(name):.0f} ms",
            f"{times.ratio(name, OURS):.2f}x",
            f"{saved[name] / MIB:.1f} MiB",
        ]
        for name in runs
    ]
    note = (
        "Both passes on the log-normal batch. Transport keeps its sweeps, in N K each."
    )
    return Table("Variants", ["", "time", f"times {OURS}", "saved"], rows, note)


def _readouts(rounds: int) -> Table:
    batch = Batch(log_normal())
    memory = MemPooling(CHANNELS, CHANNELS, heads=4, num_clusters=SLOTS)
    modules: dict[str, tuple[Module, Callable[[], Tensor]]] = {}
    slots = SlotAggregation(CHANNELS, num_slots=SLOTS)
    modules["SlotAggregation"] = slots, partial(slots, batch.x, batch.index)
    attention = SetTransformerAggregation(CHANNELS, heads=4)
    modules["SetTransformer"] = attention, partial(attention, batch.x, batch.index)
    modules["MemPooling"] = memory, lambda: memory(batch.x, batch.index)[0]
    runs = {
        name: _timed(module, call, batch.x, True)
        for name, (module, call) in modules.items()
    }
    times = interleave(runs, rounds, warmup=1)
    rows = [
        [
            name,
            f"{1e3 * times.seconds(name):.0f} ms",
            f"{times.ratio(name, 'SlotAggregation'):.1f}x",
        ]
        for name in runs
    ]
    note = (
        "Both passes on the log-normal batch, beside PyG's, which compute other things."
    )
    return Table("Readouts", ["", "time", "times SlotAggregation"], rows, note)
