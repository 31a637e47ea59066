"""The command: a table of scores, pictures, and one-line errors."""

import _thread
import csv
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cry_modules.inference import recordings
from cry_modules.inference.__main__ import main
from cry_modules.inference.classifier import CryClassifier
from cry_modules.inference.options import CAUTION
from cry_modules.inference.scores import COLUMNS, header_of
from cry_modules.metrics.predictions import Predictions
from data_prep.audio.measure import Audit
from data_prep.audio.packs import PACK_FILE


@pytest.fixture
def run(trained):
    """A trained run in which some recordings are called positive."""
    return trained(lr=0.05, readout="block3")


def read_table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def command(*arguments):
    """Run the command in this process; return its exit status."""
    try:
        main([str(a) for a in arguments])
    except SystemExit as stop:
        return stop.code
    return 0


def paths_of(predictions, clinic):
    return [str(clinic / f"{name}.wav") for name in predictions.ids]


def test_a_folder_gives_a_table(run, clinic, tmp_path, capsys):
    out = tmp_path / "new/scores.csv"
    assert command(run, clinic, "--csv", out) == 0
    rows = {row["path"]: row for row in read_table(out)}
    expected = Predictions.read(run / "predictions_test.csv")
    for path, scores in zip(paths_of(expected, clinic), expected.scores):
        assert abs(float(rows[path]["injury"]) - scores[1]) < 1e-5
    assert len(rows) == 36
    # They are like the recordings of training, most of which they are.
    unlike = [row for row in rows.values() if row["unlike_training"]]
    assert len(unlike) <= 4
    assert all(float(row["training_distance"]) > 0 for row in rows.values())
    captured = capsys.readouterr()
    assert "done: 36 recordings" in captured.out
    assert "Not a medical device" in captured.err

    file = clinic / "cry_p0_0.wav"
    assert command(run, file, "--csv", out, "--plot", "--window_s=0.4") == 0
    folder = tmp_path / "new/scores_over_time"
    assert (folder / "cry_p0_0.png").read_bytes()[:4] == b"\x89PNG"
    track = read_table(folder / "cry_p0_0.csv")
    assert track[0]["start"] == "0.000" and track[0]["stop"] == "0.400"
    assert track[-1]["stop"] == "0.600"
    assert float(track[0]["injury"]) + float(track[0]["healthy"]) == (
        pytest.approx(1)
    )


def test_calls_of_the_validation_set_are_those_of_the_run(
    run, clinic, tmp_path
):
    """The threshold is the score of a recording, which is reproduced except
    for its last digits."""
    valid = Predictions.read(run / "predictions_valid.csv")
    metrics = json.loads((run / "metrics.json").read_text())["valid"]
    metrics = metrics["recording"]
    assert metrics["threshold"] in valid.scores[:, 1]
    out = tmp_path / "a.csv"
    assert command(run, *paths_of(valid, clinic), "--csv", out) == 0
    calls = np.array([row["call"] == "injury" for row in read_table(out)])
    assert calls[valid.labels == 1].mean() == metrics["sensitivity_at_spec80"]
    assert (
        1 - calls[valid.labels == 0].mean()
        == metrics["specificity_at_threshold"]
    )


