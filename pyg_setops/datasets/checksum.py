"""Checksums of files."""

from __future__ import annotations

import hashlib
from pathlib import Path


class ChecksumError(RuntimeError):
    """A file is not the one that was published."""


def verify(path: Path, sha256: str) -> None:
    """Compare a file with its published checksum.

    Raises:
        ChecksumError: if they differ.
    """
    with open(path, "rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != sha256:
        raise ChecksumError(
            f"{path}: expected sha256 {sha256}, got {actual} "
            f"({path.stat().st_size:,} bytes); the file is truncated or was changed"
        )
