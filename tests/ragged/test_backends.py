import pytest
import torch

from pyg_setops.ragged import backends, segment_sum
from pyg_setops.ragged.backends import available_backends, native, select_backend
from tests.ragged.layouts import layout

ROWS = torch.ones(5, 1)


def test_native_is_the_choice_on_cpu(monkeypatch):
    monkeypatch.delenv("PYG_SETOPS_BACKEND", raising=False)
    assert select_backend(ROWS) is native
    assert "native" in available_backends()


def test_the_environment_overrides(backend):
    assert select_backend(ROWS).__name__.endswith(f".{backend}")


def test_native_serves_devices_that_torch_scatter_does_not(monkeypatch):
    monkeypatch.setenv("PYG_SETOPS_BACKEND", "torch_scatter")
    assert select_backend(ROWS.to("meta")) is native


def test_an_unknown_name_is_refused(monkeypatch):
    monkeypatch.setenv("PYG_SETOPS_BACKEND", "numpy")
    with pytest.raises(ValueError, match=r"must be one of .*native.* got 'numpy'"):
        segment_sum(ROWS, layout([5], "ptr")[0])


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setenv("PYG_SETOPS_BACKEND", "torch_scatter")
    monkeypatch.setattr(backends, "_has_torch_scatter", lambda: False)
    backends._load.cache_clear()
    with pytest.raises(ImportError, match=r"pyg-setops\[scatter\]"):
        select_backend(ROWS)
    assert available_backends() == ["native"]
