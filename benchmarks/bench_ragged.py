"""Which kernel should compute each primitive: candidates against what we use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import Tensor
from torch_geometric.utils import scatter, segment, softmax

from pyg_setops import ragged
from pyg_setops.ragged import SetIndex
from pyg_setops.ragged.backends import available_backends

from .batches import BATCHES
from .tables import Table
from .timing import Run, interleave

Candidate = Callable[..., Tensor]
OURS = "ours"
CHANNELS = 64


def sums(sets: SetIndex) -> dict[str, Candidate]:
    index, ptr, num = sets.index, sets.ptr, sets.num_sets
    ones = torch.ones(sets.num_elements)
    matrix = torch.sparse_csr_tensor(
        ptr,
        torch.arange(sets.num_elements),
        ones,
        (num, sets.num_elements),
        check_invariants=False,
    )

    def scatter_add(x: Tensor) -> Tensor:
        return x.new_zeros(num, x.size(1)).scatter_add(
            0, index[:, None].expand_as(x), x
        )

    candidates: dict[str, Candidate] = {
        OURS: lambda x: ragged.segment_sum(x, sets),
        "scatter_add": scatter_add,
        "segment_reduce": lambda x: torch.segment_reduce(x, "sum", offsets=ptr),
        "sparse CSR": lambda x: matrix @ x,
        "PyG scatter": lambda x: scatter(x, index, 0, num, "sum"),
        "PyG segment": lambda x: segment(x, ptr, "sum"),
    }
    if "torch_scatter" in available_backends():
        from torch_scatter import segment_csr

        candidates["segment_csr"] = lambda x: segment_csr(x, ptr, reduce="sum")
    return candidates


def maxima(sets: SetIndex) -> dict[str, Candidate]:
    index, ptr, num = sets.index, sets.ptr, sets.num_sets

    def amax(x: Tensor) -> Tensor:
        zeros = x.new_zeros(num, x.size(1))
        columns = index[:, None].expand_as(x)
        return zeros.scatter_reduce(0, columns, x, "amax", include_self=False)

    return {
        OURS: lambda x: ragged.segment_max(x, sets),
        "scatter_reduce": amax,
        "segment_reduce": lambda x: torch.segment_reduce(x, "max", offsets=ptr),
        "index_reduce": lambda x: x.new_zeros(num, x.size(1)).index_reduce(
            0, index, x, "amax", include_self=False
        ),
        "PyG scatter": lambda x: scatter(x, index, 0, num, "max"),
    }


def softmaxes(sets: SetIndex) -> dict[str, Candidate]:
    return {
        OURS: lambda x: ragged.segment_softmax(x, sets),
        "PyG softmax by index": lambda x: softmax(x, sets.index, None, sets.num_sets),
        "PyG softmax by ptr": lambda x: softmax(x, None, sets.ptr, sets.num_sets),
    }


def scans(sets: SetIndex) -> dict[str, Candidate]:
    sizes, longest = sets.sizes.tolist(), sets.max_size
    slot = sets.index * longest + sets.position

    def doubling(x: Tensor) -> Tensor:
        step = 1
        while step < longest:
            inside = sets.position[step:, None] >= step
            before = torch.where(inside, x[:-step], 0)
            x = torch.cat([x[:step], x[step:] + before])
            step *= 2
        return x

    def padded(x: Tensor) -> Tensor:
        pad = x.new_zeros(sets.num_sets * longest, x.size(1)).index_copy(0, slot, x)
        total = pad.view(sets.num_sets, longest, -1).cumsum(1)
        return total.view(-1, x.size(1)).index_select(0, slot)

    return {
        OURS: lambda x: ragged.segment_cumsum(x, sets),
        "doubling": doubling,
        "cumsum of each set": lambda x: torch.cat(
            [p.cumsum(0) for p in x.split(sizes)]
        ),
        "padded": padded,
    }


def outers(sets: SetIndex) -> dict[str, Candidate]:
    bounds = list(pairwise(sets.ptr.tolist()))

    def whole(a: Tensor, v: Tensor) -> Tensor:
        return ragged.segment_sum((a[:, :, None] * v[:, None]).flatten(1), sets)

    def columns(a: Tensor, v: Tensor) -> Tensor:
        return torch.stack([ragged.segment_sum(c * v, sets) for c in a.split(1, 1)], 1)

    return {
        OURS: lambda a, v: ragged.segment_outer(a, v, sets),
        "mm of each set": lambda a, v: torch.stack(
            [a[start:end].t() @ v[start:end] for start, end in bounds]
        ),
        "all outer products": whole,
        "a sum for each column": columns,
    }


def run(quick: bool = False) -> Iterator[Table]:
    """Times all candidates forward, and forward with backward."""
    rounds = 3 if quick else 9
    for name, candidates in (
        ("Sum", sums),
        ("Maximum", maxima),
        ("Softmax", softmaxes),
        ("Cumulative sum", scans),
    ):
        yield _table(name, candidates, [CHANNELS], rounds)
    for k in (4, 16):
        title = f"Outer products, {k} x {CHANNELS}"
        yield _table(title, outers, [k, CHANNELS], rounds)


def _table(
    title: str,
    candidates: Callable[[SetIndex], dict[str, Candidate]],
    widths: list[int],
    rounds: int,
) -> Table:
    rows = []
    for batch, draw in BATCHES.items():
        sizes = draw()
        ptr = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
        sets = SetIndex.build(ptr=ptr)
        for backward in (False, True):
            rows.append(_row(batch, candidates(sets), sets, widths, backward, rounds))
    header = ["batch", "pass", "ours", *list(candidates(sets))[1:], "ours / best"]
    note = (
        "Milliseconds of what we use; the others as multiples of it. `ours / best` is "
        "the ratio to the fastest, 1 where that is ours."
    )
    return Table(title, header, rows, note)


def _row(
    batch: str,
    candidates: dict[str, Candidate],
    sets: SetIndex,
    widths: list[int],
    backward: bool,
    rounds: int,
) -> list[str]:
    torch.manual_seed(0)
    inputs = [
        torch.randn(sets.num_elements, width, requires_grad=backward)
        for width in widths
    ]
    runs = {name: _run(run, inputs, backward) for name, run in candidates.items()}
    expected = candidates[OURS](*inputs).detach()
    for name, candidate in candidates.items():
        out = candidate(*inputs).detach().view_as(expected)
        torch.testing.assert_close(out, expected, rtol=1e-3, atol=1e-3, msg=name)
    times = interleave(runs, rounds)
    ratios = [f"{times.ratio(name, OURS):.2f}" for name in list(runs)[1:]]
    return [
        batch,
        "forward and backward" if backward else "forward",
        f"{1e3 * times.seconds(OURS):.2f} ms",
        *ratios,
        f"{times.ratio(OURS, times.best()):.2f}",
    ]


def _run(candidate: Candidate, inputs: list[Tensor], backward: bool) -> Run:
    def forward() -> Tensor:
        return candidate(*inputs)

    def both() -> tuple[Tensor, ...]:
        out = candidate(*inputs)
        return torch.autograd.grad(out, inputs, torch.ones_like(out))

    return both if backward else forward
