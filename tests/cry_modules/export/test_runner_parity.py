"""``run_onnx.py`` and ``python -m cry_modules.inference`` read the same command
lines, and give the same rows, messages and exit statuses."""

import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from cry_modules.export import run_onnx
from cry_modules.export.onnx import write_onnx
from cry_modules.inference import __main__ as inference
from cry_modules.inference.classifier import CryClassifier
from cry_modules.inference.options import CAUTION
from tests.classifiers import random_model

pytest.importorskip("onnx", reason="the extra `export`")
pytest.importorskip("onnxruntime", reason="the extra `export`")

CLASSES = ["healthy", "hurt, badly\nat night"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The ONNX file of a model; the torch command loads the same weights."""
    model = random_model(chunk_s=1.0, classes=CLASSES)
    model.threshold = 0.3
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    facts = {"name": "x", "classes": CLASSES, "threshold": 0.3}
    facts["caution"] = CAUTION
    write_onnx(model.embedder, model.posterior, facts, path)
    classifier = CryClassifier.from_model(model)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            CryClassifier, "from_hparams", lambda *_, **__: classifier
        )
        yield path


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of odd recordings, in which the commands are typed."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)

    def sound(name, seconds=0.6, rate=16000, channels=1, level=0.1, **how):
        sig = rng.normal(0, level, (round(seconds * rate), channels))
        Path(name).parent.mkdir(exist_ok=True)
        soundfile.write(name, sig, rate, **how)

    sound("good.wav")
    for name in ("a, b.wav", "two\nlines.wav", "\u00e9t\u00e9 \U0001f476.wav"):
        sound(name)
    sound("-leading.wav")
    sound("folder/.hidden.wav")
    sound("folder/deep.WAV")
    sound("folder/good.wav")
    sound("stereo.flac", channels=2)
    sound("eight.wav", subtype="PCM_U8")
    sound("rate.wav", rate=11127)
    sound("low.wav", rate=100)
    sound("short.wav", seconds=0.05)
    sound("long.wav", seconds=2.7)
    sound("silent.wav", level=0.0)
    soundfile.write("nan.wav", np.full(9000, np.nan), 16000, subtype="FLOAT")
    cut = Path("good.wav").read_bytes()
    Path("cut.wav").write_bytes(cut[: len(cut) // 2])
    Path("died.wav").write_bytes(cut[:40] + bytes(4) + cut[44:])
    Path("text.wav").write_text("no audio")
    Path("phone.m4a").write_bytes(b"\0\0\0\x20ftypM4A " + bytes(99))
    Path("empty.wav").write_bytes(b"")
    Path("empty").mkdir()
    Path("sub").mkdir()
    Path("pack").mkdir()
    Path("pack/pack.json").write_text('{"pack": 1}')
    Path("link.wav").symlink_to("good.wav")
    os.mkfifo("pipe.wav")
    return tmp_path


def typed(main, arguments, capsys):
    """Exit status, table, and lines of messages of a command."""
    Path("out.csv").unlink(missing_ok=True)
    try:
        main(arguments)
        status = 0
    except SystemExit as stop:
        status = stop.code
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    table = Path("out.csv").read_text() if Path("out.csv").exists() else out
    rows = list(csv.reader(table.splitlines(keepends=True)))
    rows = rows if rows and rows[0][:1] == ["path"] else []
    messages = [
        line.rsplit("error: ", 1)[-1].replace("MODEL.onnx", "MODEL")
        for line in (out + err).splitlines()
        if line.startswith(("done: ", "detector: ")) or "error: " in line
    ]
    return status, rows, messages


RECORDINGS = [
    "good.wav", "a, b.wav", "two\nlines.wav", "\u00e9t\u00e9 \U0001f476.wav",
    "stereo.flac", "eight.wav", "rate.wav", "low.wav", "short.wav", "long.wav",
    "silent.wav", "nan.wav", "cut.wav", "died.wav", "text.wav", "phone.m4a",
    "empty.wav", "missing.wav", "link.wav", "pipe.wav", "*.nothing",
    b"\xff.wav".decode(errors="surrogateescape"),
]  # fmt: skip


@pytest.mark.parametrize(
    "arguments, status",
    [
        (["M", *RECORDINGS], 1),
        (["M", *RECORDINGS, "--csv", "out.csv"], 1),
        (["M", "--csv", "out.csv", "good.wav"], 0),
        (["--csv", "out.csv", "M", "good.wav"], 0),
        (["M", "good.wav", "--csv=out.csv", "stereo.flac"], 0),
        (["--longest_s", "1", "M", "long.wav", "--csv", "out.csv"], 0),
        (["M", "good.wav", "good.wav", "folder", "folder/good.wav"], 0),
        (["M", "./folder/", "folder"], 0),
        (["M", "--", "-leading.wav"], 0),
        (["M", "-leading.wav"], 2),
        (["M", "empty"], 2),
        (["M", "pack"], 2),
        (["M"], 2),
        ([], 2),
        (["M", ""], 2),
        (["", "good.wav"], 2),
        (["M", "good.wav", "--csv", ""], 2),
        (["M", "good.wav", "--csv", "empty"], 2),
        (["M", "good.wav", "--csv", "text.wav/out.csv"], 2),
        (["M", "good.wav", "--csv", "new.FLAC"], 2),
        (["M", "good.wav", "--csv", "new.m4a"], 2),
        (["M", "link.wav", "--csv", "./good.wav"], 2),
        (["M", "good.wav", "--longest_s", "0"], 2),
        (["M", "good.wav", "--longest_s", "nan"], 2),
        (["M", "good.wav", "--longest_s", "x"], 2),
        (["M", "good.wav", "--long", "1"], 2),
        (["M", *RECORDINGS, "--detector", "M"], 1),
        (["M", *RECORDINGS, "--detector", "M", "--detected", "healthy"], 1),
        (["M", "long.wav", "--detector", "M", "--longest_s", "1"], 0),
        (["M", "good.wav", "--detector", "M", "--csv", "out.csv"], 0),
        (["M", "good.wav", "--detector", "M", "--detected", "cry"], 2),
        (["M", "good.wav", "--detected", "healthy"], 2),
    ],
)
def test_both_commands_agree(arguments, status, model, folder, capsys):
    typed_words = [str(model) if word == "M" else word for word in arguments]
    ours = typed(run_onnx.main, typed_words, capsys)
    theirs = typed(inference.main, typed_words, capsys)
    assert ours[0] == theirs[0] == status
    assert ours[2] == theirs[2] and (ours[2] or not status)
    assert len(ours[1]) == len(theirs[1]) and bool(ours[1]) == (status < 2)
    for row, other in zip(ours[1], theirs[1]):
        assert row[:5] == other[:5]
        try:
            scores = [
                [float(x or 0) for x in cells[5:]] for cells in (row, other)
            ]
        except ValueError:  # the header
            assert row == other
        else:
            np.testing.assert_allclose(*scores, atol=1e-4)


def test_what_is_scored_and_why_not(model, folder, capsys):
    """Half of a recording is never scored as if it were whole."""
    _, rows, _ = typed(run_onnx.main, [str(model), *RECORDINGS], capsys)
    reasons = {row[0]: row[4] for row in rows[1:]}
    bad = {name for name, reason in reasons.items() if reason}
    assert {"cut.wav", "nan.wav", "silent.wav", "text.wav", "empty.wav"} <= bad
    assert {"missing.wav", "pipe.wav", "phone.m4a", "short.wav"} <= bad
    assert not bad & {"good.wav", "a, b.wav", "stereo.flac", "rate.wav"}
    assert all("\n" not in reason for reason in reasons.values())


def test_a_model_in_a_folder_whose_name_is_not_text(model, tmp_path):
    """onnxruntime takes paths of text only."""
    folder = tmp_path / "caf\udce9"
    folder.mkdir()
    shutil.copy(model, folder)
    session = run_onnx.open_session(str(folder / model.name), 1)
    assert run_onnx.description(session, "x")["classes"] == CLASSES
