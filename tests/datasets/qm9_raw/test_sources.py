import sys

import pytest

from pyg_setops.datasets.checksum import ChecksumError
from pyg_setops.datasets.download import RemoteFile
from pyg_setops.datasets.qm9_raw import sources

pytest.importorskip("rdkit")


def test_names_the_two_official_files():
    assert [file.name for file in sources.OFFICIAL] == list(sources.xyz.FILES)
    assert all(len(file.sha256) == 64 for file in sources.OFFICIAL)


def test_downloads_what_the_reader_reads(official, tmp_path):
    folder = sources.download_official(tmp_path / "raw")
    assert len(sources.read_raw(folder)) == 21


def test_a_wrong_file_is_refused(official, tmp_path):
    official.files["/uncharacterized.txt"] += b"58"
    with pytest.raises(ChecksumError, match=r"uncharacterized\.txt\.part: expected"):
        sources.download_official(tmp_path / "raw")
    assert [p.name for p in (tmp_path / "raw").iterdir()] == ["dsgdb9nsd.xyz.tar.bz2"]


def test_offline_it_says_what_to_do(tmp_path, monkeypatch):
    # Nothing listens on port 1.
    dead = RemoteFile("a.bz2", "http://127.0.0.1:1/a", "0" * 64)
    monkeypatch.setattr(sources, "OFFICIAL", (dead,))
    with pytest.raises(ConnectionError) as caught:
        sources.download_official(tmp_path)
    message = str(caught.value)
    assert f"tried to download http://127.0.0.1:1/a to {tmp_path / 'a.bz2'}" in message
    assert "a.bz2 from http://127.0.0.1:1/a" in message
    assert "raw=" in message


def test_without_rdkit_nothing_is_downloaded(official, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rdkit", None)
    with pytest.raises(ImportError, match=r"pyg-setops\[chem\]"):
        sources.download_official(tmp_path / "raw")
    assert official.requests == []


def test_read_raw_recognises_every_copy(sdf_folder, compact):
    assert len(sources.read_raw(sdf_folder)) == len(sources.read_raw(compact)) == 21


@pytest.mark.parametrize("missing", ["gdb9.sdf", "uncharacterized.txt"])
def test_read_raw_says_what_it_expects(sdf_folder, missing):
    (sdf_folder / missing).unlink()
    with pytest.raises(FileNotFoundError, match=r"gdb9\.sdf, .* or with dsgdb9nsd"):
        sources.read_raw(sdf_folder)
