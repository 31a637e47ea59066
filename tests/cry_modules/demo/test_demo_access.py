"""The page is opened with its token only, and reads its uploads only."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import uuid
from pathlib import Path
from types import SimpleNamespace

import pytest

from cry_modules.demo import uploads as uploads_module
from cry_modules.demo.uploads import Uploads, private_folder
from data_prep.files.errors import InputError
from tests.classifiers import write_model

ADDRESS = r"open http://(127\.0\.0\.1):(\d+)/([\w-]{20,})/ "
NOBODY = 65534
AS_NOBODY = """
import os, sys
os.setgroups([]); os.setgid({0}); os.setuid({0})
for path in sys.argv[1:]:
    try:
        os.listdir(path) if os.path.isdir(path) else open(path)
        print("read", path)
    except PermissionError:
        print("refused")
"""


def test_only_uploads_have_a_name(tmp_path):
    uploads = Uploads(tmp_path / "uploads")
    secret = tmp_path / "secret.wav"
    secret.write_bytes(b"")
    inside = uploads.folder / "other.wav"
    inside.write_bytes(b"")
    for path in (str(secret), str(inside), "http://a.example/a.wav", None, {}):
        with pytest.raises(InputError, match="not an upload of this page"):
            uploads.name_of(path)


def test_folders_of_killed_processes_are_swept(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    killed = tmp_path / "cry_ssl_demo_killed"
    (killed / "uploads/1").mkdir(parents=True)
    (killed / "uploads/1/recording.wav").write_bytes(b"cry")
    elsewhere = tmp_path / "mine"
    elsewhere.mkdir()
    (elsewhere / "file").touch()
    (tmp_path / "cry_ssl_demo_link").symlink_to(elsewhere)
    (tmp_path / "cry_ssl_demo_file").touch()
    with private_folder() as first:
        assert not killed.exists()
        assert first.stat().st_mode & 0o777 == 0o700
        with private_folder() as second:
            assert first.is_dir() and second != first
        assert not second.exists()
    assert not first.exists()
    assert (elsewhere / "file").is_file()


def test_a_folder_of_another_user_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    theirs = tmp_path / "cry_ssl_demo_theirs"
    theirs.mkdir()
    user = os.getuid()
    monkeypatch.setattr(uploads_module.os, "getuid", lambda: user + 1)
    uploads_module._sweep()
    assert theirs.is_dir()


@pytest.fixture
def page(tmp_path):
    """The command's page: ``ask(method, path, body)`` and ``submit(data)``."""
    pytest.importorskip("gradio")
    folder = tmp_path / "tmp"
    folder.mkdir()
    model = write_model(tmp_path / "m")
    process = subprocess.Popen(
        [sys.executable, "-m", "cry_modules.demo", str(model), "--port", "0"],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(folder),
             "PYTHONPATH": "."},
    )  # fmt: skip
    late = threading.Timer(120, process.kill)
    late.start()
    try:
        host, port, token = re.search(
            ADDRESS, process.stdout.readline()
        ).groups()

        def ask(method, path, body=None, **headers):
            server = http.client.HTTPConnection(host, int(port), timeout=30)
            server.request(method, path, body, headers)
            answer = server.getresponse()
            return answer.status, answer.read()

        yield SimpleNamespace(
            ask=ask, token=token, process=process, folder=folder,
        )  # fmt: skip
    finally:
        late.cancel()
        process.kill()
        process.wait()


def submit(page, data):
    """Answer of the page's queue to a recording."""
    root = f"/{page.token}/gradio_api/queue"
    config = json.loads(page.ask("GET", f"/{page.token}/config")[1])
    session = uuid.uuid4().hex
    body = {
        "data": [data],
        "fn_index": config["dependencies"][0]["id"],
        "session_hash": session,
    }
    kind = {"Content-Type": "application/json"}
    status, _ = page.ask("POST", f"{root}/join", json.dumps(body), **kind)
    assert status == 200
    answer = page.ask("GET", f"{root}/data?session_hash={session}")[1]
    return answer.decode()


def send(page, name, content, token=None):
    """Upload a file as a browser does."""
    body = (
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="'
        + name.encode()
        + b'"\r\n\r\n' + content + b"\r\n--x--\r\n"
    )  # fmt: skip
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    token = page.token if token is None else token
    return page.ask("POST", f"/{token}/gradio_api/upload", body, **kind)


@pytest.mark.slow
@pytest.mark.representative
def test_the_page_reads_no_file_but_its_uploads(page, noise, tmp_path):
    secret = noise("secret.wav", seconds=1.0)
    secret.chmod(0o600)
    meta = {"meta": {"_type": "gradio.FileData"}}
    # Without the token, nothing.
    for method, path in (
        ("GET", "/"), ("GET", "/config"), ("GET", "/gradio_api/info"),
        ("POST", "/gradio_api/queue/join"), ("GET", f"/{'x' * 32}/"),
        ("GET", f"/gradio_api/file={secret}"),
    ):  # fmt: skip
        status, body = page.ask(method, path)
        assert status == 403 and b"address that the command printed" in body
    assert send(page, "a.wav", b"", token="x" * 32)[0] == 403
    # With it, no file of this machine, no other machine's.
    for path in (str(secret), f"file://{secret}", "http://127.0.0.1:9/a.wav"):
        for more in ({}, {"is_stream": True}, {"url": "http://127.0.0.1:9/a"}):
            answer = submit(page, {"path": path, **meta, **more})
            assert "scored" not in answer and "audio/flac" not in answer
            assert "not an upload" in answer
    for path in (f"file={secret}", f"file={secret.name}", f"file/{secret}"):
        status, _ = page.ask("GET", f"/{page.token}/gradio_api/{path}")
        assert status in (403, 404)
    # An upload is scored under its name, which no file has.
    content, name = secret.read_bytes(), "Anna Smith 2024-05-06.wav"
    (path,) = json.loads(send(page, name, content)[1])
    names = [str(file) for file in page.folder.rglob("*")]
    assert Path(path).read_bytes() == content and path in names
    assert "Anna" not in " ".join(names) and "2024" not in " ".join(names)
    root = next(page.folder.glob("cry_ssl_demo_*"))
    assert root.stat().st_mode & 0o777 == 0o700
    if os.getuid() == 0:
        # The folder of pytest itself lets no other user in.
        for parent in tmp_path.parents[:2]:
            parent.chmod(0o755)
        command = [sys.executable, "-c", AS_NOBODY.format(NOBODY)]
        done = subprocess.run(
            [*command, str(root), path, str(secret)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout.split() == ["refused"] * 3
    answer = submit(page, {"path": path, **meta})
    assert f"{name}: 1.0 s scored" in answer
    assert not Path(path).exists()
    # Two of one name; an empty one; one that is killed with the process.
    for _ in range(2):
        (path,) = json.loads(send(page, "../../x.wav", b"")[1])
        assert Path(path).is_relative_to(root / "uploads")
    page.process.send_signal(signal.SIGKILL)
    page.process.wait()
    assert Path(path).exists()
    done = subprocess.run(
        [sys.executable, "-c",
         "from cry_modules.demo.uploads import private_folder as folder\n"
         "with folder() as new: print(new)"],
        env={**os.environ, "TMPDIR": str(page.folder), "PYTHONPATH": "."},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout and not list(page.folder.iterdir())
