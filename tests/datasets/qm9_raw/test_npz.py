import numpy as np
import pytest

from pyg_setops.datasets.qm9_raw.npz import read_npz


def test_reads_methane_and_acetylene(compact):
    molecules = read_npz(compact)
    assert molecules.number.tolist() == list(range(1, 22))
    assert molecules.smiles[:4] == ["C", "N", "O", "C#C"]
    assert molecules.z[:5].tolist() == [6, 1, 1, 1, 1]
    np.testing.assert_allclose(molecules.pos[0], [-0.0127, 1.0858, 0.0080])
    # mu, alpha, gap and u0 of the paper, in PyG's units.
    expected = [0.0, 13.21, 0.5048 * 27.211386, -40.47893 * 27.211386]
    np.testing.assert_allclose(molecules.y[0, [0, 1, 4, 7]], expected, rtol=1e-7)
    acetylene = molecules.bonds[molecules.bond_owner == 3]
    assert [0, 1, 3] in acetylene.tolist()


def test_contacts_count_as_single(compact, arrays, tmp_path):
    arrays["bonds"][:, 2] = 0
    np.savez(tmp_path / "contacts.npz", **arrays)
    assert set(read_npz(tmp_path / "contacts.npz").bonds[:, 2]) == {1}


@pytest.mark.parametrize("size", [0, 100, 3000, 5000])
def test_refuses_a_truncated_file(compact, tmp_path, size):
    path = tmp_path / "short.npz"
    path.write_bytes(compact.read_bytes()[:size])
    with pytest.raises(ValueError, match=r"short\.npz is not a whole \.npz"):
        read_npz(path)


def test_refuses_damaged_bytes(compact, tmp_path):
    damaged = bytearray(compact.read_bytes())
    damaged[1000:1100] = bytes(100)
    (tmp_path / "bad.npz").write_bytes(damaged)
    with pytest.raises(ValueError, match=r"bad\.npz"):
        read_npz(tmp_path / "bad.npz")


def test_refuses_a_pickle(tmp_path):
    np.save(tmp_path / "object.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"object\.npy is not a whole \.npz"):
        read_npz(tmp_path / "object.npy")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("smiles_utf8"), r"missing \['smiles_utf8'\]"),
        (lambda a: a.update(y_names=a["y_names"][::-1]), "expected y_names A, B, C"),
        (lambda a: a.update(z=a["z"][:-1]), "n_atoms adds up to 149 atoms, z has 148"),
        (lambda a: a.update(idx=a["idx"][:-1]), "num_atoms: expected 20 rows"),
        (lambda a: a["y"].__setitem__((2, 3), np.nan), "gdb_3 has a NaN"),
        (lambda a: a["z"].__setitem__(0, 14), "gdb_1 has an unknown atom"),
    ],
)
def test_refuses_inconsistent_arrays(arrays, tmp_path, change, message):
    change(arrays)
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(ValueError, match=rf"bad\.npz: .*{message}"):
        read_npz(tmp_path / "bad.npz")
