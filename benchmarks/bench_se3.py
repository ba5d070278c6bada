"""SE3TransformerConv against dense padding, and its product against e3nn's."""

from __future__ import annotations

from functools import partial

import torch
from e3nn import o3
from torch import Tensor
from torch_geometric.utils import to_dense_batch

from pyg_setops.conv import SE3TransformerConv
from pyg_setops.ragged import SetIndex, pair_index
from pyg_setops.se3 import HarmonicProduct

from .batches import molecules
from .peers.dense_se3 import DenseSE3
from .tables import Table
from .timing import Run, interleave, saved_bytes

CUTOFF, HEADS = 5.0, 4
DENSE, WHOLE, PARTS = "dense padded", "kept", "recomputed"
MAX_EDGES = 2048  # of a part
IRREPS = {
    "scalars and vectors": "32x0e + 16x1o",
    "up to degree 2": "32x0e + 16x1o + 8x2e",
}


class Cloud:
    """Points of sets of given sizes, and their neighbours within the cutoff.

    Points are as far apart as atoms: 14 others within 5 Å in a molecule, 40 in a ball
    of 100.
    """

    def __init__(self, sizes: Tensor, irreps: str):
        torch.manual_seed(0)
        self.index = torch.arange(len(sizes)).repeat_interleave(sizes)
        # A ball's volume grows with its points.
        radius = (sizes.double() / 18).pow(1 / 3).float()[self.index, None]
        self.pos = (1.5 * radius * torch.randn(len(self.index), 3)).requires_grad_()
        self.x = torch.randn(len(self.index), o3.Irreps(irreps).dim, requires_grad=True)
        source, target = pair_index(SetIndex.build(self.index), loops=False)
        near = (self.pos[source] - self.pos[target]).norm(dim=1) < CUTOFF
        self.edge_index = torch.stack([source[near], target[near]])

    def padded(self) -> tuple[Tensor, Tensor, Tensor]:
        x, mask = to_dense_batch(self.x.detach(), self.index)
        pos, _ = to_dense_batch(self.pos.detach(), self.index)
        return x.requires_grad_(), pos.requires_grad_(), mask.unsqueeze(-1)


def _with_a_cluster() -> Tensor:
    return torch.cat([molecules()[:16], torch.tensor([60])])


CASES = {
    "32 molecules": (lambda: molecules()[:32], "scalars and vectors"),
    "32 molecules again": (lambda: molecules()[:32], "up to degree 2"),
    "16 molecules and a cluster of 60": (_with_a_cluster, "scalars and vectors"),
    "4 sets of 100": (lambda: torch.full((4,), 100), "scalars and vectors"),
}


def run(quick: bool = False) -> list[Table]:
    """Times the layer and its product, counts bytes, and lets the graph grow."""
    rounds = 1 if quick else 5
    return [_layers(rounds), _scaling(rounds, quick), _products(rounds)]


def _layer(irreps: str, max_edges: int = 2**30) -> SE3TransformerConv:
    torch.manual_seed(0)
    return SE3TransformerConv(irreps, irreps, CUTOFF, heads=HEADS, max_edges=max_edges)


def _both_ways(layer: torch.nn.Module, x: Tensor, pos: Tensor, *rest: Tensor) -> Run:
    """Forward, and backward to features, positions and parameters."""
    weights = [weight for weight in layer.parameters() if weight.numel() > 0]

    def run() -> tuple[Tensor, ...]:
        out = layer(x, pos, *rest)
        return torch.autograd.grad(out, [x, pos, *weights], torch.ones_like(out))

    return run


def _layers(rounds: int) -> Table:
    rows = []
    for title, (sizes, name) in CASES.items():
        cloud = Cloud(sizes(), IRREPS[name])
        whole, parts = _layer(IRREPS[name]), _layer(IRREPS[name], MAX_EDGES)
        dense, padded = DenseSE3(whole), cloud.padded()
        mask, given = padded[2], (cloud.x, cloud.pos, cloud.edge_index)
        torch.testing.assert_close(
            dense(*padded)[mask.squeeze(-1)], whole(*given), rtol=0, atol=1e-4
        )
        calls = {DENSE: (dense, padded), WHOLE: (whole, given), PARTS: (parts, given)}
        times = interleave(
            {
                each: _both_ways(layer, *inputs)
                for each, (layer, inputs) in calls.items()
            },
            rounds,
            warmup=1,
        )
        kept = [
            saved_bytes(partial(layer, *inputs), tuple(layer.parameters()))
            for layer, inputs in calls.values()
        ]
        rows.append(
            [
                f"{title}: {IRREPS[name]}",
                f"{mask.size(0) * mask.size(1) ** 2:,}",
                f"{cloud.edge_index.size(1):,}",
                f"{1e3 * times.seconds(DENSE):.0f} ms",
                *[f"{times.ratio(DENSE, each):.1f}x" for each in (WHOLE, PARTS)],
                *[f"{size / 2**20:.1f} MiB" for size in kept],
            ]
        )
    note = (
        f"The dense layer has the same weights and outputs, on all padded pairs. "
        f"Forward and backward, to features, positions and parameters; {HEADS} heads, "
        f"harmonics up to degree 2, neighbours within {CUTOFF:g}. Milliseconds of the "
        f"dense layer, and how many times faster ours is with all edges at once "
        f"(`{WHOLE}`) and {MAX_EDGES:,} at a time (`{PARTS}`): medians over {rounds} "
        f"interleaved rounds. Then the bytes kept for backward, but for the ends of "
        f"edges."
    )
    header = ["sets, irreps", "padded pairs", "edges", DENSE, WHOLE, PARTS]
    return Table(
        "Layer", [*header, *[f"bytes, {n}" for n in (DENSE, WHOLE, PARTS)]], rows, note
    )


