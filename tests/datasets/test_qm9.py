import pickle
import shutil
import sys

import numpy as np
import pytest
import torch
from torch_geometric.datasets import QM9 as PyGQM9  # noqa: N811
from torch_geometric.loader import DataLoader

import pyg_setops.datasets
from pyg_setops.datasets import QM9
from pyg_setops.datasets import embedded as embedded_module
from pyg_setops.datasets.checksum import ChecksumError
from pyg_setops.datasets.qm9 import _identify_callable, split_indices

# Mean and deviation over all 130,831 molecules in PyG's units, as published by its
# users; the sample must agree within its own error.
FULL_STATISTICS = {
    "mu": (2.673, 1.503),
    "alpha": (75.281, 8.174),
    "homo": (-6.536, 0.598),
    "lumo": (0.322, 1.275),
    "gap": (6.858, 1.284),
    "r2": (1189.4, 280.5),
    "zpve": (4.057, 0.902),
    "cv": (31.62, 4.068),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("qm9")


@pytest.fixture(scope="module")
def sample(root):
    return QM9(root)


def small(molecule):
    return molecule.num_nodes < 12


def few(molecule):
    return molecule.num_nodes < 8


def with_mark(molecule):
    molecule.mark = molecule.idx.clone()
    return molecule


def processed(root):
    return [path for path in root.rglob("*") if path.name.endswith("data.pt")]


def partial(root):
    """Whatever else is left of a processed file."""
    return list(root.rglob(".*"))


class TestSample:
    def test_layout(self, sample):
        assert repr(sample) == "QM9(10000)"
        molecule = sample[3]
        n, e = molecule.num_nodes, molecule.num_edges
        shapes = {
            key: tuple(molecule[key].shape)
            for key in ("x", "z", "pos", "y", "edge_index", "edge_attr", "idx")
        }
        assert shapes == {
            "x": (n, 11),
            "z": (n,),
            "pos": (n, 3),
            "y": (1, 19),
            "edge_index": (2, e),
            "edge_attr": (e, 4),
            "idx": (1,),
        }
        assert molecule.z.dtype == torch.int64
        assert molecule.pos.dtype == molecule.y.dtype == torch.float32
        assert molecule.name == f"gdb_{molecule.idx.item() + 1}"
        assert isinstance(molecule.smiles, str)
        assert molecule.is_undirected()

    @pytest.mark.parametrize("target", FULL_STATISTICS)
    def test_statistics_agree_with_the_whole(self, sample, target):
        mean, std = FULL_STATISTICS[target]
        # Five standard errors of a mean over 10,000, and 5% for the deviation.
        assert abs(sample.mean(target) - mean) < 5 * std / 100
        assert abs(sample.std(target) / std - 1) < 0.05

    def test_split_is_the_published_rule(self, sample):
        np.random.seed(0)
        order = np.random.permutation(10_000)
        parts = sample.split()
        assert [len(part) for part in parts] == [7643, 1357, 1000]
        chosen = torch.cat([sample.idx[list(part.indices())] for part in parts])
        assert torch.equal(chosen, sample.idx[order])

    def test_split_needs_every_molecule(self, sample):
        with pytest.raises(ValueError, match=r"all 10,000 molecules.* has 9,999"):
            sample[1:].split()

    def test_split_does_not_depend_on_the_order(self, sample):
        for part, shuffled in zip(
            sample.split(), sample.shuffle().split(), strict=True
        ):
            assert list(shuffled.indices()) == list(part.indices())

    def test_split_refuses_molecules_taken_twice(self, sample):
        with pytest.raises(ValueError, match=r"all 10,000 molecules.* has 9,999"):
            sample[[1, *range(1, 10_000)]].split()

    def test_mean_and_std_are_of_the_selection(self, sample):
        part = sample[[5, 17, 40]]
        values = [float(part[i].y[0, 7]) for i in range(3)]
        assert part.mean("u0") == pytest.approx(np.mean(values), rel=1e-12)
        assert part.std(7) == pytest.approx(np.std(values, ddof=1), rel=1e-12)

    def test_atomref_equals_pygs(self, sample):
        for target in QM9.targets.values():
            ours = sample.atomref(target.name)
            theirs = PyGQM9.atomref(sample, target.column)
            if theirs is None:
                assert ours is None
            else:
                torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-6)

    def test_targets_are_on_the_class(self):
        assert list(QM9.targets)[:3] == ["mu", "alpha", "homo"]
        assert pyg_setops.datasets.classes == pyg_setops.datasets.__all__

    def test_transform_acts_at_access(self, root, sample):
        marked = QM9(root, transform=with_mark)
        assert marked[2].mark == sample[2].idx
        assert "mark" not in sample[2]
        assert len(processed(root)) == 1

    def test_batches_and_pickles(self, sample):
        batch = next(iter(DataLoader(sample[:4], batch_size=4)))
        assert batch.y.shape == (4, 19)
        assert len(batch.smiles) == 4
        copy = pickle.loads(pickle.dumps(sample[:4]))
        assert copy.split.__self__.variant == "sample"
        assert torch.equal(copy[3].pos, sample[3].pos)

    def test_default_root_is_the_cache(self, root, sample, tmp_path, monkeypatch):
        monkeypatch.setenv("PYG_SETOPS_HOME", str(tmp_path))
        assert len(QM9()) == 10_000
        assert len(processed(tmp_path / "QM9")) == 1

    def test_needs_no_rdkit(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "rdkit", None)
        assert len(QM9(tmp_path)) == 10_000


