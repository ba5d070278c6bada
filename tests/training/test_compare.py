import csv
import statistics

import pytest
import torch
import torch_geometric.nn.aggr
from torch_geometric.nn.aggr import SumAggregation

from pyg_setops.training import compare
from pyg_setops.training.compare import Comparison
from pyg_setops.training.options import CompareOptions
from pyg_setops.training.store import ConfigurationError


class BrokenAggregation(SumAggregation):
    def forward(self, *args, **kwargs):
        return super().forward(*args, **kwargs) * torch.nan


@pytest.fixture
def broken(monkeypatch):
    monkeypatch.setattr(
        torch_geometric.nn.aggr, "BrokenAggregation", BrokenAggregation, raising=False
    )


def test_a_comparison_from_the_file_to_the_report(options, capsys, broken):
    asked = options(
        aggr=("mean", "broken", "swarm"), seeds=(0, 1), epochs=1, max_graphs=30
    )
    comparison = Comparison(asked)
    board = comparison.run()
    printed = capsys.readouterr().out
    with (asked.output / "leaderboard.csv").open() as file:
        rows = {row["aggr"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"mean", "broken", "swarm"}
    for aggr in ("mean", "swarm"):
        metrics = [comparison.store.load(aggr, seed).test_metric for seed in (0, 1)]
        assert float(rows[aggr]["test"]) == pytest.approx(statistics.mean(metrics))
        assert float(rows[aggr]["test_std"]) == pytest.approx(statistics.stdev(metrics))
    assert rows["broken"]["num_diverged"] == "2"
    assert board.frame["aggr"].iloc[-1] == "broken"
    report = (asked.output / "leaderboard.md").read_text()
    assert "2 of 2 diverged" in report
    assert "broken, seed 0: diverged (the loss is nan in epoch 1)" in printed
    for fact in (
        "molecules.pt: 24 training, 3 validation and 3 test graphs",
        "a subset, 75.0% of the data",
        "target: y[1]; the best constant value has MAE",
        "1 epochs = 3 steps of 8 graphs",
        "seeds: 0, 1",
        f"torch {torch.__version__}",
        "--aggr mean broken swarm",
    ):
        assert fact in report
    assert (asked.output / "leaderboard.png").read_bytes()[:4] == b"\x89PNG"
    assert not list(asked.output.glob(".*"))


def test_finished_runs_are_kept_and_new_ones_added(options, monkeypatch):
    trained = []
    train_run = compare.train_run

    def spy(options, task, aggr, seed, folder):
        trained.append((aggr, seed))
        return train_run(options, task, aggr, seed, folder)

    monkeypatch.setattr(compare, "train_run", spy)
    Comparison(options(aggr=("mean",), epochs=1)).run()
    board = Comparison(options(aggr=("sum", "mean"), epochs=1)).run()
    assert trained == [("mean", 0), ("sum", 0)]
    assert set(board.frame["aggr"]) == {"mean", "sum"}


def test_other_data_or_budget_is_refused(options, saved_molecules):
    Comparison(options())
    with pytest.raises(ConfigurationError, match="epochs: 3 there, 4 now"):
        Comparison(options(epochs=4))
    graphs = torch.load(saved_molecules, weights_only=False)
    graphs[0].pos += 1
    torch.save(graphs, saved_molecules)
    with pytest.raises(ConfigurationError, match="checksum"):
        Comparison(options())
    Comparison(options(epochs=4, resume=False))


def test_wrong_names_show_before_anything_is_trained(options):
    with pytest.raises(ValueError, match="no aggregation is called 'nonsense'"):
        Comparison(options(aggr=("mean", "nonsense")))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "'epochs' must be positive, got 0"),
        ({"lr": float("nan")}, "'lr' must be positive, got nan"),
        ({"max_graphs": -1}, "'max_graphs' must be positive"),
        ({"aggr": ("mean", "mean")}, "'aggr' must have one or more different"),
        ({"seeds": ()}, "'seeds' must have one or more different"),
        ({"seeds": (0, -1)}, "'seeds' must lie in"),
        ({"seeds": (2**32,)}, "'seeds' must lie in"),
    ],
)
def test_wrong_options(changes, message):
    with pytest.raises(ValueError, match=message):
        CompareOptions(**changes)


def test_the_command_asks_for_the_same():
    options = CompareOptions(
        aggr=("mean", "swarm:pool=max"), max_graphs=5, resume=False
    )
    assert options.command() == (
        "python -m pyg_setops compare --aggr mean swarm:pool=max --max-graphs 5 "
        "--no-resume"
    )
