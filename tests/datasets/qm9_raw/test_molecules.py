import dataclasses

import numpy as np
import pytest

from pyg_setops.datasets.qm9_raw.molecules import Molecules, composition


@pytest.fixture
def molecules():
    """Hydrogen fluoride and hydrogen cyanide."""
    return Molecules(
        number=np.array([3, 7]),
        num_atoms=np.array([2, 3]),
        z=np.array([9, 1, 6, 7, 1]),
        pos=np.arange(15.0).reshape(5, 3),
        y=np.zeros((2, 19)),
        num_bonds=np.array([1, 2]),
        bonds=np.array([[0, 1, 1], [0, 1, 3], [0, 2, 1]]),
        smiles=["F", "C#N"],
    )


def changed(values, position, value):
    values = np.array(values)
    values[position] = value
    return values


def test_owners_and_composition(molecules):
    assert len(molecules) == 2
    assert molecules.atom_owner.tolist() == [0, 0, 1, 1, 1]
    assert molecules.bond_owner.tolist() == [0, 1, 1]
    expected = [[1, 0, 0, 0, 1], [1, 1, 1, 0, 0]]
    assert composition(molecules.z, molecules.num_atoms).tolist() == expected


@pytest.mark.parametrize(
    ("field", "position", "value", "message"),
    [
        ("z", 3, 17, "gdb_7 has an unknown atom"),
        ("pos", (1, 2), np.inf, "gdb_3 has a non-finite position"),
        ("y", (1, 4), np.nan, "gdb_7 has a NaN or infinite target; 1 molecules"),
        ("bonds", (0, 1), 2, "gdb_3 has an impossible bond"),
        ("bonds", (2, 0), -1, "gdb_7 has an impossible bond"),
        ("bonds", (1, 1), 0, "gdb_7 has an impossible bond"),
        ("bonds", (1, 2), 5, "gdb_7 has an impossible bond"),
        ("bonds", (1, 2), 0, "gdb_7 has an impossible bond"),
        ("number", 1, 3, "strictly ascending"),
        ("num_atoms", 1, 4, "z: expected 6 rows for 2 molecules, got 5"),
        ("num_bonds", 0, 2, "bonds: expected 4 rows for 2 molecules, got 3"),
    ],
)
def test_refuses_bad_values(molecules, field, position, value, message):
    bad = changed(getattr(molecules, field), position, value)
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(molecules, **{field: bad})


@pytest.mark.parametrize("field", ["num_atoms", "pos", "y", "num_bonds", "smiles"])
def test_refuses_missing_rows(molecules, field):
    with pytest.raises(ValueError, match=f"{field}: expected .* truncated"):
        dataclasses.replace(molecules, **{field: getattr(molecules, field)[:-1]})


def test_refuses_nothing(molecules):
    nothing = {
        field.name: getattr(molecules, field.name)[:0]
        for field in dataclasses.fields(molecules)
    }
    with pytest.raises(ValueError, match="at least one molecule"):
        Molecules(**nothing)
