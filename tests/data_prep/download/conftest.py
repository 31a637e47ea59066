"""A server of files on loopback that can misbehave, and corpora on it."""

import hashlib
import io
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from data_prep.download import transfer
from data_prep.download.registry import CORPORA, Source
from data_prep.files.errors import InputError


class Server(ThreadingHTTPServer):
    """Files by path, and how they are answered.

    ``cut`` is after how many bytes an answer breaks off, once an entry;
    ``asked`` lists the paths and Range headers of all requests.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.asked, self.cut = {}, [], []
        self.has_range, self.has_version = True, True
        self.says_range = True
        self.status, self.kind, self.waits = 200, "application/zip", None

    def address(self, name):
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        server, start = self.server, 0
        content = server.files.get(self.path.strip("/"))
        wanted = self.headers.get("Range")
        server.asked.append((self.path.strip("/"), wanted))
        if content is None or server.status != 200:
            self.send_error(404 if content is None else server.status)
            return
        version = f'"{hashlib.md5(content).hexdigest()}"'
        same = self.headers.get("If-Range", version) == version
        if wanted and server.has_range and same:
            start = int(wanted[len("bytes=") : -1])
        if start and start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            begin = start if server.says_range else 0
            end = f"{len(content) - 1}/{len(content)}"
            self.send_header("Content-Range", f"bytes {begin}-{end}")
        if server.has_version:
            self.send_header("ETag", version)
        self.send_header("Content-Type", server.kind)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if server.waits is not None:
            server.waits.wait(10)
        stop = start + server.cut.pop(0) if server.cut else len(content)
        self.wfile.write(content[start:stop])


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(transfer, "REST_S", 0.0)
    monkeypatch.setattr(transfer, "_BLOCK", 1 << 10)
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def zipped():
    """Zip archive of a folder's files, below the folder of ESC-50's archive."""

    def zipped(folder):
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(p for p in folder.rglob("*") if p.is_file()):
                name = f"ESC-50-master/{path.relative_to(folder)}"
                archive.write(path, name)
        return content.getvalue()

    return zipped


@pytest.fixture
def serve(server, monkeypatch):
    """Put an archive on the server, in place of ESC-50's; with its checksum if
    asked for."""

    def serve(content, has_checksum=True, **changes):
        server.files["ESC-50.zip"] = content
        md5 = hashlib.md5(content).hexdigest()
        checksum = f"md5:{md5}" if has_checksum else ""
        sources = [Source(server.address("ESC-50.zip"), 0.0, checksum)]
        corpus = replace(CORPORA["esc50"], sources=sources, **changes)
        monkeypatch.setitem(CORPORA, "esc50", corpus)
        return content

    return serve


@pytest.fixture
def served(serve, zipped, tmp_path):
    """Serve a small archive and a preparation that counts its files:
    ``served(has_checksum=True, version=b"1")``."""

    def count(root, out):
        n_files = len(list(Path(root).iterdir()))
        Path(out, "recordings.csv").write_text(f"files\n{n_files}\n")

    def served(has_checksum=True, version=b"1"):
        folder = tmp_path / "served"
        folder.mkdir(exist_ok=True)
        noise = np.random.default_rng(version[0]).bytes(20_000)
        (folder / "noise.wav").write_bytes(noise)
        content = zipped(folder)
        return serve(content, has_checksum, prepare=count)

    return served


@pytest.fixture
def refused():
    """The line of an ``InputError``: ``refused(function, *arguments)``."""

    def refused(function, *arguments):
        with pytest.raises(InputError) as caught:
            function(*arguments)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return refused
