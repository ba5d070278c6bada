"""Which reader serves which copy of QM9, and where the official copy is."""

from __future__ import annotations

from pathlib import Path

from pyg_setops.datasets.download import RemoteFile, download
from pyg_setops.datasets.qm9_raw import sdf, xyz
from pyg_setops.datasets.qm9_raw.bonds import import_chem
from pyg_setops.datasets.qm9_raw.molecules import Molecules
from pyg_setops.datasets.qm9_raw.npz import read_npz

#: The authors' own files, doi:10.6084/m9.figshare.c.978904.
OFFICIAL = (
    RemoteFile(
        "dsgdb9nsd.xyz.tar.bz2",
        "https://ndownloader.figshare.com/files/3195389",
        "3a63848ac80691bdb8d41834b575afad345b9300d7a2db0c38adb7f6eaa8360c",
    ),
    RemoteFile(
        "uncharacterized.txt",
        "https://ndownloader.figshare.com/files/3195404",
        "3aa5115d540b356de94791d4a74c3bf1ed91c469ecf52a4f5d7cc0506fe02e24",
    ),
)


def read_raw(raw: Path) -> Molecules:
    """Read a local copy of QM9: a compact .npz, or a folder of original files.

    Raises:
        FileNotFoundError: if there is no copy that a reader knows.
        ImportError: if it needs rdkit and that is missing.
        ValueError: if it is truncated or inconsistent.
    """
    if raw.is_file():
        return read_npz(raw)
    for reader, files in ((sdf.read_sdf, sdf.FILES), (xyz.read_xyz, xyz.FILES)):
        if all((raw / name).is_file() for name in files):
            return reader(raw)
    raise FileNotFoundError(
        f"raw: expected a compact .npz, or a folder with {', '.join(sdf.FILES)}, or "
        f"with {', '.join(xyz.FILES)}; got {raw}"
    )


def download_official(folder: Path) -> Path:
    """Fetch the official files into a folder, and return it.

    Raises:
        ImportError: if rdkit, which reading them needs, is missing.
        ConnectionError: if a file cannot be fetched; the message says what to do.
        ChecksumError: if a file is not the published one.
    """
    import_chem()
    for remote in OFFICIAL:
        try:
            download(remote, folder)
        except OSError as error:
            listing = "\n".join(f"  {file.name} from {file.url}" for file in OFFICIAL)
            raise ConnectionError(
                f"QM9: tried to download {remote.url} to {folder / remote.name}: "
                f"{error}. Call again to resume. Offline, fetch\n{listing}\nby other "
                "means into one folder and pass it as raw=; raw= also takes PyG's raw "
                "folder of QM9 and the compact .npz."
            ) from error
    return folder
