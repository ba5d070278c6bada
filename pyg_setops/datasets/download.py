"""Download of a published file: resumed, verified, and never half there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tqdm import tqdm

from pyg_setops.datasets.checksum import ChecksumError, verify

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_CHUNK = 1 << 16
_TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class RemoteFile:
    """A file on the web and its checksum."""

    name: str
    url: str
    sha256: str


def download(remote: RemoteFile, folder: Path) -> Path:
    """Fetch a file into a folder, unless it is there already.

    A download that stopped leaves ``<name>.part``, from which the next call goes on.
    Processes that call at once wait for one of them to fetch it.

    Returns:
        The path of the verified file.

    Raises:
        OSError: if the server cannot be reached or stops early.
        ChecksumError: if the file is not the published one; a fresh download of it
            is removed, a file that was there before stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / remote.name
    with _alone_in(folder):
        if not path.exists():
            _fetch_whole(remote, path)
            return path
    verify(path, remote.sha256)
    return path


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Wait until no other process is here, where the file system can tell."""
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems lock no folders
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _fetch_whole(remote: RemoteFile, path: Path) -> None:
    part = path.with_name(f"{remote.name}.part")
    _fetch(remote.url, part)
    try:
        verify(part, remote.sha256)
    except ChecksumError:
        part.unlink()
        raise
    os.replace(part, path)


def _fetch(url: str, part: Path) -> None:
    """Append to ``part`` what it lacks, or start anew if the server cannot resume."""
    done = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "pyg-setops"}
    if done:
        headers["Range"] = f"bytes={done}-"
    try:
        with urlopen(Request(url, headers=headers), timeout=_TIMEOUT_SECONDS) as answer:
            if answer.status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
                raise OSError(f"the server answered {answer.status} {answer.reason}")
            resumed = answer.status == HTTPStatus.PARTIAL_CONTENT
            _write(answer, part, done if resumed else 0)
    except HTTPError as error:
        # Nothing is left to send: the checksum decides whether what we have is it.
        if error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
    except HTTPException as error:
        raise OSError(f"the connection broke: {error!r}") from error


def _write(answer: HTTPResponse, part: Path, start: int) -> None:
    length = answer.headers.get("Content-Length")
    total = start + int(length) if length else None
    with (
        open(part, "ab" if start else "wb") as file,
        tqdm(
            total=total,
            initial=start,
            unit="B",
            unit_scale=True,
            desc=part.stem,
            leave=False,
        ) as bar,
    ):
        while chunk := answer.read(_CHUNK):
            file.write(chunk)
            bar.update(len(chunk))
    size = part.stat().st_size
    if total is not None and size < total:
        raise OSError(f"the connection broke after {size:,} of {total:,} bytes")
