"""A learning task: graphs made ready once, and what is to be predicted of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain

import torch
from rich.progress import track
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import sort_edge_index

from ..models.features import Features
from ..transforms import RadiusEdges
from .sources import Source


@dataclass(frozen=True)
class GraphTask:
    """Graphs with nothing but what the network reads, and one target ``y``, each.

    Attributes:
        source: Where they come from.
        train: Training graphs.
        val: Validation graphs.
        test: Test graphs.
        num_classes: The number of classes, or ``None`` for a regression.
        node_features: What :class:`~pyg_setops.models.MoleculeRegressor` asks for.
        edge_features: Likewise.
        num_unlabelled: How many graphs were left out for want of the target.
        fraction: Which part of the data is used.
    """

    source: Source
    train: list[Data]
    val: list[Data]
    test: list[Data]
    num_classes: int | None
    node_features: Features
    edge_features: Features | None
    num_unlabelled: int
    fraction: float

    @property
    def metric(self) -> str:
        """The name of the metric."""
        return "MAE" if self.num_classes is None else "accuracy"

    @property
    def unit(self) -> str:
        """The unit of the metric."""
        return self.source.unit if self.num_classes is None else "%"

    @property
    def scale(self) -> float:
        """What brings the metric into its unit."""
        return 1.0 if self.num_classes is None else 100.0

    def quantity(self, metric: float) -> str:
        """A value of the metric with its unit."""
        return f"{metric * self.scale:.4g} {self.unit}".rstrip()

    def statistics(self) -> tuple[float, float]:
        """Mean and standard deviation of the training targets."""
        y = _targets(self.train).double()
        return float(y.mean()), float(y.std()) or 1.0

    def baseline(self) -> float:
        """The test metric of the best constant prediction."""
        train, test = _targets(self.train), _targets(self.test)
        if self.num_classes is None:
            return float((test - train.median()).abs().mean())
        return float((test == train.mode().values).double().mean())

    def checksum(self) -> str:
        """A digest of all graphs and their parting."""
        digest = hashlib.sha256()
        for part in (self.train, self.val, self.test):
            digest.update(f"{len(part)} graphs".encode())
            for key, value in chain(*(sorted(g.to_dict().items()) for g in part)):
                digest.update(f"{key}{tuple(value.shape)}{value.dtype}".encode())
                digest.update(value.numpy().tobytes())
        return digest.hexdigest()


def prepare(source: Source, cutoff: float, max_graphs: int | None = None) -> GraphTask:
    """Makes the graphs ready: once, not at every step.

    Targets are classes if they are integers, or if all of them are 0 or 1.

    Args:
        source: The graphs.
        cutoff: The reach of the edges of graphs that have positions.
        max_graphs: How many graphs to use at most, in proportion from every part.

    Raises:
        ValueError: If the graphs have not the target, or none is left in a part, or a
            class is negative.
    """
    total = sum(len(part) for part in source.parts)
    limit = min(max_graphs or total, total)
    # Ends are rounded, not counts, which could then exceed the limit together.
    ends = [round(end * limit / total) for end in accumulate(map(len, source.parts))]
    starts = [0, *ends[:-1]]
    radius = RadiusEdges(cutoff)
    parts = []
    names = ("training", "validation", "test")
    for name, part, start, end in zip(names, source.parts, starts, ends, strict=True):
        rows = track(range(end - start), f"Preparing {name} graphs")
        parts.append([_ready(part[row], source) for row in rows])
        radius.connect([graph for graph in parts[-1] if graph.pos is not None])
    labelled = [[graph for graph in part if _has_target(graph)] for part in parts]
    if not all(labelled):
        raise ValueError(
            f"every part of {source.name} needs graphs with a target, got "
            f"{[len(part) for part in labelled]} for training, validation and test"
        )
    everything = list(chain(*labelled))
    classes = _num_classes(_targets(everything))
    for graph in everything:
        graph.y = graph.y.float() if classes is None else graph.y.long()
    return GraphTask(
        source,
        labelled[0],
        labelled[1],
        labelled[2],
        num_classes=classes,
        node_features=_describe(
            [graph.x if "z" not in graph else graph.z for graph in everything]
        ),
        edge_features=_describe([graph.edge_attr for graph in everything])
        if everything[0].edge_attr is not None
        else None,
        num_unlabelled=sum(map(len, parts)) - len(everything),
        fraction=limit / total,
    )


def _ready(graph: Data, source: Source) -> Data:
    """What the network reads of a graph, alone; edges sorted, if not to be found."""
    y = graph.y
    if y is None or y.numel() <= source.column:
        raise ValueError(
            f"every graph of {source.name} must have the target {source.target} in "
            f"'y', got {None if y is None else list(y.shape)}"
        )
    ready = Data(y=y.flatten()[source.column : source.column + 1])
    if graph.get("z") is not None:
        ready.z = graph.z
    elif graph.x is not None:
        ready.x = graph.x
    else:
        ready.z = torch.zeros(graph.num_nodes, dtype=torch.long)
    if graph.pos is not None:
        ready.pos = graph.pos
        return ready
    edges = sort_edge_index(graph.edge_index, graph.edge_attr, sort_by_row=False)
    ready.edge_index, ready.edge_attr = edges
    return ready


def _has_target(graph: Data) -> bool:
    return not bool(graph.y.isnan().any())


def _targets(graphs: Sequence[Data]) -> Tensor:
    return torch.cat([graph.y for graph in graphs])


def _num_classes(y: Tensor) -> int | None:
    if y.is_floating_point() and not bool(((y == 0) | (y == 1)).all()):
        return None
    if int(y.min()) < 0:
        raise ValueError(f"classes must be numbered from 0, got class {int(y.min())}")
    return int(y.max()) + 1


def _describe(features: list[Tensor]) -> Features:
    """The width of real features, or the number of values of each integer column."""
    columns: Iterator[Tensor] = (f[:, None] if f.dim() == 1 else f for f in features)
    together = torch.cat(list(columns))
    if together.is_floating_point():
        return together.size(1)
    return tuple((together.max(dim=0).values + 1).tolist())
