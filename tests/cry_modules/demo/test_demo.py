"""The demo page: it shows what the command says, keeps and sends nothing, and
answers to nobody else."""

import base64
import contextlib
import http.client
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import asdict
from html import unescape
from io import BytesIO
from urllib.parse import urlparse

import numpy as np
import pytest
import soundfile
import torch
from matplotlib.image import imread
from safetensors.torch import save_file

from cry_modules.checkpoints.description import FORMAT, MODEL_FILE, Blueprint
from cry_modules.checkpoints.saved_model import WEIGHTS_FILE, build, load_model
from cry_modules.checkpoints.state_dict import sha256
from cry_modules.demo import (
    command as demo,
    page as demo_result,
)
from cry_modules.inference.classifier import CryClassifier
from data_prep.files.errors import InputError

CLASSES = ["other", "crying_baby"]
LISTENING = r"listening on (http://127\.0\.0\.1:\d+) for this machine only"
HOSTILE = "<img src=x onerror=alert(1)> & \"'${1}"


def write_model(folder, classes=CLASSES, **about):
    """An exported model whose weights were never trained."""
    folder.mkdir()
    torch.manual_seed(1)
    model = build(Blueprint(1, classes=classes, log_prior=[0.0] * len(classes)))
    save_file(model.state(), folder / WEIGHTS_FILE)
    about = {
        "format": FORMAT,
        "model": asdict(model.blueprint),
        "files": {WEIGHTS_FILE: sha256(folder / WEIGHTS_FILE)},
        "operating_point": {"threshold": 0.25} if len(classes) == 2 else None,
        **about,
    }
    (folder / MODEL_FILE).write_text(json.dumps(about))
    return folder


@pytest.fixture
def classifier(tmp_path):
    return CryClassifier.from_model(load_model(write_model(tmp_path / "m")))


@pytest.fixture
def upload(noise, tmp_path):
    """A recording where Gradio would leave it, in a folder of its own."""

    def upload(name="a.wav", **how):
        return str(noise(f"uploads/1/{name}", **how))

    (tmp_path / "uploads").mkdir()
    return upload


def rows(html):
    """The table of probabilities."""
    found = re.findall(
        r'<th scope="row">(.*?)</th><td>(.*?)</td>', html, flags=re.DOTALL
    )
    return {
        unescape(re.sub(r"\s*<em>.*?</em>", "", name)): value
        for name, value in found
    }


def text_of(html):
    return unescape(re.sub("<[^>]+>", "", html))


def test_it_shows_what_the_command_says(classifier, upload, noise):
    expected = classifier.classify_files([str(noise("a.wav", seconds=5.3))])[0]
    html = demo.score(classifier, upload("a.wav", seconds=5.3))
    assert rows(html) == {
        name: f"{score:.4f}" for name, score in zip(CLASSES, expected.scores)
    }
    assert "a.wav: 5.3 s heard" in text_of(html)


@pytest.mark.parametrize(
    ("threshold", "call", "side"),
    [(0.6, "other", "is below"), (0.5, "crying_baby", "reaches")],
)
def test_the_call_is_words(classifier, upload, threshold, call, side):
    heard = demo_result.hear(classifier, upload())
    heard.scores = np.array([0.5, 0.5])
    html = demo_result.result(heard, CLASSES, threshold, 4.0)
    assert (
        f"Called {call}: the score of crying_baby, 0.5000, {side} the "
        f"operating point, a threshold of {threshold:.4f} that was chosen for "
        "80 % specificity on validation."
    ) in text_of(html)
    assert f"{call} (called)" in text_of(html)


def test_without_an_operating_point(classifier, upload):
    heard = demo_result.hear(classifier, upload())
    heard.scores = np.array([0.7, 0.3])
    text = text_of(demo_result.result(heard, CLASSES, None, 4.0))
    assert "Called other, the most probable class" in text
    assert "threshold" not in text and "dashed" not in text


def test_many_classes_are_all_there(tmp_path, upload):
    classes = [f"c{i}" for i in range(12)]
    model = load_model(write_model(tmp_path / "many", classes))
    classifier = CryClassifier.from_model(model)
    html = demo.score(classifier, upload())
    assert set(rows(html)) == set(classes)
    shown = [float(value) for value in rows(html).values()]
    assert shown == sorted(shown, reverse=True)
    assert "the 8 most probable classes" in text_of(html)


