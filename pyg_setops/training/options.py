"""What a user can ask of a comparison."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ..models.molecule_regressor import Where

#: Options that change what is compared or where it is kept, but no single run.
_FREE = ("aggr", "seeds", "output", "resume")


@dataclass(frozen=True)
class CompareOptions:
    """Train one network with each of several set functions, and compare.

    Every set function gets the same network, data, batches, optimiser and number of
    steps. The result is a leaderboard with errors and costs, and a picture of it, in
    the output folder. A killed comparison goes on where it stopped.
    """

    data: str = "qm9"
    """'qm9' (10,000 molecules in the package), 'qm9:variant=full', a class of
    torch_geometric.datasets such as 'TUDataset:name=MUTAG', or the path of a list of
    graphs saved by torch.save. Integer or 0/1 targets are learned as classes."""

    target: str | None = None
    """A target of QM9 by name (default: homo), else a column of y (default: 0)."""

    aggr: tuple[str, ...] = ("mean", "sum", "set_transformer", "swarm")
    """Set functions: any of PyG's names (mean, sum, max, softmax, set2set, gru,
    set_transformer, equilibrium, ...) or ours (swarm, ...), with arguments as in
    'swarm:num_iterations=4'."""

    where: Where = "readout"
    """The place of the set function; a mean reads out where it does not, a sum
    aggregates the neighbourhoods."""

    epochs: int = 15
    """Passes over the training graphs."""

    batch_size: int = 64
    """Graphs in a step, on each device."""

    lr: float = 2e-3
    """The peak of the learning rate (AdamW, one cycle)."""

    seeds: tuple[int, ...] = (0,)
    """One run each; the table has their mean and standard deviation."""

    hidden: int = 64
    """The width of the network."""

    layers: int = 3
    """The number of convolutions."""

    cutoff: float = 5.0
    """The reach of edges, where graphs have positions, in their unit (Å)."""

    max_graphs: int | None = None
    """Use at most so many graphs, in proportion from every part."""

    output: Path = Path("runs/compare")
    """Where results, checkpoints, table and picture are kept."""

    resume: bool = True
    """Go on with what the output folder holds; otherwise its runs are deleted."""

    accelerator: str = "auto"
    """Lightning's accelerator: auto, cpu, gpu, ..."""

    devices: int = 1
    """Devices on each machine."""

    num_nodes: int = 1
    """Machines."""

    def __post_init__(self) -> None:
        positive = {"epochs": self.epochs, "batch_size": self.batch_size, "lr": self.lr}
        positive |= {"hidden": self.hidden, "layers": self.layers}
        positive |= {"cutoff": self.cutoff}
        if self.max_graphs is not None:
            positive["max_graphs"] = self.max_graphs
        for name, value in positive.items():
            if not value > 0:
                raise ValueError(f"'{name}' must be positive, got {value}")
        for name, values in (("aggr", self.aggr), ("seeds", self.seeds)):
            if not values or len(set(values)) < len(values):
                raise ValueError(
                    f"'{name}' must have one or more different values, got {values}"
                )
        if min(self.seeds) < 0 or max(self.seeds) >= 2**32:
            raise ValueError(f"'seeds' must lie in [0, 2**32), got {self.seeds}")

    def fixed(self) -> dict[str, Any]:
        """What all runs of an output folder have in common."""
        return {
            name: value for name, value in asdict(self).items() if name not in _FREE
        }

    def command(self) -> str:
        """The command line that asks for this."""
        words = ["python", "-m", "pyg_setops", "compare"]
        for field in fields(self):
            value = getattr(self, field.name)
            flag = field.name.replace("_", "-")
            if value == field.default:
                continue
            if isinstance(value, bool):
                words.append(f"--{flag}" if value else f"--no-{flag}")
            else:
                values = value if isinstance(value, tuple) else (value,)
                words += [f"--{flag}", *map(str, values)]
        return shlex.join(words)
