import numpy as np
import pytest

from pyg_setops.datasets.qm9_raw.npz import read_npz
from pyg_setops.datasets.qm9_raw.sdf import read_sdf
from pyg_setops.datasets.qm9_raw.xyz import read_xyz

pytest.importorskip("rdkit")


def edges(molecules):
    pairs = zip(molecules.bond_owner.tolist(), molecules.bonds.tolist(), strict=True)
    return sorted((owner, *bond) for owner, bond in pairs)


def test_agrees_with_the_genuine_sdf(xyz, sdf_folder, compact, tmp_path):
    texts, write = xyz
    # An archive need not be sorted.
    write(tmp_path / "xyz", dict(sorted(texts.items(), reverse=True)))
    ours, compared = read_xyz(tmp_path / "xyz"), read_sdf(sdf_folder)
    for name in ("number", "num_atoms", "z", "num_bonds"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(compared, name))
    np.testing.assert_allclose(ours.pos, compared.pos, atol=1e-9)
    np.testing.assert_allclose(ours.y, compared.y, rtol=1e-8, atol=1e-8)
    assert edges(ours) == edges(compared)
    assert ours.smiles == read_npz(compact).smiles


def test_leaves_out_the_uncharacterized(xyz, tmp_path):
    texts, write = xyz
    write(tmp_path, {58: "not even read", **texts})
    assert len(read_xyz(tmp_path)) == 21


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("C\t-127", "Si\t-127", "gdb_1 has an unknown atom"),
        ("\t13.21", "\tnan", "gdb_1 has a NaN"),
        ("\t13.21", "", "it lacks columns"),
        ("\t13.21", "\tword", "could not convert string to float: 'word'"),
        ("5\ngdb 1", "50\ngdb 1", "cannot read the record"),
        ("C\t-127.*^-4", "C", "cannot read the record"),
        ("\nC\tC\t\n", "\nN\tN\t\n", "does not spell the heavy atoms"),
    ],
)
def test_refuses_bad_records(xyz, tmp_path, old, new, message):
    texts, write = xyz
    assert old in texts[1]
    write(tmp_path, texts | {1: texts[1].replace(old, new, 1)})
    with pytest.raises(ValueError, match=rf"dsgdb9nsd\.xyz\.tar\.bz2: .*{message}"):
        read_xyz(tmp_path)


@pytest.mark.parametrize("size", [0, 200, -10])
def test_refuses_a_truncated_archive(xyz, tmp_path, size):
    texts, write = xyz
    write(tmp_path, texts)
    path = tmp_path / "dsgdb9nsd.xyz.tar.bz2"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ValueError, match=r"not a whole \.tar\.bz2"):
        read_xyz(tmp_path)


def test_refuses_an_empty_archive(xyz, tmp_path):
    _, write = xyz
    write(tmp_path, {})
    with pytest.raises(ValueError, match="at least one molecule"):
        read_xyz(tmp_path)
