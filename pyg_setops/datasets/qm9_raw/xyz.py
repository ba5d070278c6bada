"""QM9 as its authors published it: dsgdb9nsd.xyz.tar.bz2, uncharacterized.txt."""

from __future__ import annotations

import bz2
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pyg_setops.datasets.qm9_raw.bonds import bonds_from_geometry
from pyg_setops.datasets.qm9_raw.molecules import Molecules, composition
from pyg_setops.datasets.qm9_raw.records import (
    Record,
    flatten,
    read_uncharacterized,
)
from pyg_setops.datasets.qm9_raw.targets import (
    RAW_COLUMNS,
    add_atomisation,
    to_pyg_units,
)

FILES = ("dsgdb9nsd.xyz.tar.bz2", "uncharacterized.txt")
_ATOMIC_NUMBER = {"H": 1, "C": 6, "N": 7, "O": 8, "F": 9}
_NUM_RECORDS = 133_885


def read_xyz(folder: Path) -> Molecules:
    """Read QM9 from the authors' archive, all of it or the members it holds.

    Raises:
        ImportError: if rdkit is missing.
        ValueError: if a file is truncated, or the content is inconsistent.
    """
    archive, skipped = (folder / name for name in FILES)
    left_out = read_uncharacterized(str(skipped))
    try:
        pairs = [
            _parse(text) for number, text in _members(archive) if number not in left_out
        ]
        pairs.sort(key=lambda pair: pair[0].number)
        return _assemble([record for record, _ in pairs], [raw for _, raw in pairs])
    except ValueError as error:
        raise ValueError(f"{archive}: {error}") from error


def _assemble(records: list[Record], raw: list[NDArray[np.float64]]) -> Molecules:
    if not records:
        raise ValueError("expected at least one molecule, got none")
    num_atoms = np.array([len(record.z) for record in records], dtype=np.int64)
    counts = composition(np.concatenate([record.z for record in records]), num_atoms)
    return flatten(records, to_pyg_units(add_atomisation(np.stack(raw), counts)))


def _members(path: Path) -> Iterator[tuple[int, str]]:
    """GDB-9 number and text of every file in the archive."""
    try:
        with (
            # Opened here, not by tarfile, which takes a cut stream for its end.
            bz2.open(path) as stream,
            tarfile.open(fileobj=stream, mode="r|") as archive,
            tqdm(total=_NUM_RECORDS, desc=f"Reading {path.name}", leave=False) as bar,
        ):
            for member in archive:
                file = archive.extractfile(member)
                if file is not None:
                    number = Path(member.name).stem.rpartition("_")[2]
                    yield int(number), file.read().decode()
                    bar.update()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ValueError(f"not a whole .tar.bz2 (truncated?): {error}") from error


def _parse(text: str) -> tuple[Record, NDArray[np.float64]]:
    """Read one .xyz text: its geometry, and its 15 raw targets."""
    lines = text.splitlines()
    try:
        num_atoms = int(lines[0])
        _, number, *targets = lines[1].split()
        atoms = [line.split() for line in lines[2 : 2 + num_atoms]]
        z = np.array([_ATOMIC_NUMBER.get(atom[0], 0) for atom in atoms], np.int64)
        pos = np.array([[_number(word) for word in atom[1:4]] for atom in atoms])
        # After the atoms: the frequencies, the SMILES, the InChI.
        smiles = lines[3 + num_atoms].split()[0]
        raw = np.array([_number(word) for word in targets])
        # An atom's line: symbol, position, Mulliken charge.
        complete = len(raw) == len(RAW_COLUMNS) and len(atoms) == num_atoms
        complete = complete and all(len(atom) == 5 for atom in atoms)
    except (IndexError, ValueError) as error:
        raise ValueError(f"cannot read the record {lines[:2]}: {error}") from error
    if not complete:
        raise ValueError(f"cannot read the record {lines[:2]}: it lacks columns")
    if not z.all():
        raise ValueError(f"molecule gdb_{number} has an unknown atom")
    bonds = bonds_from_geometry(smiles, z, pos)
    return Record(int(number), z, pos, bonds, smiles), raw


def _number(word: str) -> float:
    # The files were written by Mathematica: 1.5*^-6 is 1.5e-6.
    return float(word.replace("*^", "e"))
