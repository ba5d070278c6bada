"""The numbers of a comparison: one row for each set function, the best first."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any

import pandas as pd

from .store import RunResult
from .task import GraphTask


class Leaderboard:
    """What the runs of all seeds came to.

    A set function of which runs diverged is ranked behind those of which fewer did;
    its mean is over the others, and the table says how many diverged.

    Args:
        results: All runs.
        task: What they were trained on.

    Attributes:
        results: All runs.
        task: What they were trained on.
        frame: One row for each set function: ``aggr``, ``test`` and ``val`` (means
            over seeds, in the unit of the task), ``test_std``, ``num_seeds``,
            ``num_diverged``, ``num_parameters``, ``seconds_per_epoch``,
            ``saved_bytes`` and ``num_steps``.
    """

    def __init__(self, results: Sequence[RunResult], task: GraphTask):
        self.results = list(results)
        self.task = task
        names = dict.fromkeys(result.aggr for result in results)
        frame = pd.DataFrame([self._row(name) for name in names])
        direction = 1 if task.num_classes is None else -1
        order = pd.DataFrame(
            {"diverged": frame["num_diverged"], "test": direction * frame["test"]}
        ).sort_values(["diverged", "test"], kind="stable")
        self.frame = frame.loc[order.index].reset_index(drop=True)

    def runs(self, aggr: str) -> list[RunResult]:
        """The runs of a set function."""
        return [result for result in self.results if result.aggr == aggr]

    def _row(self, aggr: str) -> dict[str, object]:
        runs = self.runs(aggr)
        tests = pd.Series([run.test_metric for run in runs], dtype=float)
        vals = pd.Series([run.val_metric for run in runs], dtype=float)
        seconds = pd.Series([run.seconds_per_epoch for run in runs], dtype=float)
        scale = self.task.scale
        return {
            "aggr": aggr,
            "test": tests.mean() * scale,
            "test_std": tests.std() * scale,
            "val": vals.mean() * scale,
            "num_seeds": len(runs),
            "num_diverged": sum(run.diverged is not None for run in runs),
            "num_parameters": runs[0].num_parameters,
            "seconds_per_epoch": seconds.mean(),
            "saved_bytes": int(sum(run.saved_bytes for run in runs) / len(runs)),
            "num_steps": max(run.num_steps for run in runs),
        }

    def table(self) -> pd.DataFrame:
        """The same for people: words, units and sensible digits."""
        unit = f" [{self.task.unit}]" if self.task.unit else ""
        rows = [
            {
                "set function": row["aggr"],
                f"test {self.task.metric}{unit}": self.score(row),
                "parameters": f"{row['num_parameters']:,}",
                "time per epoch [s]": _number(row["seconds_per_epoch"], 1),
                "saved for backward [MB]": _number(row["saved_bytes"] / 1e6, 1),
            }
            for row in self.frame.to_dict("records")
        ]
        return pd.DataFrame(rows)

    def score(self, row: dict[Hashable, Any]) -> str:
        """The metric of a row: mean ± deviation, and what diverged."""
        smallest = self.frame["test"].min()
        digits = 3
        if math.isfinite(smallest) and smallest > 0:  # three figures of the smallest
            digits = max(0, 2 - math.floor(math.log10(smallest)))
        text = _number(row["test"], digits)
        if math.isfinite(row["test_std"]):
            text += f" ± {row['test_std']:.{digits}f}"
        if not row["num_diverged"]:
            return text
        note = f"{row['num_diverged']} of {row['num_seeds']} diverged"
        return f"{text} ({note})" if math.isfinite(row["test"]) else note


def _number(value: float, digits: int) -> str:
    return f"{value:,.{digits}f}" if math.isfinite(value) else "–"
