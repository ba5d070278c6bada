"""What ``torch.compile`` and ``torch.export`` ask: one graph for all sizes."""

from __future__ import annotations

from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch._dynamo.testing import CompileCounterWithBackend
from torch_geometric.nn.aggr import Aggregation

from .sets import RaggedSets, assert_same, differentiate, evaluate, layout


def assert_compiles(
    module: torch.nn.Module, sets: RaggedSets, backend: str = "aot_eager"
) -> None:
    """Asserts that the module is one graph, for any size, forward and backward.

    With ``dim_size`` given, it compiles with ``fullgraph=True`` and ``dynamic=True``,
    by index and by ptr; batches of other sizes compile nothing anew; and
    ``torch.export`` takes it with any number of elements. All compiled code of the
    process is forgotten, before and after.

    Args:
        module: An aggregation, or a set-to-set layer ``layer(x, index, ptr)``.
        sets: The batch to test with; at least two sets and two elements, as torch
            compiles for sizes 0 and 1 apart.
        backend: What compiles the graph (default: ``'aot_eager'``, which takes
            seconds and no compiler; ``'inductor'`` is the real one).

    Raises:
        AssertionError: If results differ, or a size compiles anew. What stops the
            compiler comes through as it is.

    Example:
        >>> from pyg_setops.testing import random_sets
        >>> from torch_geometric.nn.aggr import SumAggregation
        >>> assert_compiles(SumAggregation(), random_sets(channels=4))
    """
    torch.compiler.reset()
    try:
        for way in ("index", "ptr"):
            _assert_one_graph(module, sets, backend, way)
        _assert_exports(module, sets)
    finally:
        torch.compiler.reset()


def _assert_one_graph(
    module: torch.nn.Module, sets: RaggedSets, backend: str, way: str
) -> None:
    counter = CompileCounterWithBackend(backend)
    run = partial(evaluate, deepcopy(module))
    compiled = torch.compile(run, backend=counter, fullgraph=True, dynamic=True)
    graphs = []
    for times in (1, 2, 3):
        batch = layout(sets.x.repeat(times, 1), sets.sizes * times)
        index = batch.index if way == "index" else None
        ptr = batch.ptr if way == "ptr" else None
        arguments = (batch.x, index, ptr, batch.num_sets)
        actual = differentiate(compiled, *arguments)
        expected = differentiate(run, *arguments)
        assert_same(actual[0], expected[0], f"Compiling changes the output by {way}")
        assert_same(actual[1], expected[1], f"Compiling changes the gradient by {way}")
        graphs.append(counter.frame_count)
    # The first batch may compile more than once: dynamo starts over at times.
    if graphs[-1] > graphs[0]:
        raise AssertionError(
            f"Given by {way}, two batches of other sizes compile "
            f"{graphs[-1] - graphs[0]} more graphs"
        )


def _assert_exports(module: torch.nn.Module, sets: RaggedSets) -> None:
    given = _layout_of_fixed_size(module, sets)
    length = torch.export.Dim("num_elements", min=2)
    program = torch.export.export(
        deepcopy(module),
        (sets.x,),
        given,
        dynamic_shapes={
            "x": {0: length},
            **{name: {0: length} if name == "index" else None for name in given},
        },
    )
    larger = layout(torch.cat([sets.x, sets.x]), [2 * size for size in sets.sizes])
    given = _layout_of_fixed_size(module, larger)
    actual = program.module()(larger.x, **given)
    expected = module(larger.x, **given)
    assert_same(actual, expected, "The exported program gives another output")


def _layout_of_fixed_size(module: torch.nn.Module, sets: RaggedSets) -> dict[str, Any]:
    """A layout whose shapes tell the number of sets, as an index alone cannot."""
    if isinstance(module, Aggregation):
        return {"index": sets.index, "dim_size": sets.num_sets}
    return {"ptr": sets.ptr}
