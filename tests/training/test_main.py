import sys

import pytest

from pyg_setops.__main__ import main


def test_help_explains_every_option(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["compare", "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for option in ("--data", "--target", "--aggr", "--where", "--max-graphs"):
        assert option in text


def test_a_comparison_by_command(saved_molecules, tmp_path, capsys):
    words = f"compare --data {saved_molecules} --aggr mean --epochs 1 --hidden 8"
    words += f" --layers 1 --output {tmp_path / 'out'} --accelerator cpu"
    assert main(words.split()) == 0
    assert "test MAE" in capsys.readouterr().out
    assert (tmp_path / "out" / "leaderboard.png").exists()
    assert main([*words.split(), "--lr", "0.1"]) == 2
    assert "lr: 0.002 there, 0.1 now" in capsys.readouterr().err


def test_mistakes_are_told_without_a_traceback(capsys):
    assert main(["compare", "--data", "NoSuchData"]) == 2
    assert capsys.readouterr().err.startswith("error: 'data' must be 'qm9'")


def test_without_the_extra_it_says_which(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tyro", None)
    assert main(["compare"]) == 2
    assert "pip install 'pyg-setops[train]'" in capsys.readouterr().err
