"""QM9 as MoleculeNet distributes it: gdb9.sdf, gdb9.sdf.csv, uncharacterized.txt."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pyg_setops.datasets.qm9_raw.bonds import import_chem, rdkit_bonds, silent_rdkit
from pyg_setops.datasets.qm9_raw.molecules import Molecules
from pyg_setops.datasets.qm9_raw.records import (
    Record,
    flatten,
    read_uncharacterized,
)
from pyg_setops.datasets.qm9_raw.targets import (
    ATOMISATION_COLUMNS,
    RAW_COLUMNS,
    to_pyg_units,
)

FILES = ("gdb9.sdf", "gdb9.sdf.csv", "uncharacterized.txt")
_HEADER = ["mol_id", *RAW_COLUMNS, *ATOMISATION_COLUMNS]


def read_sdf(folder: Path) -> Molecules:
    """Read QM9 from MoleculeNet's three files, all of them or the first so many.

    Raises:
        ImportError: if rdkit is missing.
        ValueError: if a file is truncated, or the content is inconsistent.
    """
    sdf, table, skipped = (folder / name for name in FILES)
    left_out = read_uncharacterized(str(skipped))
    numbers, raw = _read_table(table)
    keep = np.array([number not in left_out for number in numbers], dtype=bool)
    try:
        return flatten(_records(sdf, numbers, keep), to_pyg_units(raw[keep]))
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from error


def _read_table(path: Path) -> tuple[list[int], NDArray[np.float64]]:
    with open(path, newline="") as file:
        header, *rows = list(csv.reader(file)) or [[]]
    if header != _HEADER:
        raise ValueError(f"{path}: expected the header {','.join(_HEADER)}")
    for line, row in enumerate(rows, start=2):
        if len(row) != len(_HEADER):
            raise ValueError(
                f"{path}: line {line} has {len(row)} columns instead of "
                f"{len(_HEADER)}; the file is truncated or damaged"
            )
    numbers = [int(row[0].removeprefix("gdb_")) for row in rows]
    values = np.array([row[1:] for row in rows], dtype=np.float64)
    return numbers, values.reshape(len(rows), len(_HEADER) - 1)


def _records(
    path: Path, numbers: list[int], keep: NDArray[np.bool_]
) -> Iterator[Record]:
    chem = import_chem()
    # Sanitising would reject some of the official records and turn the bonds of
    # others aromatic; PyG reads them as they are written, and so do we.
    try:
        supplier = chem.SDMolSupplier(str(path), removeHs=False, sanitize=False)
    except OSError as error:
        raise ValueError(f"{path.name} is no SDF (truncated?): {error}") from error
    if len(supplier) != len(numbers):
        raise ValueError(
            f"{path.name} has {len(supplier)} molecules, the table {len(numbers)}; "
            "one of them is truncated"
        )
    for position in tqdm(np.flatnonzero(keep), desc="Reading gdb9.sdf", leave=False):
        with silent_rdkit():
            molecule = supplier[int(position)]
        name = f"gdb_{numbers[position]}"
        if molecule is None or molecule.GetProp("_Name") != name:
            raise ValueError(
                f"{path.name}: record {position + 1} is not a readable {name}; the "
                "file is truncated or damaged"
            )
        yield _record(chem, molecule, numbers[position])


def _record(chem: Any, molecule: Any, number: int) -> Record:
    return Record(
        number=number,
        z=np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()], np.int64),
        pos=molecule.GetConformer().GetPositions(),
        bonds=rdkit_bonds(molecule),
        smiles=chem.MolToSmiles(molecule),
    )
