"""The demo page shows the command's scores, and deletes what is uploaded."""

import base64
import importlib.util
import re
import socket
from html import unescape
from io import BytesIO

import numpy as np
import pytest
import soundfile
from matplotlib.image import imread

from cry_modules.checkpoints.saved_model import load_model
from cry_modules.demo import app, page
from cry_modules.demo.__main__ import main
from cry_modules.demo.server import listen
from cry_modules.inference.classifier import CryClassifier
from data_prep.files.errors import InputError
from tests.classifiers import write_model

CLASSES = ["other", "crying_baby"]
HOSTILE = "<img src=x onerror=alert(1)> & \"'${1}"


@pytest.fixture
def classifier(tmp_path):
    return CryClassifier.from_model(load_model(write_model(tmp_path / "m")))


@pytest.fixture
def upload(noise, tmp_path):
    """Write a recording to a folder of its own, as Gradio does."""

    def upload(name="a.wav", **how):
        return str(noise(f"uploads/1/{name}", **how))

    (tmp_path / "uploads").mkdir()
    return upload


def rows(html):
    """The table of probabilities."""
    cells = re.findall(
        r'<th scope="row">(.*?)</th><td>(.*?)</td>', html, flags=re.DOTALL
    )
    return {
        unescape(re.sub(r"\s*<em>.*?</em>", "", name)): value
        for name, value in cells
    }


def text_of(html):
    return unescape(re.sub("<[^>]+>", "", html))


def test_scores_are_those_of_the_command(classifier, upload, noise):
    expected = classifier.classify_files([str(noise("a.wav", seconds=5.3))])[0]
    html = app.score_upload(classifier, upload("a.wav", seconds=5.3))
    assert rows(html) == {
        name: f"{score:.4f}" for name, score in zip(CLASSES, expected.scores)
    }
    assert "a.wav: 5.3 s scored" in text_of(html)


@pytest.mark.parametrize(
    ("threshold", "call", "side"),
    [(0.6, "other", "is below"), (0.5, "crying_baby", "reaches")],
)
def test_the_call_in_words(classifier, upload, threshold, call, side):
    scored = page.score(classifier, upload())
    scored.scores = np.array([0.5, 0.5])
    html = page.result(scored, CLASSES, threshold, 4.0)
    assert (
        f"Called {call}: the score of crying_baby, 0.5000, {side} the "
        f"operating point, a threshold of {threshold:.4f} that was chosen for "
        "80 % specificity on validation."
    ) in text_of(html)
    assert f"{call} (called)" in text_of(html)


def test_without_an_operating_point(classifier, upload):
    scored = page.score(classifier, upload())
    scored.scores = np.array([0.7, 0.3])
    text = text_of(page.result(scored, CLASSES, None, 4.0))
    assert "Called other, the most probable class" in text
    assert "threshold" not in text and "dashed" not in text


def test_all_of_many_classes_are_shown(tmp_path, upload):
    classes = [f"c{i}" for i in range(12)]
    model = load_model(write_model(tmp_path / "m", classes))
    classifier = CryClassifier.from_model(model)
    html = app.score_upload(classifier, upload())
    assert set(rows(html)) == set(classes)
    shown = [float(value) for value in rows(html).values()]
    assert shown == sorted(shown, reverse=True)
    assert "the 8 most probable classes" in text_of(html)


def test_pictures_and_sound_are_in_the_page(classifier, upload):
    html = app.score_upload(classifier, upload(seconds=2.0))
    assert not re.search(r"(src|srcset|href)=[\"'](?!data:)", html)
    narrow, wide = (
        imread(BytesIO(base64.b64decode(image)), format="png")
        for image in re.findall("data:image/png;base64,([^'\"]+)", html)
    )
    assert wide.shape[1] > wide.shape[0] > 0
    assert narrow.shape[0] > narrow.shape[1] > 0
    assert wide.std() > 0 and narrow.std() > 0
    sound = re.search("data:audio/flac;base64,([^'\"]+)", html).group(1)
    samples, rate = soundfile.read(BytesIO(base64.b64decode(sound)))
    assert (rate, len(samples)) == (16000, 32000)
    assert np.abs(samples).max() == pytest.approx(0.9, abs=1e-4)


