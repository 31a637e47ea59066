"""The ONNX runner gives the scores of the torch command."""

import csv
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torchaudio.transforms import Resample

from cry_modules.export import run_onnx as onnx_run
from cry_modules.export.onnx import write_onnx
from cry_modules.export.run_onnx import OnnxClassifier
from cry_modules.export.standalone import standalone
from cry_modules.inference.classifier import CryClassifier
from cry_modules.inference.detector import Detector
from data_prep.audio import decode
from data_prep.audio.resample import resample
from tests.classifiers import random_model

onnx = pytest.importorskip("onnx", reason="the extra `export`")
pytest.importorskip("onnxruntime", reason="the extra `export`")

CLASSES = ["healthy", "hurt"]
ABOUT = {"name": "x", "classes": CLASSES, "threshold": 0.3, "caution": "Beware"}

#: Numbers of training recordings, beyond which some of the sounds are.
KNOWN = {
    "length_s": [2.0, 4.0],
    "bandwidth_hz": [7000.0, 8000.0],
    "level_dbfs": [-30.0, -10.0],
    "distance": [1.0, 1.5],
}


def make_pair(path, **settings):
    """A model in torch, and its ONNX file."""
    model = random_model(**{"chunk_s": 4.0, "classes": CLASSES, **settings})
    model.facts = {"training_recordings": KNOWN}
    facts = {**ABOUT, **model.facts}
    write_onnx(model.embedder, model.posterior, facts, path)
    return CryClassifier.from_model(model), path


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """The ONNX file of a model for whole recordings."""
    return make_pair(tmp_path_factory.mktemp("onnx") / "model.onnx")[1]


@pytest.fixture
def sounds(noise, tmp_path):
    """Recordings of several rates, lengths, channels and levels."""
    rng = np.random.default_rng(0)
    swell = np.linspace(0, 0.5, 90000) * rng.normal(0, 0.3, 90000)
    soundfile.write(tmp_path / "swell.flac", swell, 16000)
    return [
        str(tmp_path / "swell.flac"),
        str(noise("short.wav", seconds=0.12)),
        str(noise("phone.wav", seconds=3.1, rate=8000, level=0.003)),
        str(noise("cd.wav", seconds=2.5, rate=44100, channels=2)),
        str(noise("coded.ogg", seconds=2.0, rate=22050)),
    ]


def main(*arguments, capsys):
    """Run the command: exit status, rows of the table, stderr."""
    with pytest.raises(SystemExit) as stop:
        onnx_run.main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return stop.value.code, list(csv.DictReader(io.StringIO(out))), err


@pytest.mark.parametrize(
    "options, longest_s",
    [
        ({}, 120),
        ({"readout": "embedding+logmel", "chunk_s": 1.0}, 2.2),
        ({"front_end": "panns", "tested_on": "chunks", "chunk_s": 1.0}, 120),
        ({"front_end": "log1p", "tested_on": "chunks", "chunk_s": 1.0}, 2.2),
    ],
)
def test_scores_equal_torchs(options, longest_s, sounds, tmp_path):
    """Whole recordings, chunks and windows are scored as torch scores them."""
    theirs, path = make_pair(tmp_path / "model.onnx", **options)
    expected = theirs.classify_files(sounds, longest_s)
    ours = OnnxClassifier(str(path))
    scores = [ours.score(sound, longest_s) for sound in sounds]
    for score, other in zip(scores, expected):
        assert (score.error, other.error) == ("", "")
        assert score.seconds == pytest.approx(other.seconds)
        assert score.n_windows == other.n_windows
        np.testing.assert_allclose(score.scores, other.scores, atol=1e-4)
        assert score.unlike == other.unlike
        assert score.distance == pytest.approx(other.distance, rel=1e-3)
    found = {name for score in scores for name in score.unlike}
    assert found >= {"length", "bandwidth", "level"}
    assert np.ptp([score.scores[0] for score in scores]) > 0.01
    assert max(score.n_windows for score in scores) == (
        1 if longest_s == 120 else 6
    )


