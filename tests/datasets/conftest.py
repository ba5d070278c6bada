import http.server
import re
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

DATA = Path(__file__).parent / "data"
RULE = "=" * 40


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
