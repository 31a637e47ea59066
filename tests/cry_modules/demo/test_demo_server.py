"""The demo's server answers this machine only, and contacts nobody."""

import contextlib
import http.client
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import urlparse

import pytest

from cry_modules.inference.classifier import CryClassifier
from tests.browsers import chromium, fetched, wait_for
from tests.classifiers import new_model, write_model

LISTENING = r"listening on (http://127\.0\.0\.1:\d+) for this machine only"
#: The address with the token, without which nobody can open the page.
OPEN = r".*; open (http://127\.0\.0\.1:\d+/[\w-]+/) "


def response(url, **headers):
    """Status and headers of the page, requested with other headers."""
    host = urlparse(url)
    server = http.client.HTTPConnection(host.hostname, host.port, timeout=10)
    server.request("GET", "/", headers=headers)
    answer = server.getresponse()
    return answer.status, answer.headers


#: The command's server with a small page, which imports fast.
SERVER = """
import sys, tempfile
from cry_modules.demo.server import LocalOnly, listen, run, until_signal

async def answer(scope, receive, send):
    if scope["type"] == "http":
        start = {"type": "http.response.start", "status": 204}
        await send({**start, "headers": [(b"cache-control", b"public")]})
        await send({"type": "http.response.body"})

with until_signal(), listen(0) as server:
    with tempfile.TemporaryDirectory():
        port = server.getsockname()[1]
        print(f"listening on http://127.0.0.1:{port} for this machine only")
        sys.stdout.flush()
        run(LocalOnly(answer), server)
"""


@contextlib.contextmanager
def serving(command, tmp_path, stop, **environment):
    """Run a server, yield its URL, and end it by a signal: quietly, and with
    an empty temporary folder."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    process = subprocess.Popen(
        [sys.executable, *command], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={
            **os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(folder),
            "PYTHONPATH": ".", **environment,
        },
    )  # fmt: skip
    late = threading.Timer(120, process.kill)
    late.start()
    try:
        line = process.stdout.readline()
        listening = re.match(OPEN, line) or re.match(LISTENING, line)
        assert listening, process.stderr.read()
        assert len(list(folder.iterdir())) == 1
        yield listening.group(1)
        process.send_signal(stop)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out, err) == (0, "", "")
        assert list(folder.iterdir()) == []
    finally:
        late.cancel()
        process.kill()
        process.wait()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_other_sites_are_refused_and_signals_end_the_server(tmp_path, name):
    pytest.importorskip("uvicorn")
    with serving(["-c", SERVER], tmp_path, getattr(signal, name)) as url:
        host = urlparse(url).netloc
        for expected, request in (
            (204, {"Host": host}),
            (204, {"Host": host, "Origin": url}),
            (204, {"Host": "localhost"}),
            # A name that resolves to this address, and another site's page.
            (403, {"Host": "a.example"}),
            (403, {"Host": f"a.example:{urlparse(url).port}"}),
            (403, {"Host": host, "Origin": "http://a.example"}),
            (403, {"Host": host, "Origin": "null"}),
        ):
            status, headers = response(url, **request)
            assert status == expected, request
            assert headers["cache-control"] == "no-store"
            assert "default-src 'self'" in headers["content-security-policy"]


#: Writes the addresses that a process connects or listens to.
WATCH = """
import sys
def note(event, details):
    if event in ("socket.bind", "socket.connect", "socket.getaddrinfo"):
        called = details[event != "socket.getaddrinfo"]
        with open({path!r}, "a") as file:
            print(called[0] if type(called) is tuple else called, file=file)
sys.addaudithook(note)
"""


@pytest.mark.slow
@pytest.mark.representative
def test_a_browser_uploads_a_cry(tmp_path, noise):
    """The command with a real browser, which contact this machine only.

    The browser's network log holds the page's contacts, Python's audit of
    sockets those of the command.
    """
    pytest.importorskip("gradio")
    name = "<img src=x onerror=alert(1)>"
    model = write_model(tmp_path / "m", corpus={"name": name})
    path = noise("cry <b>.wav", seconds=1.5)
    called = tmp_path / "called"
    watch = tmp_path / "watch/sitecustomize.py"  # Python imports that first
    watch.parent.mkdir()
    watch.write_text(WATCH.format(path=str(called)))
    command = ["-m", "cry_modules.demo", str(model), "--port", "0"]
    environment = {
        "PYTHONPATH": f"{watch.parent}{os.pathsep}.",
        # Must have no effect.
        "GRADIO_SERVER_NAME": "0.0.0.0", "GRADIO_SHARE": "True",
        "GRADIO_ANALYTICS_ENABLED": "True",
    }  # fmt: skip
    with chromium() as session, serving(
        command, tmp_path, signal.SIGTERM, **environment
    ) as url:
        classifier = CryClassifier.from_model(new_model())
        expected = classifier.classify_files([str(path)])[0].scores
        session.get(url)
        wait_for(session, "input[type=file]").send_keys(str(path))
        wait_for(session, "#scores")
        assert not any(map(Path.is_file, (tmp_path / "tmp").rglob("*")))
        cells = session.find_elements("css selector", "#scores td:not(.bar)")
        shown = [cell.text for cell in cells if cell.text]
        assert shown == [f"{score:.4f}" for score in expected]
        assert name in session.find_element("id", "model").text
        assert wait_for(session, "#scores img").get_property("naturalWidth")
        assert session.execute_script(
            "return document.documentElement.scrollWidth <= innerWidth"
        )
        session.execute_script("scrollTo(0, document.body.scrollHeight)")
        caution = session.find_element("id", "caution")
        assert session.execute_script(
            "const box = arguments[0].getBoundingClientRect();"
            "return scrollY > 0 && box.top >= 0 && box.bottom <= innerHeight &&"
            "arguments[0].contains(document.elementFromPoint("
            "box.x + box.width / 2, box.y + box.height / 2))",
            caution,
        )
        urls = [urlparse(url) for url in fetched(session)]
        hosts = {u.hostname for u in urls if u.scheme not in ("data", "blob")}
        assert len(urls) > 10 and hosts == {"127.0.0.1"}
        # That log leaves out requests that the page's policy forbids.
        console = [entry["message"] for entry in session.get_log("browser")]
        assert not [line for line in console if "Content Security" in line]

        silent = noise("silent.wav", level=0.0)
        wait_for(session, "input[type=file]").send_keys(str(silent))
        assert "silent.wav: silent" in wait_for(session, ".error").text

    # urllib3 checks whether IPv6 is available.
    assert set(called.read_text().split()) - {"::1"} == {"127.0.0.1"}
