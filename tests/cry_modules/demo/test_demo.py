"""The demo page shows the command's scores, and deletes what is uploaded."""

import base64
import importlib.util
import re
from html import unescape
from io import BytesIO

import numpy as np
import pytest
import soundfile
from matplotlib.image import imread

from cry_modules.demo import app, page
from cry_modules.demo.__main__ import main
from cry_modules.demo.server import listen
from cry_modules.inference.classifier import CryClassifier
from cry_modules.inference.options import CAUTION
from tests.classifiers import new_model, write_model

CLASSES = ["other", "crying_baby"]
HOSTILE = "<img src=x onerror=alert(1)> & \"'${1}"


@pytest.fixture
def classifier():
    model = new_model()
    model.threshold = 0.25
    return CryClassifier.from_model(model)


@pytest.fixture
def upload(noise):
    """Write a recording to a folder of its own, as Gradio does."""
    return lambda name="a.wav", **how: str(noise(f"uploads/1/{name}", **how))


def rows(html):
    """The table of probabilities."""
    cells = re.findall(r'<th scope="row">(.*?)</th><td>(.*?)</td>', html)
    return {unescape(name).split(" <em>")[0]: value for name, value in cells}


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
    ("threshold", "call", "reason"),
    [
        (0.6, "other", "0.5000, is below the operating point, a threshold of "),
        (0.5, "crying_baby", "0.5000, reaches the operating point, a "),
        (None, "other", "the most probable class; the model has no operating"),
    ],
)
def test_the_call_in_words(classifier, upload, threshold, call, reason):
    scored = page.score(classifier, upload())
    scored.scores = np.array([0.5, 0.5])
    classifier.hparams.threshold = threshold
    text = text_of(page.result(scored, classifier.hparams))
    assert f"Predicted: {call}" in text and f"{call} (predicted)" in text
    assert reason in text
    if threshold is None:
        assert "threshold" not in text and "dashed" not in text
    else:
        chosen = f"threshold of {threshold:.4f} that was chosen for 80 %"
        assert chosen in text and "dashed" in text


def test_a_recording_unlike_those_of_training_is_said(classifier, upload):
    scored = page.score(classifier, upload())
    text = text_of(page.result(scored, classifier.hparams))
    assert "Unlike" not in text
    scored.unlike = ["length", "sound"]
    text = text_of(page.result(scored, classifier.hparams))
    assert "Unlike the recordings of training in length, sound" in text


def test_all_of_many_classes_are_shown(upload):
    classes = [f"c{i}" for i in range(12)]
    classifier = CryClassifier.from_model(new_model(classes))
    html = app.score_upload(classifier, upload())
    assert set(rows(html)) == set(classes)
    shown = [float(value) for value in rows(html).values()]
    assert shown == sorted(shown, reverse=True)
    assert "the 8 most probable classes" in text_of(html)


def test_pictures_and_sound_are_in_the_page(classifier, upload):
    html = app.score_upload(classifier, upload(seconds=2.0))
    assert not re.search(r"(src|srcset|href)=[\"'](?!data:)", html)
    images = re.findall("data:image/png;base64,([^'\"]+)", html)
    narrow, wide = (imread(BytesIO(base64.b64decode(i))) for i in images)
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
    text = page.describe_picture(scored, CLASSES)
    assert "between 0.2500 and 0.7500" in text
    assert text.endswith("highest from 5.0 to 9.0 s.")
    scored.track.scores[:] = np.nan
    assert "score of" not in page.describe_picture(scored, CLASSES)


def test_names_are_escaped(upload):
    model = new_model(["a", HOSTILE])
    model.facts.update(name=HOSTILE, corpus=HOSTILE, task=HOSTILE)
    classifier = CryClassifier.from_model(model)
    pages = [
        page.describe(model, "", "title"),
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
def test_the_model_is_described(facts, text_part):
    model = new_model()
    model.facts.update(facts)
    text = text_of(page.describe(model, "runs/m", "title"))
    assert text_part in text
    assert ("synthetic" in text) == ("synthetic" in text_part)
    assert (
        "Classes: other, crying_baby (the positive one). Encoder cnn14" in text
    )


def test_the_caution():
    text = text_of(page.render("caution.html.j2", text=CAUTION))
    for words in ("research", "Not a medical device", "see a doctor"):
        assert words in text


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("silent.wav", {"level": 0.0}, "silent"),
        ("short.wav", {"seconds": 0.05}, "too short: 0.050 s"),
        ("text.wav", b"hello, this is no sound\n", "text, not audio"),
        (
            "phone.m4a",
            b"\0\0\0\x18ftypM4A " + bytes(68),
            "3GP or MP4, convert it",
        ),
        (
            "long.wav",
            {"seconds": 601, "rate": 4000},
            "601 s, and this page takes up to 600 s; cut it",
        ),
    ],
)
def test_unusable_recordings_have_a_reason(
    classifier, upload, tmp_path, name, content, reason
):
    if isinstance(content, dict):
        path = upload(name, **content)
    else:
        path = tmp_path / "uploads/1" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    html = app.score_upload(classifier, str(path))
    text = text_of(html)
    assert text.startswith(f"No scores. {name}") and reason in text
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


def error_of(capsys, *argv):
    """The command's line on stderr."""
    with pytest.raises(SystemExit) as stop:
        main(argv)
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    return err


def test_wrong_models_and_ports_are_one_line(tmp_path, capsys):
    good = str(write_model(tmp_path / "m"))
    encoder = str(write_model(tmp_path / "encoder", new_model(())))
    with listen(0) as taken:
        port = str(taken.getsockname()[1])
        for argv, message in (
            ([str(tmp_path / "none")], "does not exist"),
            ([str(tmp_path)], "holds no model"),
            ([encoder], "is an encoder without classes"),
            ([good, "--device", "abacus"], "device is 'abacus'"),
            ([good, "--port", "70000"], "--port is 70000"),
            ([good, "--port", port], f"--port {port} cannot be used"),
        ):
            assert message in error_of(capsys, *argv)


def test_without_gradio(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "pip install 'cry-ssl[demo]'" in error_of(capsys, str(tmp_path))


def test_only_this_machine_can_connect():
    with listen(0) as server:
        assert server.getsockname()[0] == "127.0.0.1"