def test_the_picture_in_words(classifier, upload):
    scored = page.score(classifier, upload(seconds=9.0))
    scored.track.scores[:, 1] = 0.25
    scored.track.scores[-1, 1] = 0.75
    scored.track.scores[0] = np.nan
    text = page.description(scored, CLASSES)
    assert "between 0.2500 and 0.7500" in text
    assert text.endswith("highest from 5.0 to 9.0 s.")
    scored.track.scores[:] = np.nan
    assert "score of" not in page.description(scored, CLASSES)


def test_names_are_escaped(tmp_path, upload):
    folder = write_model(
        tmp_path / "m",
        ["a", HOSTILE],
        name=HOSTILE,
        corpus=HOSTILE,
        task=HOSTILE,
    )
    model = load_model(folder)
    classifier = CryClassifier.from_model(model)
    pages = [
        page.model_line(model, str(folder)),
        app.score_upload(classifier, upload("<img src=x>.wav")),
        app.score_upload(classifier, upload("<img src=x>2.wav", level=0.0)),
    ]
    for html in pages:
        assert "<img src=x" not in html and "&lt;img src=x" in html
        # No name ends an attribute.
        assert not re.search(r"&lt;img[^<>\"]*\"'", html)
    assert text_of(pages[0]).count(HOSTILE) == 4


@pytest.mark.parametrize(
    ("facts", "text_part"),
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
def test_the_model_is_described(tmp_path, facts, text_part):
    folder = write_model(tmp_path / "m", **facts)
    text = text_of(page.model_line(load_model(folder), str(folder)))
    assert text_part in text
    assert ("synthetic" in text) == ("synthetic" in text_part)
    assert (
        "Classes: other, crying_baby (the positive one). Encoder cnn14" in text
    )


def test_the_caution():
    text = text_of(page.caution())
    for words in ("research", "Not a medical device", "see a doctor"):
        assert words in text


UNUSABLE = {
    "silent.wav": "silent",
    "short.wav": "too short: 0.050 s",
    "text.wav": "text, not audio",
    "phone.m4a": "3GP or MP4, convert it",
    "long.wav": "601 s, and this page takes up to 600 s; cut it",
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_unusable_recordings_have_a_reason(classifier, upload, tmp_path, name):
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
    html = app.score_upload(classifier, str(path))
    text = text_of(html)
    assert text.startswith(f"No scores. {name}") and UNUSABLE[name] in text
    assert str(tmp_path) not in text and "Traceback" not in text
    assert 'role="alert"' in html
    assert list((tmp_path / "uploads").iterdir()) == []


def test_no_file_is_left(classifier, upload, tmp_path, monkeypatch):
    path = upload("a.wav")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = {
        file for file in tmp_path.rglob("*") if "uploads/" not in f"{file}"
    }
    app.score_upload(classifier, path)
    assert set(tmp_path.rglob("*")) == before


def test_an_upload_is_deleted_after_an_error(
    classifier, upload, tmp_path, monkeypatch
):
    def fail(*_):
        raise RuntimeError

    monkeypatch.setattr(app, "score", fail)
    with pytest.raises(RuntimeError):
        app.score_upload(classifier, upload("a.wav"))
    assert list((tmp_path / "uploads").iterdir()) == []


def status_of(argv):
    with pytest.raises(SystemExit) as stop:
        main(argv)
    return stop.value.code


def test_wrong_models_and_ports_are_one_line(tmp_path, capsys):
    good = str(write_model(tmp_path / "m"))
    encoder = str(write_model(tmp_path / "encoder", []))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for argv, message in (
            ([str(tmp_path / "none")], "does not exist"),
            ([str(tmp_path)], "holds no model"),
            ([encoder], "is an encoder without classes"),
            ([good, "--device", "abacus"], "device is 'abacus'"),
            ([good, "--port", "70000"], "--port is 70000"),
            ([good, "--port", port], f"--port {port} cannot be used"),
        ):
            assert status_of(argv) == 2
            out, err = capsys.readouterr()
            assert out == "" and err.count("\n") == 1 and message in err


def test_without_gradio(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert status_of([str(tmp_path)]) == 2
    assert "pip install 'cry-ssl[demo]'" in capsys.readouterr().err


def test_only_this_machine_can_connect():
    with listen(0) as server:
        host, port = server.getsockname()
        assert host == "127.0.0.1"
        with pytest.raises(InputError, match=f"--port {port} cannot be used"):
            listen(port)