def test_pictures_and_sound_are_in_the_page(classifier, upload):
    html = demo.score(classifier, upload(seconds=2.0))
    assert not re.search(r"(src|srcset|href)=[\"'](?!data:)", html)
    narrow, wide = (
        imread(BytesIO(base64.b64decode(found)), format="png")
        for found in re.findall("data:image/png;base64,([^'\"]+)", html)
    )
    assert wide.shape[1] > wide.shape[0] > 0
    assert narrow.shape[0] > narrow.shape[1] > 0
    assert wide.std() > 0 and narrow.std() > 0
    sound = re.search("data:audio/flac;base64,([^'\"]+)", html).group(1)
    samples, rate = soundfile.read(BytesIO(base64.b64decode(sound)))
    assert (rate, len(samples)) == (16000, 32000)
    assert np.abs(samples).max() == pytest.approx(0.9, abs=1e-4)


def test_the_picture_is_told_in_words(classifier, upload):
    heard = demo_result.hear(classifier, upload(seconds=9.0))
    heard.track.scores[:, 1] = 0.25
    heard.track.scores[-1, 1] = 0.75
    heard.track.scores[0] = np.nan
    text = demo_result.description(heard, CLASSES)
    assert "between 0.2500 and 0.7500" in text
    assert text.endswith("highest from 5.0 to 9.0 s.")
    heard.track.scores[:] = np.nan
    assert "score of" not in demo_result.description(heard, CLASSES)


def test_names_are_text(tmp_path, upload):
    folder = write_model(
        tmp_path / "m", ["a", HOSTILE], name=HOSTILE, corpus=HOSTILE,
        task=HOSTILE,
    )  # fmt: skip
    model = load_model(folder)
    classifier = CryClassifier.from_model(model)
    pages = [
        demo_result.about_model(model, str(folder)),
        demo.score(classifier, upload("<img src=x>.wav")),
        demo.score(classifier, upload("<img src=x>2.wav", level=0.0)),
    ]
    for html in pages:
        assert "<img src=x" not in html and "&lt;img src=x" in html
        # An attribute ends where it should.
        assert not re.search(r"&lt;img[^<>\"]*\"'", html)
    assert text_of(pages[0]).count(HOSTILE) == 4


@pytest.mark.parametrize(
    ("about", "says"),
    [
        ({}, "Model m, trained on a corpus without a name."),
        (
            {"name": "n", "corpus": "c", "task": "t", "synthetic": False},
            "Model n, trained on the corpus c for the task t.",
        ),
        ({"corpus": "c", "synthetic": True}, "corpus is synthetic"),
        (
            {"corpus": {"name": "c", "synthetic": True}},
            "the corpus c. That corpus is synthetic",
        ),
        ({"corpus": {"name": "c", "synthetic": False}}, "on the corpus c."),
    ],
)
def test_it_says_which_model_it_is(tmp_path, about, says):
    folder = write_model(tmp_path / "m", **about)
    text = text_of(demo_result.about_model(load_model(folder), str(folder)))
    assert says in text
    assert ("synthetic" in text) == ("synthetic" in says)
    assert (
        "Classes: other, crying_baby (the positive one). CNN14 of wid" in text
    )


def test_the_caution():
    text = text_of(demo_result.caution())
    for words in ("research", "Not a medical device", "see a doctor"):
        assert words in text