class TestLocalCopy:
    def test_equals_pygs_class(self, sdf_folder, tmp_path):
        ours = QM9(tmp_path / "ours", "full", raw=sdf_folder)
        shutil.copytree(sdf_folder, tmp_path / "theirs" / "raw")
        theirs = PyGQM9(tmp_path / "theirs")
        assert len(ours) == len(theirs) == 21
        for a, b in zip(ours, theirs, strict=True):
            assert set(a.keys()) == set(b.keys())
            for key in ("x", "z", "pos", "edge_index", "edge_attr", "idx"):
                assert a[key].dtype == b[key].dtype, key
                assert torch.equal(a[key], b[key]), key
            assert (a.name, a.smiles) == (b.name, b.smiles)
            # PyG converts in float32, we in float64: they may round differently.
            torch.testing.assert_close(a.y, b.y, rtol=2e-7, atol=0)

    def test_subtracts_atom_references(self, compact, tmp_path):
        plain = QM9(tmp_path, "full", raw=compact)
        relative = QM9(tmp_path, "full", raw=compact, subtract_atomrefs=True)
        for a, b in zip(plain, relative, strict=True):
            expected = a.y.double().clone()
            for name in ("u0", "u298", "h298", "g298"):
                column = QM9.targets[name].column
                for z in a.z.tolist():
                    expected[0, column] -= plain.atomref(name)[z, 0].double()
            torch.testing.assert_close(b.y.double(), expected, rtol=0, atol=1e-3)
            # What remains is the energy that binds the atoms.
            torch.testing.assert_close(b.y[:, 7:11], b.y[:, 12:16], rtol=0, atol=1e-4)

    def test_filters_and_transforms_before_saving(self, compact, tmp_path):
        arguments = {"root": tmp_path, "variant": "full", "raw": compact}
        filtered = QM9(**arguments, pre_filter=few, pre_transform=with_mark)
        assert all(m.num_nodes < 8 and m.mark == m.idx for m in filtered)
        # Neither another filter nor none may find the filtered molecules.
        assert len(QM9(**arguments, pre_filter=small)) > len(filtered)
        assert len(QM9(**arguments)) == 21
        assert len(processed(tmp_path)) == 3

    def test_an_edited_lambda_is_another_filter(self, compact, tmp_path):
        arguments = {"root": tmp_path, "variant": "full", "raw": compact}
        one = QM9(**arguments, pre_filter=lambda molecule: molecule.num_nodes < 6)
        two = QM9(**arguments, pre_filter=lambda molecule: molecule.num_nodes < 9)
        assert len(one) < len(two) < 21

    @pytest.mark.parametrize(
        "source",
        [
            "lambda molecule: any(z == {} for z in molecule.z.tolist())",
            "lambda molecule, size={}: molecule.num_nodes < size",
            "lambda molecule, *, size={}: molecule.num_nodes < size",
        ],
    )
    def test_an_edit_anywhere_in_a_filter_makes_another(self, source):
        # Evaluated, they are of one name and line, as before and after an edit.
        one, other = (eval(source.format(number)) for number in (6, 9))
        assert _identify_callable(one) != _identify_callable(other)

    def test_a_filter_is_the_same_in_every_process(self):
        def chosen(molecule):
            return molecule.idx.item() in {0, 8}

        # Numbers that collide lie in the order of arrival, as strings do at random.
        names = []
        for members in ([0, 8], [8, 0]):
            chosen.__code__ = chosen.__code__.replace(
                co_consts=(None, frozenset(members))
            )
            names.append(_identify_callable(chosen))
        assert names[0] == names[1]

    def test_a_changed_copy_is_read_again(self, compact, arrays, tmp_path):
        copy = shutil.copy(compact, tmp_path / "copy.npz")
        assert QM9(tmp_path, "full", raw=copy)[0].y[0, 1] == pytest.approx(13.21)
        arrays["y"][0, 4] = 14.0
        np.savez(copy, **arrays)
        assert QM9(tmp_path, "full", raw=copy)[0].y[0, 1] == 14

    def test_force_reload(self, compact, tmp_path):
        QM9(tmp_path, "full", raw=compact)
        (path,) = processed(tmp_path)
        path.write_bytes(b"spoilt")
        assert len(QM9(tmp_path, "full", raw=compact, force_reload=True)) == 21

    @pytest.mark.parametrize("length", [0, 10, 1_000, -10])
    def test_a_file_cut_short_is_made_again(self, compact, tmp_path, length):
        whole = QM9(tmp_path, "full", raw=compact)
        (path,) = processed(tmp_path)
        path.write_bytes(path.read_bytes()[:length])
        again = QM9(tmp_path, "full", raw=compact)
        assert torch.equal(again.y, whole.y)
        assert torch.equal(QM9(tmp_path, "full", raw=compact).y, whole.y)

    def test_the_split_needs_all_molecules(self, compact, tmp_path):
        with pytest.raises(ValueError, match=r"all 130,831 molecules.* has 21 "):
            QM9(tmp_path, "full", raw=compact).split()

    def test_folders_need_rdkit(self, sdf_folder, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "rdkit", None)
        with pytest.raises(ImportError, match=r"pip install 'pyg-setops\[chem\]'"):
            QM9(tmp_path, "full", raw=sdf_folder)


