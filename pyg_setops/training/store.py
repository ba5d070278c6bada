"""The folder of a comparison: one configuration, and a folder for each run."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..datasets.cache import atomic_path


@dataclass(frozen=True)
class RunResult:
    """What a run came to.

    Attributes:
        aggr: The set function, as the user wrote it.
        seed: The seed.
        diverged: Why there are no metrics, or ``None``.
        test_metric: The metric of the best epoch's weights on the test graphs.
        val_metric: The same on the validation graphs.
        best_epoch: The epoch with the best validation metric.
        num_parameters: Of the whole network.
        saved_bytes: What one training step keeps for its backward pass.
        seconds_per_epoch: The median over the epochs, training only.
        num_steps: The training steps done.
        history: The record of each epoch.
    """

    aggr: str
    seed: int
    diverged: str | None
    test_metric: float | None
    val_metric: float | None
    best_epoch: int | None
    num_parameters: int
    saved_bytes: int
    seconds_per_epoch: float | None
    num_steps: int
    history: list[dict[str, Any]]


class ConfigurationError(ValueError):
    """An output folder holds runs of another configuration."""


class Store:
    """The files of a comparison.

    Args:
        root: The output folder.
        configuration: What its runs have in common.
        resume: Whether to keep the runs that are there; otherwise they are deleted.

    Raises:
        ConfigurationError: If they were made under another configuration.
    """

    def __init__(self, root: Path, configuration: dict[str, Any], resume: bool):
        self.root = root
        self._runs = root / "runs"
        file = root / "configuration.json"
        if not resume:
            shutil.rmtree(self._runs, ignore_errors=True)
            file.unlink(missing_ok=True)
        self._runs.mkdir(parents=True, exist_ok=True)
        if file.exists():
            _require_equal(json.loads(file.read_text()), configuration, root)
        write_text(file, json.dumps(configuration, indent=2) + "\n")

    def folder(self, aggr: str, seed: int) -> Path:
        """The folder of a run, made if need be."""
        path = self._runs / quote(aggr, safe="=,") / f"seed{seed}"
        path.mkdir(parents=True, exist_ok=True)
        return path

    def load(self, aggr: str, seed: int) -> RunResult | None:
        """The result of a run, if it has finished."""
        file = self.folder(aggr, seed) / "result.json"
        return RunResult(**json.loads(file.read_text())) if file.exists() else None

    def save(self, result: RunResult) -> None:
        """Keeps the result of a run."""
        file = self.folder(result.aggr, result.seed) / "result.json"
        write_text(file, json.dumps(asdict(result), indent=2, allow_nan=False) + "\n")


def write_text(file: Path, text: str) -> None:
    """Writes a file, whole or not at all."""
    with atomic_path(file) as path:
        path.write_text(text, encoding="utf-8")


def _require_equal(old: dict[str, Any], new: dict[str, Any], root: Path) -> None:
    changes = [
        f"{key}: {old.get(key)!r} there, {new.get(key)!r} now"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]
    if changes:
        raise ConfigurationError(
            f"{root} holds runs of another configuration ({'; '.join(changes)}). "
            f"Choose another --output, or delete them with --no-resume."
        )
