import numpy as np
import pytest

from pyg_setops.datasets.qm9_raw.targets import (
    ATOMISATION_COLUMNS,
    RAW_COLUMNS,
    TARGETS,
    add_atomisation,
    atom_references,
    find_target,
    to_pyg_units,
)


def test_targets_are_pygs_19_columns():
    published = ["mu", "alpha", "homo", "lumo", "gap", "r2", "zpve"]
    published += ["u0", "u298", "h298", "g298", "cv"]
    others = ["u0_atom", "u298_atom", "h298_atom", "g298_atom", "A", "B", "C"]
    assert list(TARGETS) == published + others
    assert [target.column for target in TARGETS.values()] == list(range(19))
    assert TARGETS["gap"].unit == "eV"
    with pytest.raises(TypeError):
        TARGETS["mu"] = None


def test_units_and_order():
    # Every raw value is its own column number, so that a swap shows.
    raw = np.arange(19.0)[None]
    converted = dict(zip(TARGETS, to_pyg_units(raw)[0], strict=True))
    for name in ("A", "B", "C", "mu", "alpha", "r2", "cv"):
        assert converted[name] == RAW_COLUMNS.index(name)
    for name in ("homo", "lumo", "gap", "zpve", "u0", "u298", "h298", "g298"):
        expected = RAW_COLUMNS.index(name) * 27.211386
        np.testing.assert_allclose(converted[name], expected, rtol=1e-7)
    for position, name in enumerate(ATOMISATION_COLUMNS):
        np.testing.assert_allclose(
            converted[name], (15 + position) * 0.0433641, rtol=1e-6
        )


def test_atomisation_agrees_with_the_genuine_table(arrays, sdf_folder):
    """The official columns hold kcal/mol that MoleculeNet computed itself."""
    genuine = np.genfromtxt(sdf_folder / "gdb9.sdf.csv", delimiter=",", skip_header=1)
    owner = np.repeat(np.arange(21), arrays["n_atoms"])
    composition = np.zeros((21, 5), dtype=np.int64)
    for molecule, z in zip(owner, arrays["z"], strict=True):
        composition[molecule, {1: 0, 6: 1, 7: 2, 8: 3, 9: 4}[int(z)]] += 1
    raw = add_atomisation(arrays["y"], composition)
    np.testing.assert_allclose(raw, genuine[:, 1:], rtol=1e-8, atol=1e-8)


def test_atom_references_are_hartree_energies_in_ev():
    carbon = atom_references(TARGETS["u0"])[1]
    np.testing.assert_allclose(carbon, -37.846772 * 27.211386246, rtol=1e-12)
    assert not atom_references(TARGETS["cv"]).any()


def test_find_target_takes_names_and_columns():
    assert find_target("homo") is find_target(2)
    assert find_target(np.int64(2)) is find_target(2)


@pytest.mark.parametrize("wrong", ["HOMO", 19, -1, 2.0])
def test_find_target_lists_what_there_is(wrong):
    with pytest.raises(ValueError, match=r"column 0\.\.18 or one of mu, alpha"):
        find_target(wrong)
