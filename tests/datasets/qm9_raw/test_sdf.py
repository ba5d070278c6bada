import numpy as np
import pytest

from pyg_setops.datasets.qm9_raw.npz import read_npz
from pyg_setops.datasets.qm9_raw.sdf import read_sdf

pytest.importorskip("rdkit")


def by_pair(molecules):
    pairs = zip(molecules.bond_owner.tolist(), molecules.bonds.tolist(), strict=True)
    return {(owner, i, j): order for owner, (i, j, order) in pairs}


def test_genuine_records_agree_with_the_compact_layout(sdf_folder, compact):
    ours, compared = read_sdf(sdf_folder), read_npz(compact)
    for name in ("number", "num_atoms", "z", "num_bonds"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(compared, name))
    np.testing.assert_allclose(ours.pos, compared.pos, atol=1e-9)
    np.testing.assert_allclose(ours.y, compared.y, rtol=1e-8, atol=1e-8)
    assert by_pair(ours) == by_pair(compared)
    assert ours.smiles[0] == "[H]C([H])([H])[H]"


def test_leaves_out_the_uncharacterized(sdf_folder):
    path = sdf_folder / "uncharacterized.txt"
    path.write_text(path.read_text().replace("      58", "       5"))
    table = sdf_folder / "gdb9.sdf.csv"
    rows = table.read_text().splitlines()
    rows[5] = "gdb_5" + ",nan" * 19
    table.write_text("\n".join(rows))
    numbers = read_sdf(sdf_folder).number.tolist()
    assert numbers == [number for number in range(1, 22) if number != 5]


def cut(name, size):
    def change(folder):
        path = folder / name
        path.write_bytes(path.read_bytes()[:size])

    return change


def replace(name, old, new):
    def change(folder):
        path = folder / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (cut("gdb9.sdf", 9000), r"molecules, the table 21; one of them is truncated"),
        (cut("gdb9.sdf", -40), r"record 21 is not a readable gdb_21"),
        (cut("gdb9.sdf", 0), r"truncated"),
        (cut("gdb9.sdf.csv", 3000), r"line 16 has \d+ columns instead of 20"),
        (cut("gdb9.sdf.csv", 0), r"gdb9\.sdf\.csv: expected the header mol_id,A,B"),
        (cut("uncharacterized.txt", 150), r"closing line of '='"),
        (cut("uncharacterized.txt", 0), r"closing line of '='"),
        (replace("gdb9.sdf", "gdb_7\n", "gdb_8\n"), r"record 7 is not .* gdb_7"),
        (replace("gdb9.sdf", " C   0", " Cl  0"), r"gdb_1 has an unknown atom"),
        (replace("gdb9.sdf.csv", ",13.21,", ",nan,"), r"gdb_1 has a NaN"),
        (replace("gdb9.sdf.csv", ",homo,lumo,", ",lumo,homo,"), r"expected the header"),
    ],
)
def test_refuses_bad_files(sdf_folder, change, message):
    change(sdf_folder)
    with pytest.raises(ValueError, match=message):
        read_sdf(sdf_folder)
