"""The comparison: all runs, one after another, and what is made of them."""

from __future__ import annotations

import logging

from lightning.pytorch.utilities import rank_zero_only
from rich.console import Console

from ..registry import register
from .leaderboard import Leaderboard
from .options import CompareOptions
from .report import versions, write_report
from .run import build_predictor, train_run
from .sources import open_source
from .store import RunResult, Store
from .task import prepare


class Comparison:
    """Set functions, compared under one budget.

    Creating it reads the data and checks everything that a user can get wrong, so
    that no error shows after an hour of training.

    Args:
        options: What to compare, on what, with which budget.

    Raises:
        ValueError: If an option or the data is wrong.
        ConfigurationError: If the output folder holds runs of another configuration.
    """

    def __init__(self, options: CompareOptions):
        register()
        self.options = options
        source = open_source(options.data, options.target)
        self.task = prepare(source, options.cutoff, options.max_graphs)
        for aggr in options.aggr:
            build_predictor(options, self.task, aggr)
        configuration = {
            **options.fixed(),
            "checksum": self.task.checksum(),
            "versions": versions(),
        }
        # Other processes of a distributed training leave the files to the first.
        self.is_first = getattr(rank_zero_only, "rank", 0) == 0
        resume = options.resume or not self.is_first
        self.store = Store(options.output, configuration, resume)

    def run(self) -> Leaderboard:
        """Trains what is not trained yet, prints and writes the report."""
        logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
        console = Console(quiet=not self.is_first)
        results = []
        # Seeds outermost: a comparison that is stopped has compared something.
        for seed in self.options.seeds:
            for aggr in self.options.aggr:
                result = self._result(aggr, seed)
                console.print(self._line(result), highlight=False)
                results.append(result)
        leaderboard = Leaderboard(results, self.task)
        if self.is_first:
            write_report(leaderboard, self.options, console)
        return leaderboard

    def _result(self, aggr: str, seed: int) -> RunResult:
        result = self.store.load(aggr, seed)
        if result is None:
            folder = self.store.folder(aggr, seed)
            result = train_run(self.options, self.task, aggr, seed, folder)
            if self.is_first:
                self.store.save(result)
        return result

    def _line(self, result: RunResult) -> str:
        run = f"{result.aggr}, seed {result.seed}"
        if result.test_metric is None:
            return f"{run}: diverged ({result.diverged})"
        task = self.task
        return (
            f"{run}: test {task.metric} {task.quantity(result.test_metric)}, "
            f"{result.seconds_per_epoch:.1f} s per epoch"
        )
