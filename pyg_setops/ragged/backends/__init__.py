"""Where sums, maxima and gathers over sets are computed, and who decides.

Rules of this folder: a backend is a module with three functions, ``sum(x, sets)``,
``max(x, sets)`` and ``gather(x, sets)``, differentiable to any order, with zero rows
for empty sets; it imports its package only when chosen; all backends pass the same
tests. No operator imports from here: `ragged.segment` is the door.

The choice: ``PYG_SETOPS_BACKEND`` (``native`` or ``torch_scatter``) if set; else
torch-scatter on CUDA where it is installed, since its sums over sorted sets need no
atomic additions and are reproducible; else native, which is the faster on CPU
(`benchmarks/bench_ragged.py`) and the only one that `torch.compile` and `torch.func`
can look into. Native serves on every other device too, whatever is set: torch-scatter
has kernels for CPU and CUDA only.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from functools import lru_cache
from typing import Protocol

from torch import Tensor

from ..eager import is_eager
from ..set_index import SetIndex
from . import native

__all__ = ["Backend", "available_backends", "select_backend"]

NAMES = ("native", "torch_scatter")


class Backend(Protocol):
    """What a backend module offers."""

    def sum(self, x: Tensor, sets: SetIndex) -> Tensor:
        """``[N, *]`` to ``[B, *]``."""

    def max(self, x: Tensor, sets: SetIndex) -> Tensor:
        """``[N, *]`` to ``[B, *]``."""

    def gather(self, x: Tensor, sets: SetIndex) -> Tensor:
        """``[B, *]`` to ``[N, *]``."""


def available_backends() -> list[str]:
    """The names of the backends whose packages are installed."""
    return [name for name in NAMES if name == "native" or _has_torch_scatter()]


def select_backend(x: Tensor) -> Backend:
    """Chooses the backend for ``x``, by the rules above.

    Raises:
        ValueError: If ``PYG_SETOPS_BACKEND`` names no backend.
        ImportError: If it names one whose package is missing.
    """
    if not is_eager() or x.device.type not in ("cpu", "cuda"):
        return native
    name = os.environ.get("PYG_SETOPS_BACKEND", "")
    if not name:
        name = "torch_scatter" if x.is_cuda and _has_torch_scatter() else "native"
    return _load(name)


@lru_cache
def _load(name: str) -> Backend:
    if name not in NAMES:
        raise ValueError(f"'PYG_SETOPS_BACKEND' must be one of {NAMES}, got '{name}'")
    if name == "torch_scatter" and not _has_torch_scatter():
        raise ImportError(
            "the backend 'torch_scatter' needs the package torch-scatter: "
            "pip install --no-build-isolation 'pyg-setops[scatter]'"
        )
    return importlib.import_module(f".{name}", __name__)


@lru_cache
def _has_torch_scatter() -> bool:
    return importlib.util.find_spec("torch_scatter") is not None
