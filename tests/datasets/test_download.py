import hashlib
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from pyg_setops.datasets import download as download_module
from pyg_setops.datasets.checksum import ChecksumError
from pyg_setops.datasets.download import RemoteFile, download

BODY = bytes(range(256)) * 1000


@pytest.fixture
def remote(server):
    server.files["/data"] = BODY
    digest = hashlib.sha256(BODY).hexdigest()
    return RemoteFile("data.bin", server.url("/data"), digest)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_fetches_the_file_once(remote, server, tmp_path):
    path = download(remote, tmp_path / "new")
    assert path == tmp_path / "new" / "data.bin"
    assert contents(path.parent) == {"data.bin": BODY}
    download(remote, tmp_path / "new")
    assert server.requests == [("/data", None)]


def test_resumes_after_a_broken_connection(remote, server, tmp_path):
    server.breaks_at = 100_000
    with pytest.raises(OSError, match=r"broke after 100,000 of 256,000 bytes"):
        download(remote, tmp_path)
    assert contents(tmp_path) == {"data.bin.part": BODY[:100_000]}
    server.breaks_at = None
    download(remote, tmp_path)
    assert server.requests[1] == ("/data", "bytes=100000-")
    assert contents(tmp_path) == {"data.bin": BODY}


def test_starts_anew_where_the_server_cannot_resume(remote, server, tmp_path):
    server.resumes = False
    (tmp_path / "data.bin.part").write_bytes(BODY[:500])
    download(remote, tmp_path)
    assert contents(tmp_path) == {"data.bin": BODY}


def test_all_who_call_at_once_wait_for_one(remote, server, tmp_path, monkeypatch):
    def write_slowly(*arguments):
        time.sleep(0.1)
        write(*arguments)

    write = download_module._write
    monkeypatch.setattr(download_module, "_write", write_slowly)
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(download, [remote] * 4, [tmp_path] * 4))
    assert paths == [tmp_path / "data.bin"] * 4
    assert contents(tmp_path) == {"data.bin": BODY}
    assert len(server.requests) == 1


def test_finishes_a_part_that_lacks_nothing(remote, server, tmp_path):
    (tmp_path / "data.bin.part").write_bytes(BODY)
    download(remote, tmp_path)
    assert contents(tmp_path) == {"data.bin": BODY}


@pytest.mark.parametrize("part", [b"", b"other", b"x" * len(BODY) * 2])
def test_removes_what_is_not_the_published_file(remote, server, tmp_path, part):
    (tmp_path / "data.bin.part").write_bytes(part)
    server.files["/data"] = b"y" * len(BODY)
    with pytest.raises(ChecksumError, match=f"expected sha256 {remote.sha256}"):
        download(remote, tmp_path)
    assert contents(tmp_path) == {}
    server.files["/data"] = BODY
    download(remote, tmp_path)
    assert contents(tmp_path) == {"data.bin": BODY}


def test_leaves_a_wrong_file_of_the_user_alone(remote, server, tmp_path):
    (tmp_path / "data.bin").write_bytes(b"mine")
    with pytest.raises(ChecksumError, match=r"data\.bin: expected sha256"):
        download(remote, tmp_path)
    assert contents(tmp_path) == {"data.bin": b"mine"}
    assert server.requests == []


def test_refuses_an_answer_without_content(remote, server, tmp_path):
    server.status = 202
    with pytest.raises(OSError, match="the server answered 202"):
        download(remote, tmp_path)
    assert contents(tmp_path) == {}


def test_reports_a_missing_file(remote, server, tmp_path):
    server.status = 404
    with pytest.raises(OSError, match="404"):
        download(remote, tmp_path)
