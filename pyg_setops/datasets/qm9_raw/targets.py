"""The 19 targets of QM9: names, units, and the way there from the raw columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

#: Atomic numbers that occur in QM9, in the order of PyG's one-hot columns.
ELEMENTS = (1, 6, 7, 8, 9)

#: Columns of the raw files, in their order and units (GHz, D, a0³, Ha, a0²,
#: cal/(mol K)); MoleculeNet's CSV appends `ATOMISATION_COLUMNS` in kcal/mol.
RAW_COLUMNS = (
    *("A", "B", "C", "mu", "alpha", "homo", "lumo", "gap", "r2", "zpve"),
    *("u0", "u298", "h298", "g298", "cv"),
)
ENERGIES = ("u0", "u298", "h298", "g298")
ATOMISATION_COLUMNS = tuple(f"{energy}_atom" for energy in ENERGIES)

# The factors PyG and MoleculeNet use: other roundings would move every target.
_HARTREE_IN_EV = 27.211386246
_KCAL_PER_MOL_IN_EV = 0.04336414
_HARTREE_IN_KCAL_PER_MOL = 627.509

#: Energies of the free atoms in Ha, from the official atomref.txt: one row an
#: element, one column each of `ENERGIES`.
ATOM_ENERGIES = np.array(
    [
        [-0.500273, -0.498857, -0.497912, -0.510927],
        [-37.846772, -37.845355, -37.844411, -37.861317],
        [-54.583861, -54.582445, -54.581501, -54.598897],
        [-75.064579, -75.063163, -75.062219, -75.079532],
        [-99.718730, -99.717314, -99.716370, -99.733544],
    ]
)


@dataclass(frozen=True)
class Target:
    """One column of ``data.y``: its name, its position, its unit, what it is."""

    name: str
    column: int
    unit: str
    description: str


_TABLE = (
    ("mu", "D", "dipole moment"),
    ("alpha", "a0³", "isotropic polarizability"),
    ("homo", "eV", "energy of the highest occupied molecular orbital"),
    ("lumo", "eV", "energy of the lowest unoccupied molecular orbital"),
    ("gap", "eV", "gap between HOMO and LUMO"),
    ("r2", "a0²", "electronic spatial extent"),
    ("zpve", "eV", "zero-point vibrational energy"),
    ("u0", "eV", "internal energy at 0 K"),
    ("u298", "eV", "internal energy at 298.15 K"),
    ("h298", "eV", "enthalpy at 298.15 K"),
    ("g298", "eV", "free energy at 298.15 K"),
    ("cv", "cal/(mol K)", "heat capacity at 298.15 K"),
    ("u0_atom", "eV", "atomisation energy at 0 K"),
    ("u298_atom", "eV", "atomisation energy at 298.15 K"),
    ("h298_atom", "eV", "atomisation enthalpy at 298.15 K"),
    ("g298_atom", "eV", "atomisation free energy at 298.15 K"),
    ("A", "GHz", "rotational constant about the first axis"),
    ("B", "GHz", "rotational constant about the second axis"),
    ("C", "GHz", "rotational constant about the third axis"),
)

#: The targets by name, in the column order of PyG's own QM9.
TARGETS: Mapping[str, Target] = MappingProxyType(
    {
        name: Target(name, column, unit, description)
        for column, (name, unit, description) in enumerate(_TABLE)
    }
)


def find_target(target: int | str) -> Target:
    """Return a target by name or by column.

    Raises:
        ValueError: if there is no such target.
    """
    if isinstance(target, str) and target in TARGETS:
        return TARGETS[target]
    # NumPy's integers are no `int`.
    if isinstance(target, Integral) and 0 <= target < len(TARGETS):
        return list(TARGETS.values())[int(target)]
    raise ValueError(
        f"target: expected a column 0..{len(TARGETS) - 1} or one of "
        f"{', '.join(TARGETS)}; got {target!r}"
    )


def atom_references(target: Target) -> NDArray[np.float64]:
    """Return the energy in eV of one free atom of each of `ELEMENTS` (else zero)."""
    if target.name not in ENERGIES:
        return np.zeros(len(ELEMENTS))
    return ATOM_ENERGIES[:, ENERGIES.index(target.name)] * _HARTREE_IN_EV


def add_atomisation(
    raw: NDArray[np.float64], composition: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Append the four atomisation energies, as MoleculeNet's CSV defines them.

    Args:
        raw: ``[num_molecules, 15]`` in the order of `RAW_COLUMNS`.
        composition: ``[num_molecules, 5]`` atoms of each of `ELEMENTS`.

    Returns:
        ``[num_molecules, 19]``.
    """
    columns = [RAW_COLUMNS.index(energy) for energy in ENERGIES]
    bound = raw[:, columns] - composition @ ATOM_ENERGIES
    return np.concatenate((raw, bound * _HARTREE_IN_KCAL_PER_MOL), axis=1)


def to_pyg_units(raw: NDArray[np.float64]) -> NDArray[np.float64]:
    """Reorder ``[num_molecules, 19]`` raw columns into PyG's columns and units."""
    names = (*RAW_COLUMNS, *ATOMISATION_COLUMNS)
    scale = dict.fromkeys(names, 1.0)
    scale |= {name: _HARTREE_IN_EV for name in names if TARGETS[name].unit == "eV"}
    scale |= dict.fromkeys(ATOMISATION_COLUMNS, _KCAL_PER_MOL_IN_EV)
    columns = [names.index(name) for name in TARGETS]
    return raw[:, columns] * np.array([scale[name] for name in TARGETS])
