import torch
from torch_geometric.data import Data, InMemoryDataset

from pyg_setops.datasets.qm9_raw.graphs import to_graphs
from pyg_setops.datasets.qm9_raw.npz import read_npz


def loop_over_molecules(molecules):
    """One `Data` at a time, by the words of the documentation."""
    first_atom = first_bond = 0
    for row in range(len(molecules)):
        atoms = slice(first_atom, first_atom + int(molecules.num_atoms[row]))
        bonds = slice(first_bond, first_bond + int(molecules.num_bonds[row]))
        first_atom, first_bond = atoms.stop, bonds.stop
        z = molecules.z[atoms].tolist()
        edges = {}
        for i, j, order in molecules.bonds[bonds].tolist():
            edges[i, j] = edges[j, i] = order
        features = []
        for atom, number in enumerate(z):
            hydrogens = sum(z[j] == 1 for i, j in edges if i == atom)
            one_hot = [float(number == element) for element in (1, 6, 7, 8, 9)]
            features.append([*one_hot, number, 0, 0, 0, 0, hydrogens])
        yield Data(
            x=torch.tensor(features),
            edge_index=torch.tensor(sorted(edges)).t().contiguous(),
            edge_attr=torch.tensor(
                [[float(edges[e] == k) for k in (1, 2, 3, 4)] for e in sorted(edges)]
            ),
            y=torch.tensor(molecules.y[row : row + 1], dtype=torch.float),
            pos=torch.tensor(molecules.pos[atoms], dtype=torch.float),
            z=torch.tensor(z),
            smiles=molecules.smiles[row],
            name=f"gdb_{molecules.number[row]}",
            idx=int(molecules.number[row]) - 1,
        )


def test_equals_a_loop_and_pygs_collate(compact):
    molecules = read_npz(compact)
    data, slices = to_graphs(molecules)
    expected, bounds = InMemoryDataset.collate(list(loop_over_molecules(molecules)))
    assert set(data.keys()) == set(expected.keys())
    assert slices.keys() == bounds.keys()
    for key in expected.keys():  # noqa: SIM118  (Data is no dict)
        if isinstance(expected[key], torch.Tensor):
            assert data[key].dtype == expected[key].dtype, key
            assert torch.equal(data[key], expected[key]), key
        else:
            assert data[key] == expected[key], key
        assert torch.equal(slices[key], torch.as_tensor(bounds[key])), key