def _scaling(rounds: int, quick: bool) -> Table:
    irreps, degree = IRREPS["scalars and vectors"], 16
    sizes = (1_000, 2_000) if quick else (1_000, 4_000, 16_000)
    layer, rows = _layer(irreps, MAX_EDGES), []
    weights = tuple(layer.parameters())
    for count in sizes:
        torch.manual_seed(0)
        number = torch.arange(count)
        # A line of points 1 apart, where each hears the 8 next on either side.
        shifts = [s for s in range(-degree // 2, degree // 2 + 1) if s != 0]
        source = torch.cat([(number + s) % count for s in shifts])
        pos = number[:, None] * torch.tensor([0.5, 0.0, 0.0]) + torch.randn(count, 3)
        given = (
            torch.randn(count, o3.Irreps(irreps).dim, requires_grad=True),
            pos.requires_grad_(),
            torch.stack([source, number.repeat(degree)]),
        )
        times = interleave({"": _both_ways(layer, *given)}, max(1, rounds // 3), 0)
        edges = count * degree
        rows.append(
            [
                f"{count:,}",
                f"{edges:,}",
                f"{times.seconds(''):.2f} s",
                f"{1e6 * times.seconds('') / edges:.1f} µs",
                f"{saved_bytes(partial(layer, *given), weights) / edges:.0f}",
            ]
        )
    header = ["points", "edges", "time", "time per edge", "bytes kept per edge"]
    note = (
        f"{degree} neighbours a point, {irreps}, {MAX_EDGES:,} edges at a time, "
        f"forward and backward: linear where the last two columns stay."
    )
    return Table("Growing graphs", header, rows, note)


def _products(rounds: int) -> Table:
    rows, edges = [], 4096
    for name, irreps in IRREPS.items():
        torch.manual_seed(0)
        ours = HarmonicProduct(irreps, 2, irreps)
        sphere = o3.Irreps.spherical_harmonics(2)
        theirs = o3.TensorProduct(
            irreps,
            sphere,
            ours.irreps_out,
            [(p.source, p.degree, k, "uvu", True) for k, p in enumerate(ours.paths)],
            shared_weights=False,
        )
        x = torch.randn(edges, ours.irreps_in.dim, requires_grad=True)
        y = torch.randn(edges, sphere.dim, requires_grad=True)
        weight = torch.randn(edges, ours.num_channels, requires_grad=True)
        calls = {
            "e3nn": lambda x, y, w, each=theirs: each(x, y, w),
            "ours": lambda x, y, w, each=ours: each.scale(each(x, y), w),
        }
        outs = [call(x, y, weight) for call in calls.values()]
        torch.testing.assert_close(*outs, rtol=0, atol=1e-4)
        times = interleave(
            {
                label: partial(_product_both_ways, call, x, y, weight)
                for label, call in calls.items()
            },
            rounds,
        )
        kept = [saved_bytes(partial(c, x, y, weight)) for c in calls.values()]
        rows.append(
            [
                name,
                f"{1e3 * times.seconds('e3nn'):.0f} ms",
                f"{times.ratio('e3nn', 'ours'):.1f}x",
                *[f"{size / 2**20:.0f} MiB" for size in kept],
            ]
        )
    note = (
        f"One product of {edges:,} features with harmonics up to degree 2, by channel "
        f"(`uvu`), with a weight for each: `o3.TensorProduct` of e3nn and ours, same "
        f"output, forward and backward. In the layer the part before the weights "
        f"is shared by keys and values."
    )
    header = ["irreps", "e3nn", "ours", "bytes, e3nn", "bytes, ours"]
    return Table("Product", header, rows, note)


def _product_both_ways(call, x: Tensor, y: Tensor, weight: Tensor) -> object:
    out = call(x, y, weight)
    return torch.autograd.grad(out, [x, y, weight], torch.ones_like(out))
