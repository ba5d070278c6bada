"""Where the graphs of a comparison come from: QM9, PyG's data sets, a saved list."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
import torch_geometric.datasets
from torch_geometric import get_home_dir
from torch_geometric.data import Data, Dataset

from ..datasets import QM9
from ..datasets.qm9_raw.targets import ENERGIES, find_target
from .named_call import parse_named_call

#: What can be counted and indexed.
Graphs = Sequence[Data]


@dataclass(frozen=True)
class Source:
    """Graphs in three parts, and which of their targets is wanted.

    Attributes:
        name: What the report calls the data.
        parts: Training, validation and test graphs.
        split: How they were parted.
        target: What the report calls the target.
        column: Its place in ``y``.
        unit: Its unit; empty where none is known.
    """

    name: str
    parts: tuple[Graphs, Graphs, Graphs]
    split: str
    target: str
    column: int
    unit: str = ""


def open_source(data: str, target: str | None = None) -> Source:
    """Opens what ``--data`` names.

    Args:
        data: ``qm9``, the name of a PyG data set, either with arguments
            (``qm9:variant=full``, ``TUDataset:name=MUTAG``), or the path of a list of
            graphs saved by :func:`torch.save`, which must come from a trusted source,
            as loading it can run code.
        target: A target's name (QM9) or its column in ``y`` (default: ``homo``, 0).

    Raises:
        ValueError: If there is no such data set or target, or the list is damaged.
    """
    if Path(data).is_file():
        try:
            graphs = torch.load(data, weights_only=False)
        except (UnpicklingError, EOFError, RuntimeError) as error:
            raise ValueError(f"'data' {data!r} is damaged: {error}") from error
        return _randomly_split(Path(data).name, graphs, target)
    name, arguments = parse_named_call(data)
    try:
        if name.lower() == "qm9":
            return _open_qm9(target or "homo", arguments)
        graphs = _open_pyg(name, arguments)
    except TypeError as error:
        raise ValueError(f"'data' {data!r} cannot be opened: {error}") from error
    return _randomly_split(data, graphs, target)


def _open_qm9(target: str, arguments: dict[str, Any]) -> Source:
    found = find_target(int(target) if target.isdecimal() else target)
    energy = found.name in ENERGIES
    arguments = {"subtract_atomrefs": energy} | arguments
    dataset = QM9(**arguments)
    less = " less atoms" if arguments["subtract_atomrefs"] and energy else ""
    return Source(
        name=f"QM9 ({dataset.variant})",
        parts=dataset.split(),
        split="published",
        target=found.name + less,
        column=found.column,
        unit=found.unit,
    )


def _open_pyg(name: str, arguments: dict[str, Any]) -> Dataset:
    dataset = getattr(torch_geometric.datasets, name, None)
    if not (isinstance(dataset, type) and issubclass(dataset, Dataset)):
        raise ValueError(
            f"'data' must be 'qm9', the name of a class in torch_geometric.datasets or "
            f"the path of a saved list of graphs, got {name!r}"
        )
    if "root" in inspect.signature(dataset).parameters:
        arguments = {"root": str(Path(get_home_dir()) / name)} | arguments
    return dataset(**arguments)


def _randomly_split(name: str, graphs: Any, target: str | None) -> Source:
    if len(graphs) < 10 or not isinstance(graphs[0], Data):
        raise ValueError(
            f"'data' must hold at least ten graphs to be split, got {len(graphs)} "
            f"elements in {name}"
        )
    if target is not None and not target.isdecimal():
        raise ValueError(
            f"'target' must be a column of 'y' (0, 1, ...) in {name}, got {target!r}"
        )
    order = torch.randperm(len(graphs), generator=torch.Generator().manual_seed(0))
    shuffled = [graphs[i] for i in order.tolist()]
    tenth = len(graphs) // 10
    return Source(
        name=name,
        parts=(shuffled[2 * tenth :], shuffled[:tenth], shuffled[tenth : 2 * tenth]),
        split="random 80/10/10 by seed 0",
        target=f"y[{target or 0}]",
        column=int(target or 0),
    )
