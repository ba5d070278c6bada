import pytest

from pyg_setops.datasets import embedded as module
from pyg_setops.datasets.checksum import ChecksumError
from pyg_setops.datasets.embedded import embedded, embedded_checksum


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "a.txt").write_text("abc")
    # The test vector of the SHA-2 standard for "abc".
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    (tmp_path / "toy" / "SHA256SUMS").write_text(f"{digest}  a.txt\n")
    monkeypatch.setattr(module, "_FOLDERS", (tmp_path / "absent", tmp_path))
    return tmp_path


def test_finds_the_sample_in_the_first_folder_that_has_it(folder):
    assert embedded("toy", "a.txt") == folder / "toy" / "a.txt"


def test_refuses_a_damaged_sample(folder):
    (folder / "toy" / "a.txt").write_text("ab")
    with pytest.raises(ChecksumError, match=r"a\.txt: expected sha256 ba78.*2 bytes"):
        embedded("toy", "a.txt")


def test_says_where_it_looked(folder):
    with pytest.raises(FileNotFoundError, match=r"toy/b\.txt: looked in .*absent"):
        embedded("toy", "b.txt")


def test_every_sample_of_the_repository_has_its_checksum():
    path = embedded("qm9", "qm9_10k.npz")
    assert len(embedded_checksum(path)) == 64
    assert (path.parent / "README.md").is_file()
