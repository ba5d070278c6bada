import pytest

from pyg_setops.ragged.backends import available_backends


@pytest.fixture(params=available_backends())
def backend(request, monkeypatch):
    monkeypatch.setenv("PYG_SETOPS_BACKEND", request.param)
    return request.param
