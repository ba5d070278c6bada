import csv
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from experiment import Report, Task, fit, open_folder
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader


@dataclass(frozen=True)
class Config:
    output: Path
    steps: int = 3
    smoke: bool = False


def make_task(
    num_epochs: int, fail_at: int | None = None, trained: list[int] | None = None
) -> Task:
    torch.manual_seed(0)
    points = [Data(x=torch.randn(4, 2), y=torch.randn(4, 1)) for _ in range(6)]

    def train(epoch: int) -> DataLoader:
        if epoch == fail_at:
            raise KeyboardInterrupt("killed")
        order = torch.randperm(6, generator=torch.Generator().manual_seed(epoch))
        return DataLoader([points[i] for i in order], 2)

    def loss(network, batch):
        if trained is not None and network.training:
            trained.append(batch.num_graphs)
        error = (network(batch.x) - batch.y).square().mean()
        return {"loss": error, "root": error.sqrt()}

    return Task(loss, train, DataLoader(points, 3), num_epochs, lambda spent: 1 - spent)


def make_network() -> torch.nn.Module:
    return torch.nn.Linear(2, 1)


def test_fit_lowers_the_loss_and_keeps_the_curve(tmp_path):
    fitted = fit(make_network, make_task(4), 0.1, tmp_path, seed=0)
    assert [row["step"] for row in fitted.curve] == [3, 6, 9, 12]
    assert fitted.curve[-1]["loss"] < fitted.curve[0]["loss"]
    assert fitted.num_parameters == 3
    assert fitted.seconds > 0


def test_a_killed_run_ends_where_a_whole_one_does(tmp_path):
    whole = fit(make_network, make_task(4), 0.1, tmp_path / "whole", seed=0)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        fit(make_network, make_task(4, fail_at=2), 0.1, tmp_path / "killed", seed=0)
    trained: list[int] = []
    resumed = fit(
        make_network, make_task(4, trained=trained), 0.1, tmp_path / "killed", seed=0
    )
    assert trained == [2] * 6  # the two epochs that were left
    assert torch.equal(resumed.network.weight, whole.network.weight)
    assert [row["loss"] for row in resumed.curve] == [
        row["loss"] for row in whole.curve
    ]


def test_a_folder_belongs_to_one_configuration(tmp_path):
    config = Config(tmp_path / "run")
    folder = open_folder(config)
    assert open_folder(config) == folder
    with pytest.raises(ValueError, match="another configuration"):
        open_folder(replace(config, steps=4))


def test_a_smoke_run_starts_afresh_beside_the_real_one(tmp_path):
    config = Config(tmp_path / "run", smoke=True)
    folder = open_folder(config)
    (folder / "last.ckpt").touch()
    assert not (open_folder(config) / "last.ckpt").exists()
    assert folder != open_folder(Config(tmp_path / "run"))


def test_a_report_is_written_with_all_that_repeats_it(tmp_path, capsys):
    report = Report("t", "T", "run me", ["model", "score"], [["a, b", "1"]], ["budget"])
    report.write(tmp_path)
    with open(tmp_path / "t.csv") as file:
        assert list(csv.reader(file)) == [["model", "score"], ["a, b", "1"]]
    text = (tmp_path / "t.md").read_text()
    for part in (
        "# T",
        "(t.png)",
        "run me",
        "| a, b | 1 |",
        "- budget",
        torch.__version__,
    ):
        assert part in text
    assert "score" in capsys.readouterr().out