def test_silent_windows_are_left_out(tmp_path):
    theirs, path = make_pair(tmp_path / "model.onnx", chunk_s=1.0)
    sig = np.zeros(16000 * 6)
    sig[20000:60000] = np.random.default_rng(0).normal(0, 0.1, 40000)
    soundfile.write(tmp_path / "a.wav", sig, 16000)
    expected = theirs.classify_files([str(tmp_path / "a.wav")], 2.0)[0]
    score = OnnxClassifier(str(path)).score(str(tmp_path / "a.wav"), 2.0)
    assert score.n_windows == expected.n_windows == 3
    np.testing.assert_allclose(score.scores, expected.scores, atol=1e-4)


@pytest.mark.parametrize("tested_on", ["recordings", "chunks"])
def test_a_detector_leaves_out_what_torchs_does(tested_on, sounds, tmp_path):
    """Windows are left out, and recordings scored as a whole, which the
    detector reads in chunks of its own length."""
    theirs, path = make_pair(tmp_path / "model.onnx", chunk_s=0.5)
    asked = {"chunk_s": 0.35, "tested_on": tested_on}
    (tmp_path / "asked").mkdir()
    detector, asked_path = make_pair(tmp_path / "asked/model.onnx", **asked)
    detector.hparams.threshold = ABOUT["threshold"]
    ours = OnnxClassifier(str(path))
    scores = []
    for kept in CLASSES:
        found = Detector(OnnxClassifier(str(asked_path)), kept)
        expected = theirs.classify_files(
            sounds, detector=Detector(detector, kept)
        )
        for sound, other in zip(sounds, expected):
            score = ours.score(sound, detector=found)
            assert (score.n_windows, score.n_left_out, score.error) == (
                other.n_windows, other.n_left_out, other.error,
            )  # fmt: skip
            assert (score.scores is None) == (other.scores is None)
            if score.scores is not None:
                np.testing.assert_allclose(
                    score.scores, other.scores, atol=1e-4
                )
            scores.append(score)
    assert any(score.n_left_out for score in scores)
    assert any(score.n_windows for score in scores)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000])
def test_resampling_is_torchaudios(rate):
    sig = torch.from_numpy(np.random.default_rng(0).normal(0, 0.3, rate + 77))
    sig = sig.float()
    expected = Resample(rate, 16000)(sig)
    np.testing.assert_allclose(
        resample(sig.numpy(), rate, 16000), expected, atol=1e-5
    )


@pytest.mark.parametrize("whole", [True, False])
def test_command(whole, path, sounds, noise, tmp_path, capsys):
    """Score files and a folder; write the table or print it."""
    noise("more/deep/a.WAV")
    (tmp_path / "more/notes.txt").write_text("no audio")
    (tmp_path / "more/._a.wav").write_text("of macOS")
    out = tmp_path / "scores.csv"
    extra = [] if whole else ["--csv", out]
    status, rows, err = main(
        path, *sounds, tmp_path / "more", *extra, capsys=capsys
    )
    assert status == 0
    assert err.startswith("Beware\n")
    assert "6 of 6 files\n" in err
    assert ("done: 6 recordings of 0.2 minutes scored" in err) == whole
    if not whole:
        assert not rows
        rows = list(csv.DictReader(out.open()))
    assert [row["path"] for row in rows[:5]] == sounds
    assert rows[5]["path"].endswith("deep/a.WAV")
    for row in rows:
        hurt = float(row["hurt"])
        assert float(row["healthy"]) + hurt == pytest.approx(1)
        assert row["call"] == ("hurt" if hurt >= 0.3 else "healthy")
    assert not list(tmp_path.glob("*.partial"))