class TestPublishedSplit:
    def test_equals_the_seeded_permutation(self):
        np.random.seed(0)
        order = np.random.permutation(130_831)
        parts = split_indices(130_831)
        assert [len(part) for part in parts] == [100_000, 17_748, 13_083]
        np.testing.assert_array_equal(np.concatenate(parts), order)


class TestBadInput:
    def test_refuses_wrong_arguments(self, tmp_path):
        with pytest.raises(ValueError, match=r"variant: expected .* got 'whole'"):
            QM9(tmp_path, variant="whole")
        with pytest.raises(ValueError, match="raw: only variant='full' reads a copy"):
            QM9(tmp_path, raw=tmp_path)
        with pytest.raises(FileNotFoundError, match=r"raw: expected a compact \.npz"):
            QM9(tmp_path, "full", raw=tmp_path / "absent")

    @pytest.mark.parametrize(
        ("key", "position", "value", "message"),
        [
            ("y", (4, 5), np.nan, "gdb_5 has a NaN or infinite target"),
            ("z", 3, 17, "gdb_1 has an unknown atom"),
        ],
    )
    def test_bad_values_leave_no_cache(
        self, arrays, tmp_path, key, position, value, message
    ):
        arrays[key][position] = value
        np.savez(tmp_path / "bad.npz", **arrays)
        with pytest.raises(ValueError, match=message):
            QM9(tmp_path / "root", "full", raw=tmp_path / "bad.npz")
        assert processed(tmp_path) == partial(tmp_path) == []

    def test_a_truncated_copy_leaves_no_cache(self, compact, tmp_path):
        (tmp_path / "short.npz").write_bytes(compact.read_bytes()[:-500])
        with pytest.raises(ValueError, match=r"short\.npz is not a whole"):
            QM9(tmp_path / "root", "full", raw=tmp_path / "short.npz")
        assert processed(tmp_path) == partial(tmp_path) == []

    def test_a_damaged_sample_leaves_no_cache(self, tmp_path, monkeypatch):
        genuine = embedded_module.embedded("qm9", "qm9_10k.npz").parent
        copy = shutil.copytree(genuine, tmp_path / "embedded" / "qm9")
        (copy / "qm9_10k.npz").write_bytes(b"cut")
        monkeypatch.setattr(embedded_module, "_FOLDERS", (tmp_path / "embedded",))
        with pytest.raises(ChecksumError, match=r"qm9_10k\.npz: expected sha256"):
            QM9(tmp_path / "root")
        assert processed(tmp_path) == partial(tmp_path) == []

    def test_a_killed_write_leaves_no_cache(self, compact, tmp_path, monkeypatch):
        def killed(content, path):
            path.write_bytes(b"half")
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(torch, "save", killed)
            with pytest.raises(KeyboardInterrupt):
                QM9(tmp_path, "full", raw=compact)
        assert processed(tmp_path) == partial(tmp_path) == []
        assert len(QM9(tmp_path, "full", raw=compact)) == 21

    def test_a_filter_must_keep_something(self, compact, tmp_path):
        with pytest.raises(ValueError, match="pre_filter: expected it to keep"):
            QM9(tmp_path, "full", raw=compact, pre_filter=lambda molecule: False)


class TestDownload:
    def test_downloads_once(self, official, compact, tmp_path):
        ours = QM9(tmp_path / "root", "full")
        again = QM9(tmp_path / "root", "full")
        assert len(official.requests) == 2
        compared = QM9(tmp_path / "root", "full", raw=compact)
        for a, b, c in zip(ours, again, compared, strict=True):
            for key in ("x", "z", "pos", "y", "edge_index", "edge_attr"):
                assert torch.equal(a[key], b[key]), key
                assert torch.equal(a[key], c[key]), key

    def test_resumes(self, official, tmp_path):
        official.breaks_at = 700
        with pytest.raises(ConnectionError, match=r"after 700 of [\s\S]* raw="):
            QM9(tmp_path / "root", "full")
        assert processed(tmp_path) == []
        official.breaks_at = None
        assert len(QM9(tmp_path / "root", "full")) == 21
        assert official.requests[1] == ("/dsgdb9nsd.xyz.tar.bz2", "bytes=700-")

    def test_a_wrong_checksum_leaves_no_cache(self, official, tmp_path):
        official.files["/dsgdb9nsd.xyz.tar.bz2"] += b"x"
        with pytest.raises(ChecksumError, match=r"bz2\.part: expected sha256"):
            QM9(tmp_path / "root", "full")
        assert processed(tmp_path) == []
        assert list((tmp_path / "root" / "raw").iterdir()) == []