UNUSABLE = {
    "silent.wav": "silent",
    "short.wav": "too short: 0.050 s",
    "text.wav": "text, not audio",
    "phone.m4a": "3GP or MP4, convert it",
    "long.wav": "601 s and this page hears 600 s at the most; cut it",
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_cannot_be_scored(classifier, upload, tmp_path, name):
    how = {
        "silent.wav": {"level": 0.0},
        "short.wav": {"seconds": 0.05},
        "long.wav": {"seconds": 601, "rate": 4000},
    }
    if name in how:
        path = upload(name, **how[name])
    else:
        path = tmp_path / "uploads/1" / name
        path.parent.mkdir()
        path.write_bytes(
            b"hello, this is no sound\n"
            if name == "text.wav"
            else b"\0\0\0\x18ftypM4A \0\0\0\0" + bytes(64)
        )
    html = demo.score(classifier, str(path))
    text = text_of(html)
    assert text.startswith(f"No scores. {name}") and UNUSABLE[name] in text
    assert str(tmp_path) not in text and "Traceback" not in text
    assert 'role="alert"' in html
    assert list((tmp_path / "uploads").iterdir()) == []


def test_nothing_is_left(classifier, upload, tmp_path, monkeypatch):
    path = upload("a.wav")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = {
        file for file in tmp_path.rglob("*") if "uploads/" not in f"{file}"
    }
    demo.score(classifier, path)
    assert set(tmp_path.rglob("*")) == before


def test_an_upload_is_deleted_whatever_happens(
    classifier, upload, tmp_path, monkeypatch
):
    def fail(*_):
        raise RuntimeError

    monkeypatch.setattr(demo, "hear", fail)
    with pytest.raises(RuntimeError):
        demo.score(classifier, upload("a.wav"))
    assert list((tmp_path / "uploads").iterdir()) == []


def status_of(argv):
    with pytest.raises(SystemExit) as stop:
        demo.main(argv)
    return stop.value.code


def test_wrong_models_and_ports_are_a_line(tmp_path, capsys):
    good = str(write_model(tmp_path / "m"))
    encoder = str(write_model(tmp_path / "encoder", []))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for argv, says in (
            ([str(tmp_path / "none")], "does not exist"),
            ([str(tmp_path)], "holds no model"),
            ([encoder], "is an encoder and knows no classes"),
            ([good, "--device", "abacus"], "device is 'abacus'"),
            ([good, "--port", "70000"], "--port 70000 is no port"),
            ([good, "--port", port], f"--port {port} cannot be used"),
        ):
            assert status_of(argv) == 2
            out, err = capsys.readouterr()
            assert out == "" and err.count("\n") == 1 and says in err


def test_without_gradio(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert status_of([str(tmp_path)]) == 2
    assert "pip install 'cry-ssl[demo]'" in capsys.readouterr().err


def test_it_listens_to_this_machine_alone():
    with demo.listen(0) as server:
        host, port = server.getsockname()
        assert host == "127.0.0.1"
        with pytest.raises(InputError, match=f"--port {port} cannot be used"):
            demo.listen(port)


def headers_of(url, Host, **headers):
    found = urlparse(url)
    server = http.client.HTTPConnection(found.hostname, found.port, timeout=10)
    server.request("GET", "/", headers={"Host": Host, **headers})
    answered = server.getresponse()
    return answered.status, answered.headers


#: A server as the command has it, without what takes long to import.
SERVER = """
import sys, tempfile
from cry_modules.demo.server import Sealed, ended_by_signals, listen, run

async def answer(scope, receive, send):
    if scope["type"] == "http":
        start = {"type": "http.response.start", "status": 204}
        await send({**start, "headers": [(b"cache-control", b"public")]})
        await send({"type": "http.response.body"})

with ended_by_signals(), listen(0) as server:
    with tempfile.TemporaryDirectory():
        port = server.getsockname()[1]
        print(f"listening on http://127.0.0.1:{port} for this machine only")
        sys.stdout.flush()
        run(Sealed(answer), server)
"""


@contextlib.contextmanager
def serving(command, tmp_path, stop, **environment):
    """A server; yields its URL, and ends it by a signal: quietly, and with
    nothing left in its temporary folder."""
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
        found = re.match(LISTENING, process.stdout.readline())
        assert found, process.stderr.read()
        assert len(list(folder.iterdir())) == 1
        yield found.group(1)
        process.send_signal(stop)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out, err) == (0, "", "")
        assert list(folder.iterdir()) == []
    finally:
        late.cancel()
        process.kill()
        process.wait()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_signals_end_it_and_leave_nothing(tmp_path, name):
    pytest.importorskip("uvicorn")
    stop = getattr(signal, name)
    with serving(["-c", SERVER], tmp_path, stop) as url:
        assert headers_of(url, "127.0.0.1")[0] == 204


def test_it_answers_this_machine_and_its_own_page(tmp_path):
    pytest.importorskip("uvicorn")
    with serving(["-c", SERVER], tmp_path, signal.SIGTERM) as url:
        host = urlparse(url).netloc
        for status, asked in (
            (204, {"Host": host}),
            (204, {"Host": host, "Origin": url}),
            (204, {"Host": "localhost"}),
            # A site whose name leads here, and a page of another site.
            (403, {"Host": "a.example"}),
            (403, {"Host": f"a.example:{urlparse(url).port}"}),
            (403, {"Host": host, "Origin": "http://a.example"}),
            (403, {"Host": host, "Origin": "null"}),
        ):
            found, headers = headers_of(url, **asked)
            assert found == status, asked
            assert headers["cache-control"] == "no-store"
            assert "default-src 'self'" in headers["content-security-policy"]


#: Notes whom a process calls and where it listens, by name or number.
WATCH = """
import sys
def note(event, found):
    if event in ("socket.bind", "socket.connect", "socket.getaddrinfo"):
        called = found[event != "socket.getaddrinfo"]
        with open({path!r}, "a") as file:
            print(called[0] if type(called) is tuple else called, file=file)
sys.addaudithook(note)
"""


@contextlib.contextmanager
def chromium():
    """A browser that notes what it fetches."""
    webdriver = pytest.importorskip("selenium.webdriver")
    from selenium.webdriver.chrome.service import Service

    names = ("chromium", "chromium-browser", "google-chrome")
    browser = next(filter(None, map(shutil.which, names)), None)
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip(
            "no Chromium or its driver: apt-get install chromium-driver"
        )
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for option in (
        "headless=new", "no-sandbox", "disable-gpu", "window-size=400,700",
    ):  # fmt: skip
        options.add_argument(f"--{option}")
    options.set_capability(
        "goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"}
    )
    session = webdriver.Chrome(options, Service(driver))
    try:
        # What the browser shows of its own accord is not to be counted.
        session.get("about:blank")
        session.get_log("performance")
        yield session
    finally:
        session.quit()


