import sys

import numpy as np
import pytest

from pyg_setops.datasets.qm9_raw.bonds import bonds_from_geometry, import_chem

# Hydrogen cyanide and hydrogen peroxide as bent chains, in Å.
CYANIDE = np.array([[0.0, 0, 0], [1.15, 0, 0], [-1.07, 0, 0]])


def test_orders_come_from_the_smiles():
    bonds = bonds_from_geometry("C#N", np.array([6, 7, 1]), CYANIDE)
    assert bonds.tolist() == [[0, 1, 3], [0, 2, 1]]


def test_heavy_atoms_need_not_come_first():
    order = [2, 0, 1]
    bonds = bonds_from_geometry("C#N", np.array([1, 6, 7]), CYANIDE[order])
    assert bonds.tolist() == [[0, 1, 1], [1, 2, 3]]


def test_bonds_of_the_smiles_that_the_geometry_lacks_are_left_out():
    apart = CYANIDE * [2.0, 1, 1] + [0, 0, 0]
    apart[2] = [-1.07, 0, 0]
    bonds = bonds_from_geometry("C#N", np.array([6, 7, 1]), apart)
    assert bonds.tolist() == [[0, 2, 1]]


def test_contacts_beyond_the_smiles_are_single():
    ring = np.array([[0.0, 0, 0], [1.5, 0, 0], [0.75, 1.3, 0]])
    bonds = bonds_from_geometry("CCC", np.array([6, 6, 6]), ring)
    assert bonds.tolist() == [[0, 1, 1], [0, 2, 1], [1, 2, 1]]


def test_close_hydrogens_are_not_bonded():
    water = np.array([[0.0, 0, 0], [0.6, 0.7, 0], [-0.6, 0.7, 0]])
    bonds = bonds_from_geometry("O", np.array([8, 1, 1]), water)
    assert bonds.tolist() == [[0, 1, 1], [0, 2, 1]]


def test_another_order_of_the_atoms_gives_single_bonds():
    bonds = bonds_from_geometry("N#C", np.array([6, 7, 1]), CYANIDE)
    assert bonds.tolist() == [[0, 1, 1], [0, 2, 1]]


@pytest.mark.parametrize("smiles", ["C#O", "CC#N", "C(", ""])
def test_refuses_another_formula(smiles):
    with pytest.raises(ValueError, match=r"does not spell the heavy atoms \[6, 7\]"):
        bonds_from_geometry(smiles, np.array([6, 7, 1]), CYANIDE)


def test_without_rdkit_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "rdkit", None)
    with pytest.raises(ImportError, match=r"pip install 'pyg-setops\[chem\]'"):
        import_chem()
