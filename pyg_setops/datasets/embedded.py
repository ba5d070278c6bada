"""The small samples that come with the package."""

from __future__ import annotations

from pathlib import Path

from pyg_setops.datasets.checksum import verify

# An installed wheel carries the samples inside the package; a checkout keeps them in
# its top-level folder `datasets/`.
_PACKAGE = Path(__file__).parent
_FOLDERS = (_PACKAGE / "_embedded", _PACKAGE.parents[1] / "datasets")


def embedded(name: str, file: str) -> Path:
    """Return the path of ``datasets/<name>/<file>``, checked against its checksum.

    Raises:
        FileNotFoundError: if the sample was not installed.
        ChecksumError: if it is damaged.
    """
    for folder in _FOLDERS:
        path = folder / name / file
        if path.is_file():
            verify(path, embedded_checksum(path))
            return path
    raise FileNotFoundError(
        f"sample {name}/{file}: looked in {', '.join(map(str, _FOLDERS))}; "
        "reinstall pyg-setops"
    )


def embedded_checksum(path: Path) -> str:
    """Return the sha256 that the SHA256SUMS beside a sample lists for it.

    Raises:
        KeyError: if it lists none.
    """
    lines = (path.parent / "SHA256SUMS").read_text().splitlines()
    sums = {name: digest for digest, name in (line.split() for line in lines)}
    return sums[path.name]
