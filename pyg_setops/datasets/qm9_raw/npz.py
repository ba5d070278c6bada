"""The compact .npz layout of QM9; the embedded sample has it too."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyg_setops.datasets.qm9_raw.molecules import Molecules, composition
from pyg_setops.datasets.qm9_raw.targets import (
    RAW_COLUMNS,
    add_atomisation,
    to_pyg_units,
)

_KEYS = (
    *("idx", "n_atoms", "z", "pos_1e4", "y", "y_names"),
    *("n_bonds", "bonds", "smiles_utf8"),
)


def read_npz(path: Path) -> Molecules:
    """Read QM9 from the compact layout, which datasets/qm9/README.md describes.

    Raises:
        ValueError: if the file cannot be read, or its content is inconsistent.
    """
    arrays = _load(path)
    if list(arrays["y_names"]) != list(RAW_COLUMNS):
        raise ValueError(
            f"{path}: expected y_names {', '.join(RAW_COLUMNS)}; "
            f"got {', '.join(map(str, arrays['y_names']))}"
        )
    num_atoms = arrays["n_atoms"].astype(np.int64)
    z = arrays["z"].astype(np.int64)
    if num_atoms.sum() != len(z):
        raise ValueError(
            f"{path}: n_atoms adds up to {num_atoms.sum()} atoms, z has {len(z)}"
        )
    bonds = arrays["bonds"].astype(np.int64)
    # Order 0 marks a contact that is a bond in the official SDF but not in the
    # SMILES that the orders come from.
    bonds[:, 2] = bonds[:, 2].clip(min=1)
    try:
        return Molecules(
            number=arrays["idx"].astype(np.int64),
            num_atoms=num_atoms,
            z=z,
            pos=arrays["pos_1e4"] / 1e4,
            y=to_pyg_units(add_atomisation(arrays["y"], composition(z, num_atoms))),
            num_bonds=arrays["n_bonds"].astype(np.int64),
            bonds=bonds,
            smiles=arrays["smiles_utf8"].tobytes().decode().rstrip("\n").split("\n"),
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _load(path: Path) -> dict[str, NDArray[Any]]:
    try:
        # numpy leaves a file that it opened itself open when it is no archive.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            missing = [key for key in _KEYS if key not in archive]
            arrays = {key: archive[key] for key in _KEYS if key in archive}
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, TypeError) as error:
        raise ValueError(
            f"{path} is not a whole .npz archive (truncated?): {error}"
        ) from error
    if missing:
        raise ValueError(f"{path}: expected the arrays {_KEYS}; missing {missing}")
    return arrays
