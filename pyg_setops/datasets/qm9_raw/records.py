"""One molecule as the original files give it, and many of them made flat."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyg_setops.datasets.qm9_raw.molecules import Molecules


@dataclass(frozen=True)
class Record:
    """A molecule without its targets; the fields are those of `Molecules`."""

    number: int
    z: NDArray[np.int64]
    pos: NDArray[np.float64]
    bonds: NDArray[np.int64]
    smiles: str


def flatten(records: Iterable[Record], y: NDArray[np.float64]) -> Molecules:
    """Lay the records one after another, beside their targets ``[num_molecules, 19]``.

    Raises:
        ValueError: as `Molecules` does.
    """
    records = list(records)
    if not records:
        raise ValueError("expected at least one molecule, got none")
    return Molecules(
        number=np.array([record.number for record in records], dtype=np.int64),
        num_atoms=np.array([len(record.z) for record in records], dtype=np.int64),
        z=np.concatenate([record.z for record in records]),
        pos=np.concatenate([record.pos for record in records]),
        y=y,
        num_bonds=np.array([len(record.bonds) for record in records], dtype=np.int64),
        bonds=np.concatenate([record.bonds for record in records]),
        smiles=[record.smiles for record in records],
    )


def read_uncharacterized(path: str) -> frozenset[int]:
    """Return the GDB-9 numbers that uncharacterized.txt lists, which QM9 leaves out.

    Raises:
        ValueError: if the list is empty or does not end in its closing rule.
    """
    with open(path) as file:
        lines = [line.split() for line in file if line.strip()]
    numbers = frozenset(int(words[0]) for words in lines if words[0].isdigit())
    if not numbers or set(lines[-1][0]) != {"="}:
        raise ValueError(
            f"{path}: expected numbers and a closing line of '='; it is truncated"
        )
    return numbers
