"""Where downloads and processed data are kept, and how files get there whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


def cache_home() -> Path:
    """Return the user's folder for our data sets.

    It is ``$PYG_SETOPS_HOME``, else ``$XDG_CACHE_HOME/pyg_setops``, else
    ``~/.cache/pyg_setops``.
    """
    if home := os.environ.get("PYG_SETOPS_HOME"):
        return Path(home).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "pyg_setops"


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path that becomes ``path`` only if the block succeeds.

    Readers see the old file or the whole new one, never a half-written one, however
    the writer ends and however many write at once.
    """
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
