"""The door to e3nn, which is imported when it is needed and not before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any


def import_o3(needed_by: str) -> Any:
    """``e3nn.o3``, for what is said to need it.

    Raises:
        ImportError: If e3nn is missing, with the command that installs it.
    """
    return _import("e3nn.o3", needed_by)


def import_nn(needed_by: str) -> Any:
    """``e3nn.nn``, as :func:`import_o3`."""
    return _import("e3nn.nn", needed_by)


def to_irreps(irreps: Any, needed_by: str) -> Any:
    """Irreps from e3nn's own, their string, or a number of scalars."""
    return import_o3(needed_by).Irreps(
        f"{irreps}x0e" if isinstance(irreps, int) else irreps
    )


@contextmanager
def eager_code() -> Iterator[None]:
    """What e3nn makes here is plain Python, not TorchScript, which cannot be copied."""
    e3nn = import_module("e3nn")
    defaults = e3nn.get_optimization_defaults()
    e3nn.set_optimization_defaults(jit_mode="eager")
    try:
        yield
    finally:
        e3nn.set_optimization_defaults(**defaults)


def _import(module: str, needed_by: str) -> Any:
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise ImportError(
            f"{needed_by} needs e3nn for its representations: pip install 'e3nn>=0.6'"
        ) from error