def fetched(session):
    """URLs that the browser fetched for the page, by the log of its network
    (the DevTools protocol's), from which scripts can hide nothing."""
    urls = []
    for entry in session.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        found = message["params"]
        if message["method"] == "Network.requestWillBeSent":
            urls.append(found["request"]["url"])
        elif message["method"] == "Network.webSocketCreated":
            urls.append(found["url"])
    return urls


def wait_for(session, selector, seconds=30):
    from selenium.webdriver.support.wait import WebDriverWait

    return WebDriverWait(session, seconds, 0.05).until(
        lambda s: s.find_elements("css selector", selector)
    )[0]


def files_in(folder):
    return [file for file in folder.rglob("*") if file.is_file()]


@pytest.mark.slow
@pytest.mark.representative
def test_a_browser_uploads_a_cry(tmp_path, noise):
    """A real upload to the real command in a real browser.

    Whom the page contacts is what the browser's own log of its network says;
    whom the command contacts, what Python's audit of its sockets says.
    """
    pytest.importorskip("gradio")
    model = write_model(tmp_path / "m", corpus={"name": HOSTILE})
    path = noise("cry <b>.wav", seconds=1.5)
    called = tmp_path / "called"
    watch = tmp_path / "watch/sitecustomize.py"  # Python imports that first
    watch.parent.mkdir()
    watch.write_text(WATCH.format(path=str(called)))
    command = ["-m", "cry_modules.demo", str(model), "--port", "0"]
    environment = {
        "PYTHONPATH": f"{watch.parent}{os.pathsep}.",
        # What is not to be obeyed.
        "GRADIO_SERVER_NAME": "0.0.0.0", "GRADIO_SHARE": "True",
        "GRADIO_ANALYTICS_ENABLED": "True",
    }  # fmt: skip
    with chromium() as session, serving(
        command, tmp_path, signal.SIGTERM, **environment
    ) as url:
        classifier = CryClassifier.from_model(load_model(model))
        expected = classifier.classify_files([str(path)])[0].scores
        session.get(url)
        wait_for(session, "input[type=file]").send_keys(str(path))
        wait_for(session, "#scores")
        assert files_in(tmp_path / "tmp") == []
        shown = [
            cell.text
            for cell in session.find_elements(
                "css selector", "#scores tbody td:not(.bar)"
            )
        ]
        assert shown == [f"{score:.4f}" for score in expected]
        assert HOSTILE in session.find_element("id", "model").text
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
        urls = [urlparse(found) for found in fetched(session)]
        hosts = {u.hostname for u in urls if u.scheme not in ("data", "blob")}
        assert len(urls) > 10 and hosts == {"127.0.0.1"}
        # Nor did it try what its policy forbids, which that log leaves out.
        console = [entry["message"] for entry in session.get_log("browser")]
        assert not [line for line in console if "Content Security" in line]

        silent = noise("silent.wav", level=0.0)
        session.find_element("css selector", "input[type=file]").send_keys(
            str(silent)
        )
        assert "silent.wav: silent" in wait_for(session, ".error").text

    # urllib3 tries whether there is IPv6.
    assert set(called.read_text().split()) - {"::1"} == {"127.0.0.1"}
