"""The flat record that every reader of QM9 returns, and what it must satisfy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyg_setops.datasets.qm9_raw.targets import ELEMENTS


@dataclass(frozen=True)
class Molecules:
    """Molecules one after another, in ascending order of their GDB-9 number.

    Attributes:
        number: ``[num_molecules]`` 1-based number in GDB-9.
        num_atoms: ``[num_molecules]``.
        z: ``[total_atoms]`` atomic numbers.
        pos: ``[total_atoms, 3]`` in Å.
        y: ``[num_molecules, 19]`` in PyG's column order and units.
        num_bonds: ``[num_molecules]``.
        bonds: ``[total_bonds, 3]``: two atoms, counted inside their molecule, and
            the order 1, 2, 3 or 4 (aromatic).
        smiles: one string a molecule.

    Raises:
        ValueError: if the arrays disagree, or hold an unknown element, a value that
            is not finite, or a bond outside its molecule; the message names the
            first molecule concerned.
    """

    number: NDArray[np.int64]
    num_atoms: NDArray[np.int64]
    z: NDArray[np.int64]
    pos: NDArray[np.float64]
    y: NDArray[np.float64]
    num_bonds: NDArray[np.int64]
    bonds: NDArray[np.int64]
    smiles: Sequence[str]

    def __post_init__(self) -> None:
        self._check_lengths()
        self._check_values()

    def __len__(self) -> int:
        return len(self.number)

    @property
    def atom_owner(self) -> NDArray[np.int64]:
        """``[total_atoms]`` row of the molecule that an atom belongs to."""
        return np.repeat(np.arange(len(self)), self.num_atoms)

    @property
    def bond_owner(self) -> NDArray[np.int64]:
        """``[total_bonds]`` row of the molecule that a bond belongs to."""
        return np.repeat(np.arange(len(self)), self.num_bonds)

    @property
    def composition(self) -> NDArray[np.int64]:
        """``[num_molecules, 5]`` atoms of each of `ELEMENTS`."""
        return composition(self.z, self.num_atoms)

    def _check_lengths(self) -> None:
        num_atoms, num_bonds = int(self.num_atoms.sum()), int(self.num_bonds.sum())
        expected = {
            "num_atoms": (len(self.num_atoms), len(self)),
            "num_bonds": (len(self.num_bonds), len(self)),
            "y": (len(self.y), len(self)),
            "smiles": (len(self.smiles), len(self)),
            "z": (len(self.z), num_atoms),
            "pos": (len(self.pos), num_atoms),
            "bonds": (len(self.bonds), num_bonds),
        }
        for name, (length, wanted) in expected.items():
            if length != wanted:
                raise ValueError(
                    f"{name}: expected {wanted} rows for {len(self)} molecules, got "
                    f"{length}; the file is truncated or inconsistent"
                )
        if len(self) == 0:
            raise ValueError("expected at least one molecule, got none")

    def _check_values(self) -> None:
        if (np.diff(self.number) <= 0).any():
            raise ValueError("GDB-9 numbers: expected them strictly ascending")
        known, placed = np.isin(self.z, ELEMENTS), np.isfinite(self.pos).all(axis=1)
        self._refuse_owners(
            self.atom_owner[~known], "has an unknown atom (expected H, C, N, O, F)"
        )
        self._refuse_owners(self.atom_owner[~placed], "has a non-finite position")
        rows = np.arange(len(self))
        broken = ~np.isfinite(self.y).all(axis=1)
        self._refuse_owners(rows[broken], "has a NaN or infinite target")
        i, j, order = self.bonds.T
        outside = (np.minimum(i, j) < 0) | (
            np.maximum(i, j) >= self.num_atoms[self.bond_owner]
        )
        broken = outside | (i == j) | (order < 1) | (order > 4)
        self._refuse_owners(self.bond_owner[broken], "has an impossible bond")

    def _refuse_owners(self, owners: NDArray[np.int64], complaint: str) -> None:
        if len(owners):
            raise ValueError(
                f"molecule gdb_{self.number[owners[0]]} {complaint}; "
                f"{len(np.unique(owners))} molecules in all"
            )


def composition(
    z: NDArray[np.int64], num_atoms: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Count the atoms of each of `ELEMENTS` in every molecule.

    Args:
        z: ``[total_atoms]`` atomic numbers.
        num_atoms: ``[num_molecules]``.

    Returns:
        ``[num_molecules, 5]``.
    """
    owner = np.repeat(np.arange(len(num_atoms)), num_atoms)
    counts = [
        np.bincount(owner[z == element], minlength=len(num_atoms))
        for element in ELEMENTS
    ]
    return np.stack(counts, axis=1)
