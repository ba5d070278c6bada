from pathlib import Path

import pytest

from pyg_setops.datasets.cache import atomic_path, cache_home


def test_cache_home_prefers_our_variable(monkeypatch):
    monkeypatch.setenv("PYG_SETOPS_HOME", "/data/ours")
    monkeypatch.setenv("XDG_CACHE_HOME", "/data/xdg")
    assert cache_home() == Path("/data/ours")
    monkeypatch.delenv("PYG_SETOPS_HOME")
    assert cache_home() == Path("/data/xdg/pyg_setops")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_home() == Path.home() / ".cache" / "pyg_setops"


def test_atomic_path_replaces_on_success(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    mode = path.stat().st_mode
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    # Readable by whoever may read the user's other files.
    assert path.stat().st_mode == mode
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("file", "new")]


def test_atomic_path_keeps_the_old_file_on_failure(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def write_half():
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("file", "old")]
