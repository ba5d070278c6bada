"""Bonds of molecules: orders read from rdkit, connectivity from the geometry."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

# In the relaxed geometries of QM9 these distances (Å) separate bonded from free
# pairs without exception: the longest bonds are 1.8099 between heavy atoms and 1.248
# to a hydrogen, the closest free pairs 1.8101 and 1.371. They give as many edges,
# 4,883,516, as the official SDF.
_LONGEST_BOND = 1.81
_LONGEST_BOND_TO_HYDROGEN = 1.3

_ORDERS = {"SINGLE": 1, "DOUBLE": 2, "TRIPLE": 3, "AROMATIC": 4}


def import_chem() -> ModuleType:
    """Return `rdkit.Chem`, or say which extra brings it."""
    try:
        from rdkit import Chem
    except ImportError as error:
        raise ImportError(
            "QM9's original files are read with rdkit: "
            "pip install 'pyg-setops[chem]' (the sample and .npz files need none)"
        ) from error
    return Chem


def silent_rdkit() -> AbstractContextManager[Any]:
    """Keep rdkit from printing; what it cannot read, our errors report."""
    from rdkit import rdBase

    return rdBase.BlockLogs()


def rdkit_bonds(molecule: Any) -> NDArray[np.int64]:
    """Return ``[num_bonds, 3]``: two atoms, first < second, and the order.

    The order is 1, 2, 3 or 4 (aromatic), and 0 for every other kind of rdkit.
    """
    rows = [
        (
            *sorted((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())),
            _ORDERS.get(bond.GetBondType().name, 0),
        )
        for bond in molecule.GetBonds()
    ]
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def bonds_from_geometry(
    smiles: str, z: NDArray[np.int64], pos: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return ``[num_bonds, 3]``: two atoms, first < second, and the order.

    Atoms are bonded by their distance; the order comes from the SMILES (one Kekulé
    form), and is 1 where the SMILES lists the heavy atoms in another order.

    Args:
        smiles: SMILES of the heavy atoms, in their order.
        z: ``[num_atoms]`` atomic numbers.
        pos: ``[num_atoms, 3]`` in Å.

    Raises:
        ValueError: if the SMILES cannot be read or spells another formula.
    """
    order = _bonded(z, pos).astype(np.int64)
    heavy = np.flatnonzero(z > 1)
    for first, second, kind in _smiles_bonds(smiles, z[heavy]):
        i, j = heavy[first], heavy[second]
        if order[i, j]:
            order[i, j] = kind
    i, j = order.nonzero()
    return np.stack((i, j, order[i, j]), axis=1)


def _bonded(z: NDArray[np.int64], pos: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Upper triangle of the bonded pairs."""
    distance = np.linalg.norm(pos[:, None] - pos, axis=2)
    num_hydrogens = (z == 1)[:, None].astype(int) + (z == 1)
    longest = np.array([_LONGEST_BOND, _LONGEST_BOND_TO_HYDROGEN, 0.0])
    return np.triu(distance < longest[num_hydrogens], 1)


def _smiles_bonds(smiles: str, heavy: NDArray[np.int64]) -> NDArray[np.int64]:
    chem = import_chem()
    with silent_rdkit():
        molecule = chem.MolFromSmiles(smiles)
    spelt = [] if molecule is None else [a.GetAtomicNum() for a in molecule.GetAtoms()]
    if sorted(spelt) != sorted(heavy.tolist()):
        raise ValueError(
            f"SMILES {smiles!r} does not spell the heavy atoms {heavy.tolist()}"
        )
    if spelt != heavy.tolist():
        return np.empty((0, 3), dtype=np.int64)
    chem.Kekulize(molecule, clearAromaticFlags=True)
    return rdkit_bonds(molecule)
