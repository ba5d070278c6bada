"""From flat molecules to PyG's collated graphs, without a loop over molecules."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import Data

from pyg_setops.datasets.qm9_raw.molecules import Molecules
from pyg_setops.datasets.qm9_raw.targets import ELEMENTS

#: Columns of `edge_attr`: single, double, triple, aromatic.
NUM_BOND_TYPES = 4


def to_graphs(molecules: Molecules) -> tuple[Data, Mapping[str, Tensor]]:
    """Return what `InMemoryDataset.collate` would make of one `Data` a molecule.

    Cost: O(atoms + bonds log bonds).
    """
    row, col, order = _directed_edges(molecules)
    atom_ptr = _pointer(molecules.num_atoms)
    first_atom = np.repeat(atom_ptr[:-1], 2 * molecules.num_bonds)
    num_hydrogens = np.bincount(
        first_atom + col,
        weights=molecules.z[first_atom + row] == 1,
        minlength=len(molecules.z),
    ).astype(np.float32)
    data = Data(
        x=torch.from_numpy(_atom_features(molecules.z, num_hydrogens)),
        edge_index=torch.from_numpy(np.stack((row, col))),
        edge_attr=torch.from_numpy(np.eye(NUM_BOND_TYPES, dtype="f4")[order - 1]),
        y=torch.from_numpy(molecules.y.astype("f4")),
        pos=torch.from_numpy(molecules.pos.astype("f4")),
        z=torch.from_numpy(molecules.z),
        smiles=list(molecules.smiles),
        name=[f"gdb_{number}" for number in molecules.number],
        idx=torch.from_numpy(molecules.number - 1),
    )
    atoms = torch.from_numpy(atom_ptr)
    edges = torch.from_numpy(_pointer(2 * molecules.num_bonds))
    graphs = torch.arange(len(molecules) + 1)
    slices = dict.fromkeys(data.keys(), graphs)
    slices |= dict.fromkeys(("x", "pos", "z"), atoms)
    slices |= dict.fromkeys(("edge_index", "edge_attr"), edges)
    return data, slices


def _pointer(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate(([0], np.cumsum(sizes)))


def _directed_edges(
    molecules: Molecules,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Both directions of every bond, sorted by molecule, source and target."""
    i, j, order = molecules.bonds.T
    owner = np.tile(molecules.bond_owner, 2)
    row, col = np.concatenate((i, j)), np.concatenate((j, i))
    sort = np.lexsort((col, row, owner))
    return row[sort], col[sort], np.tile(order, 2)[sort]


def _atom_features(
    z: NDArray[np.int64], num_hydrogens: NDArray[np.float32]
) -> NDArray[np.float32]:
    """PyG's 11 columns: 5 element one-hot, z, 4 that stay zero, hydrogens."""
    x = np.zeros((len(z), 11), dtype="f4")
    x[np.arange(len(z)), np.searchsorted(ELEMENTS, z)] = 1
    x[:, 5] = z
    x[:, 10] = num_hydrogens
    return x
