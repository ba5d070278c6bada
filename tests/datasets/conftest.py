import hashlib
import http.server
import io
import re
import shutil
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest

from pyg_setops.datasets.download import RemoteFile
from pyg_setops.datasets.qm9_raw import sources

DATA = Path(__file__).parent / "data"
RULE = "=" * 40
SYMBOLS = {1: "H", 6: "C", 7: "N", 8: "O", 9: "F"}


def uncharacterized(*numbers: int) -> str:
    rows = [f"{number:8d}  N=C1NC=CO1  x  y  1.588" for number in numbers]
    return "\n".join(["", "Title", RULE, "# Index  SMILES", RULE, *rows, RULE, ""])


@pytest.fixture
def compact() -> Path:
    """The first 21 molecules in the compact layout."""
    return DATA / "first21.npz"


@pytest.fixture
def arrays(compact):
    with np.load(compact, allow_pickle=False) as archive:
        return dict(archive)


@pytest.fixture
def sdf_folder(tmp_path) -> Path:
    """The first 21 molecules in MoleculeNet's files; none of them is left out."""
    folder = tmp_path / "sdf"
    shutil.copytree(DATA / "first21", folder)
    (folder / "uncharacterized.txt").write_text(uncharacterized(58, 61))
    return folder


def xyz_texts(arrays) -> dict[int, str]:
    """The molecules in the authors' text format, by number."""
    texts, first = {}, 0
    smiles = arrays["smiles_utf8"].tobytes().decode().split("\n")
    for row, number in enumerate(arrays["idx"].tolist()):
        atoms = slice(first, first + int(arrays["n_atoms"][row]))
        first = atoms.stop
        lines = [str(arrays["n_atoms"][row])]
        targets = "\t".join(repr(float(value)) for value in arrays["y"][row])
        lines.append(f"gdb {number}\t{targets}\t")
        for z, pos in zip(arrays["z"][atoms], arrays["pos_1e4"][atoms], strict=True):
            # Mathematica's exponents, which Python does not read.
            words = [f"{int(value)}.*^-4" for value in pos]
            lines.append("\t".join([SYMBOLS[int(z)], *words, "-0.5"]))
        lines += ["1341.3\t1562.7", f"{smiles[row]}\t{smiles[row]}\t", "InChI=\tInChI="]
        texts[number] = "\n".join(lines) + "\n"
    return texts


def write_xyz(folder: Path, texts: dict[int, str]) -> None:
    folder.mkdir(exist_ok=True)
    with tarfile.open(folder / "dsgdb9nsd.xyz.tar.bz2", "w:bz2") as archive:
        for number, text in texts.items():
            member = tarfile.TarInfo(f"dsgdb9nsd_{number:06d}.xyz")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    (folder / "uncharacterized.txt").write_text(uncharacterized(58, 61))


@pytest.fixture
def xyz(arrays):
    """The first 21 molecules as texts, and the function that archives them."""
    return xyz_texts(arrays), write_xyz


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `files`, with Range unless told otherwise; the faults are settable."""

    def do_GET(self):
        server = self.server
        requested = self.headers.get("Range")
        server.requests.append((self.path, requested))
        body = server.files[self.path]
        start = 0
        if requested and server.resumes:
            start = int(re.fullmatch(r"bytes=(\d+)-", requested)[1])
            if start >= len(body):
                self.send_error(416)
                return
        self.send_response(server.status or (206 if start else 200))
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        self.wfile.write(body[start : server.breaks_at])

    def log_message(self, *arguments):
        pass


class Server(http.server.ThreadingHTTPServer):
    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {}
        self.requests = []
        self.resumes = True
        self.breaks_at = None
        self.status = None

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


@pytest.fixture
def server():
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def official(xyz, server, tmp_path, monkeypatch):
    """A local server that stands in for figshare, with the first 21 molecules."""
    texts, write = xyz
    write(tmp_path / "published", texts)
    remotes = []
    for path in sorted((tmp_path / "published").iterdir()):
        body = path.read_bytes()
        server.files[f"/{path.name}"] = body
        digest = hashlib.sha256(body).hexdigest()
        remotes.append(RemoteFile(path.name, server.url(f"/{path.name}"), digest))
    monkeypatch.setattr(sources, "OFFICIAL", tuple(remotes))
    return server