def test_an_unusable_recording_is_a_row_with_the_reason(
    path, noise, tmp_path, capsys
):
    good = noise("good.wav")
    (tmp_path / "text.wav").write_text("no audio")
    (tmp_path / "nothing.wav").write_bytes(b"")
    (tmp_path / "a.raw").write_bytes(bytes(9999))
    for name, sig in (
        ("silent", np.full(16000, 1e-4)),
        ("header", np.zeros(0)),
        ("blip", np.ones(1599)),
        ("nan", np.where(np.arange(9000) == 7, np.nan, 0.1)),
    ):
        soundfile.write(tmp_path / f"{name}.wav", sig, 16000, subtype="FLOAT")
    cut = noise("cut.flac", seconds=4).read_bytes()
    (tmp_path / "cut.flac").write_bytes(cut[: len(cut) // 2])
    reasons = {
        "missing.wav": "unreadable: no such file",
        "text.wav": "unreadable: ",
        "nothing.wav": "empty: the file has no bytes",
        "a.raw": "unreadable: ",
        "silent.wav": "silent: -80 dBFS",
        "header.wav": "empty: a header and no samples",
        "blip.wav": "too short: 0.100 s",
        "nan.wav": "not finite: 1 samples are NaN or infinite",
        "cut.flac": "truncated",
    }
    files = [tmp_path / name for name in reasons]
    status, rows, err = main(path, *files, good, capsys=capsys)
    assert status == 1
    assert rows[4]["seconds"] == "1.000"  # silent, but decoded
    assert "done: 1 recording of 0.0 minutes scored, 9 could not be" in err
    assert rows[-1]["error"] == "" and rows[-1]["call"]
    for row, reason in zip(rows, reasons.values()):
        assert row["error"].startswith(reason) and row["error"]
        assert "\n" not in row["error"]
        assert row["call"] == row["hurt"] == ""


def test_wrong_usage_is_one_line(path, noise, tmp_path, capsys):
    good, empty = noise("good.wav"), tmp_path / "empty"
    empty.mkdir()
    foreign = tmp_path / "foreign.onnx"
    model = onnx.load(path)
    del model.metadata_props[:]
    onnx.save(model, foreign)
    text, cut = tmp_path / "text.onnx", tmp_path / "cut.onnx"
    text.write_text("no model")
    cut.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for arguments, message in (
        ([tmp_path / "x.onnx", good], "x.onnx does not exist"),
        ([empty, good], "empty is a folder"),
        ([path, good, "--csv", good], "has the name of one"),
        ([path, good, "--csv", tmp_path / "a.FLAC"], "has the name of one"),
        ([text, good], "text.onnx is not an ONNX file"),
        ([cut, good], "cut.onnx is not an ONNX"),
        ([foreign, good], "foreign.onnx is not a classifier of cry-ssl"),
        ([path, empty], "empty holds no audio file"),
        ([path, good, "--threads", 0], "--threads is 0"),
        ([path, good, "--csv", "/proc/a.csv"], "could not be written"),
    ):
        status, rows, err = main(*arguments, capsys=capsys)
        assert status == 2 and not rows
        assert err.splitlines()[-1].startswith("error: ") and message in err
        assert len(err.replace("Beware\n", "").splitlines()) <= 2
    with pytest.raises(SystemExit, match="2"):
        onnx_run.main([str(path)])


def test_memory_is_bounded(path, tmp_path, monkeypatch):
    """At most a window is read at once."""
    sig = np.random.default_rng(0).normal(0, 0.1, 8000 * 130)
    soundfile.write(tmp_path / "tape.flac", sig, 8000)
    sizes, read_mixed = [], decode.read_mixed

    def counted(file, n_frames):
        sizes.append(n_frames)
        return read_mixed(file, n_frames)

    monkeypatch.setattr(decode, "read_mixed", counted)
    score = OnnxClassifier(str(path)).score(str(tmp_path / "tape.flac"))
    assert score.n_windows == len(sizes) == 33
    assert max(sizes) == 8000 * 4


def test_the_exported_runner_needs_no_project(path, sounds, tmp_path):
    """In a folder with only the model, in a process of its own."""
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "run_onnx.py").write_text(standalone(onnx_run))
    shutil.copy(path, alone)
    code = (
        "import runpy, sys\n"
        "try:\n"
        "    runpy.run_path('run_onnx.py', run_name='__main__')\n"
        "except SystemExit as stop:\n"
        "    print(stop.code, file=sys.stderr)\n"
        "names = {name.split('.')[0] for name in sys.modules}\n"
        "print(*sorted(names), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "model.onnx", sounds[0]],
        cwd=alone,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        capture_output=True,
        text=True,
    )
    *_, status, names = done.stderr.splitlines()
    assert status == "0", done.stderr
    assert Path(sounds[0]).name in done.stdout
    foreign = {"torch", "torchaudio", "speechbrain", "cry_modules", "data_prep"}
    assert not foreign & set(names.split())
    assert {"numpy", "soundfile", "onnxruntime"} <= set(names.split())