def test_an_unusable_file_is_a_row_and_status_1(run, clinic, tmp_path, capsys):
    bad = tmp_path / "bad.wav"
    bad.write_text("x")
    assert command(run, clinic / "cry_p0_0.wav", bad, tmp_path / "no.wav") == 1
    captured = capsys.readouterr()
    rows = list(csv.DictReader(captured.out.splitlines()))
    assert [bool(row["error"]) for row in rows] == [False, True, True]
    assert rows[1]["injury"] == "" and "unreadable" in rows[1]["error"]
    assert "2 could not be used" in captured.err


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["no/such/run/at/all", "a.wav"], "does not exist"),
        (["MODEL", "EMPTY"], "holds no audio file"),
        (["MODEL", "PACK"], "PACK is a pack"),
        (["MODEL", "a.wav", "--csv", "EMPTY"], "is a folder"),
        (["MODEL", "a.wav", "--csv", "FILE/x/a.csv"], "is a file"),
        (["MODEL", "a.wav", "--csv", "/proc/a.csv"], "could not be written"),
        (["MODEL", "a.wav", "--csv", "SOUND.flac"], "name the table"),
        (["MODEL", "SOUND", "--csv", "./SOUND"], "name the table"),
        (["MODEL", "a.wav", "--csv", "LINK"], "name the table"),
        (["MODEL", "a.wav", "--plot", "--csv", "s.csv"], "s_over_time is a"),
        (["MODEL", "a.wav", "--trust"], "has no 'pretrainer'"),
        (["no/such/run/at/all", "a.wav", "--trust"], "cannot be loaded"),
        (["MODEL", "a.wav", "--device", "tpu"], "device is 'tpu'"),
        (["MODEL", "a.wav", "--longest_s", "0"], "longest_s"),
        (["MODEL", "SOUND", "--plot", "--window_s", "0.1"], "window_s is 0.1"),
        (["MODEL", "SOUND", "--plot", "--window_s", "nan"], "window_s is nan"),
        (["MODEL", "SOUND", "--plot", "--hop_s", "inf"], "hop_s is inf"),
        (["MODEL", "SOUND", "--plot", "--hop_s", "0"], "hop_s is 0.0"),
        (["MODEL", "SOUND", "--window_s", "1"], "--window_s 1.0"),
        (["MODEL", "SOUND", "--hop_s", "1"], "--hop_s 1.0"),
        (["", "SOUND"], "MODEL is empty"),
        (["MODEL", "SOUND", ""], "AUDIO is empty"),
        (["MODEL", "SOUND", "--csv", ""], "--csv is empty"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(
    arguments, message, run, tmp_path, noise, capsys, monkeypatch
):
    """Refused before anything is scored; no file changes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "EMPTY").mkdir()
    (tmp_path / "PACK").mkdir()
    (tmp_path / "FILE").write_text("")
    (tmp_path / "s_over_time").write_text("")
    noise("SOUND", format="WAV")
    noise("SOUND.flac")
    shutil.copy("SOUND", "a.wav")
    (tmp_path / "LINK").symlink_to("a.wav")
    # An empty pack of one part.
    head = {"pack": 1, "rate": 16000, "parts": 1}
    facts = {"head": head, "name": "clinic", "files": {}}
    header = "path,shard,offset,samples,scale,peak,rate,frames\n"
    Path("PACK", PACK_FILE).write_text(json.dumps(head))
    Path("PACK/pack-1of1.json").write_text(json.dumps(facts))
    Path("PACK/pack-1of1.csv").write_text(header + "a.wav,,0,0,1.0,0,8000,0\n")

    def contents():
        files = filter(Path.is_file, tmp_path.rglob("*"))
        return {path: path.read_bytes() for path in files}

    before = contents()
    assert command(*[str(run) if a == "MODEL" else a for a in arguments]) == 2
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    (error,) = [line for line in lines if line.startswith("error: ")]
    assert message in error
    assert CAUTION not in captured.err and captured.out == ""
    assert contents() == before


def test_options_between_recordings_and_hidden_files(run, noise, tmp_path):
    """The check whether a table can be written leaves files alone."""
    hidden = tmp_path / ".s.csv"
    hidden.write_text("mine")
    names = ("a.wav", "b$x^$.wav")  # mathtext would fail at the second
    a, b = (noise(name, seconds=0.5) for name in names)
    out = tmp_path / "s.csv"
    options = ["--plot", "--csv", out, "--window_s=0.4", "--hop_s=0.1"]
    assert command(run, a, *options, b) == 0
    assert [Path(row["path"]).name for row in read_table(out)] == list(names)
    assert hidden.read_text() == "mine"
    assert len(list((tmp_path / "s_over_time").glob("*.png"))) == 2
    assert {path.name for path in tmp_path.iterdir()} == {
        *names, "s.csv", ".s.csv", "s_over_time",
    }  # fmt: skip


def test_a_recording_deleted_before_its_picture(
    run, noise, tmp_path, capsys, monkeypatch
):
    paths = [noise(f"{name}.wav", seconds=0.5) for name in "abc"]
    classify = CryClassifier.classify_files

    def classify_and_delete(self, *arguments, **options):
        scores = classify(self, *arguments, **options)
        paths[0].unlink()
        return scores

    monkeypatch.setattr(CryClassifier, "classify_files", classify_and_delete)
    out = tmp_path / "s.csv"
    assert command(run, *paths, "--plot", "--csv", out) == 1
    assert [bool(row["error"]) for row in read_table(out)] == [False] * 3
    done = capsys.readouterr().out
    assert "3 recordings" in done and "1 have no scores over time" in done
    assert "a.wav: unreadable: no such file" in done
    made = sorted(path.name for path in (tmp_path / "s_over_time").iterdir())
    assert made == ["b.csv", "b.png", "c.csv", "c.png"]


def test_interruption_does_not_wait_for_files(
    run, tmp_path, capsys, monkeypatch
):
    """Files not begun are left, and the message says what was written."""
    read = []
    # A shell's background job begins with SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def audit_slowly(path, with_digest):
        read.append(path)
        if path == "3.wav":
            _thread.interrupt_main()
        time.sleep(0.05)
        return Audit(path)

    monkeypatch.setattr(recordings, "audit_file", audit_slowly)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    out = tmp_path / "s.csv"
    paths = [f"{i}.wav" for i in range(60)]
    try:
        assert command(run, *paths, "--csv", out) == 1
    finally:
        signal.signal(signal.SIGINT, before)
    n_read = len(read)
    time.sleep(0.3)
    assert len(read) <= n_read + 2  # calls that had begun
    err = capsys.readouterr().err
    assert "interrupted; nothing was written" in err.splitlines()
    assert list(tmp_path.iterdir()) == []


def test_interrupted_while_drawing_names_what_is_written(
    run, noise, tmp_path, capsys, monkeypatch
):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(CryClassifier, "score_over_time", interrupted)
    out = tmp_path / "s.csv"
    assert command(run, noise("a.wav"), "--csv", out, "--plot") == 1
    last = capsys.readouterr().err.splitlines()[-1]
    state = f"{out} is complete, {tmp_path}/s_over_time is not"
    assert last == f"interrupted; {state}"
    assert len(read_table(out)) == 1


def test_a_closed_pipe_ends_the_command_quietly(run, noise, capfd, monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        assert command(run, noise("a.wav")) == 1
    assert "Error" not in capfd.readouterr().err


@pytest.mark.parametrize(
    "columns, classes, names",
    [
        (COLUMNS, ["a", "call"], ["a", "class call"]),
        (COLUMNS, ["path", "class path"], ["class class path", "class path"]),
        (COLUMNS, ["class path", "path"], ["class path", "class class path"]),
        (COLUMNS, ["error", "call"], ["class error", "class call"]),
        (("start", "stop"), ["stop", "path"], ["class stop", "path"]),
    ],
)
def test_column_names_are_unique(columns, classes, names):
    assert header_of(classes, columns) == [*columns, *names]
