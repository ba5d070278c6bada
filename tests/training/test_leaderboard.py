import math
import statistics
from itertools import pairwise
from types import SimpleNamespace

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from pyg_setops.training.figure import draw
from pyg_setops.training.leaderboard import Leaderboard
from pyg_setops.training.store import RunResult


def run(aggr, seed, test, diverged=None):
    return RunResult(
        aggr=aggr,
        seed=seed,
        diverged=diverged,
        test_metric=test,
        val_metric=test,
        best_epoch=2,
        num_parameters=1234,
        saved_bytes=2_500_000,
        seconds_per_epoch=1.5 + seed,
        num_steps=8,
        history=[
            {"epoch": e, "train_loss": 1.0, "val_metric": 0.5 / e, "seconds": 1.0}
            for e in (1, 2)
        ],
    )


def task(num_classes=None):
    return SimpleNamespace(
        num_classes=num_classes,
        metric="MAE" if num_classes is None else "accuracy",
        unit="eV" if num_classes is None else "%",
        scale=1.0 if num_classes is None else 100.0,
        source=SimpleNamespace(name="data", target="homo"),
        train=[None] * 1000,
    )


RUNS = [
    run("mean", 0, 0.21),
    run("mean", 1, 0.25),
    run("swarm", 0, 0.11),
    run("swarm", 1, 0.12),
    run("gru", 0, 0.05),
    run("gru", 1, None, "the loss is nan in epoch 1"),
    run("max", 0, None, "the loss is nan in epoch 1"),
    run("max", 1, None, "the loss is nan in epoch 1"),
]


def test_best_first_and_diverged_last():
    frame = Leaderboard(RUNS, task()).frame.set_index("aggr")
    assert list(frame.index) == ["swarm", "mean", "gru", "max"]
    assert frame["num_diverged"].tolist() == [0, 0, 1, 2]
    assert frame.loc["mean", "test"] == pytest.approx(0.23)
    assert frame.loc["mean", "test_std"] == pytest.approx(
        statistics.stdev([0.21, 0.25])
    )
    assert frame.loc["mean", "seconds_per_epoch"] == 2.0
    assert math.isnan(frame.loc["max", "test"])


def test_accuracies_rank_from_the_highest():
    board = Leaderboard(RUNS[:4], task(num_classes=2))
    assert board.frame["aggr"].tolist() == ["mean", "swarm"]
    assert board.frame["test"].tolist() == pytest.approx([23.0, 11.5])
    assert "test accuracy [%]" in board.table()


def test_the_table_says_deviation_and_divergence():
    scores = Leaderboard(RUNS, task()).table()["test MAE [eV]"].tolist()
    assert scores == [
        "0.1150 ± 0.0071",
        "0.2300 ± 0.0283",
        "0.0500 (1 of 2 diverged)",
        "2 of 2 diverged",
    ]


def test_one_seed_has_no_deviation():
    table = Leaderboard([run("mean", 0, 12.34)], task()).table()
    assert table.iloc[0].tolist() == ["mean", "12.3", "1,234", "1.5", "2.5"]


@pytest.mark.parametrize("runs", [RUNS, RUNS[:1], RUNS[-2:]])
def test_the_picture_names_everything(runs):
    figure = draw(Leaderboard(runs, task()))
    FigureCanvasAgg(figure).draw()
    curves, score, time, memory = figure.axes
    names = {run.aggr for run in runs}
    assert {text.get_text() for text in curves.texts} == names
    assert {label.get_text() for label in score.get_yticklabels()} == names
    assert curves.get_ylabel() == "Validation MAE [eV]"
    assert score.get_xlabel() == "MAE [eV]"
    assert (time.get_xlabel(), memory.get_xlabel()) == (
        "s per epoch",
        "MB for backward",
    )
    assert "homo of data" in figure.get_suptitle()


def test_names_at_the_ends_of_lines_do_not_overlap():
    figure = draw(Leaderboard([run(name, 0, 0.1) for name in "abcdef"], task()))
    FigureCanvasAgg(figure).draw()
    boxes = [text.get_window_extent().bounds for text in figure.axes[0].texts]
    boxes.sort(key=lambda box: box[1])
    for (_, low, _, height), (_, high, _, _) in pairwise(boxes):
        assert high >= low + 0.8 * height
