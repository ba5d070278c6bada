import json

import pytest

from pyg_setops.training.store import ConfigurationError, RunResult, Store


def result(aggr="swarm:pool=max", seed=0, **changes):
    fields = {
        "aggr": aggr,
        "seed": seed,
        "diverged": None,
        "test_metric": 0.1,
        "val_metric": 0.2,
        "best_epoch": 1,
        "num_parameters": 10,
        "saved_bytes": 1000,
        "seconds_per_epoch": 2.0,
        "num_steps": 5,
        "history": [{"epoch": 1, "train_loss": 1.0, "val_metric": 0.2, "seconds": 2.0}],
    }
    return RunResult(**(fields | changes))


def test_results_come_back(tmp_path):
    store = Store(tmp_path, {"epochs": 1}, resume=True)
    assert store.load("swarm:pool=max", 0) is None
    store.save(result())
    again = Store(tmp_path, {"epochs": 1}, resume=True)
    assert again.load("swarm:pool=max", 0) == result()
    assert again.load("swarm:pool=max", 1) is None
    assert again.load("swarm", 0) is None


def test_another_configuration_is_refused_and_named(tmp_path):
    Store(tmp_path, {"epochs": 1, "lr": 0.1}, resume=True).save(result())
    with pytest.raises(ConfigurationError, match=r"epochs: 1 there, 2 now\)\. Choose"):
        Store(tmp_path, {"epochs": 2, "lr": 0.1}, resume=True)
    with pytest.raises(ConfigurationError, match="hidden: None there, 8 now"):
        Store(tmp_path, {"epochs": 1, "lr": 0.1, "hidden": 8}, resume=True)
    assert json.loads((tmp_path / "configuration.json").read_text())["epochs"] == 1


def test_without_resume_only_our_own_files_go(tmp_path):
    Store(tmp_path, {"epochs": 1}, resume=True).save(result())
    (tmp_path / "notes.txt").write_text("keep me")
    fresh = Store(tmp_path, {"epochs": 2}, resume=False)
    assert fresh.load("swarm:pool=max", 0) is None
    assert (tmp_path / "notes.txt").exists()


def test_nothing_half_written_and_no_nan(tmp_path):
    store = Store(tmp_path, {}, resume=True)
    with pytest.raises(ValueError, match="JSON compliant"):
        store.save(result(test_metric=float("nan")))
    assert list(store.folder("swarm:pool=max", 0).iterdir()) == []


def test_folders_of_different_names_differ(tmp_path):
    store = Store(tmp_path, {}, resume=True)
    names = ["a:b=1", "a%3Ab=1", "a/b", "a_b"]
    folders = {store.folder(name, 0) for name in names}
    assert len(folders) == len(names)
    assert all(folder.is_relative_to(tmp_path / "runs") for folder in folders)
