"""The audit of a corpus is complete, resumable and written down."""

import itertools
import os

import numpy as np
import pytest
import soundfile

from data_prep.audio import audits as audit
from data_prep.audio.audits import (
    audit_corpus,
    audit_files,
    stop_if_too_many,
    write_rejected,
)
from data_prep.files.errors import InputError
from data_prep.files.tables import read_table
from tests.data_prep.audio.test_measure import REASONS, make_bad_files


@pytest.fixture
def run(command_of):
    return command_of("data_prep.audit")


def cells(path):
    return [row for _, row in read_table(path, [])]


def sounds(folder, n, seconds=0.5):
    """Write n different sounds."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        samples = np.random.default_rng(i).normal(0, 0.1, int(16000 * seconds))
        soundfile.write(folder / f"{i}.wav", samples, 16000)
    return [f"{i}.wav" for i in range(n)]


def test_rejects_are_listed_and_too_many_stop(tmp_path):
    names = sounds(tmp_path, 9)
    path = tmp_path / "out/rejected.csv"
    audits = audit_corpus([*names, "gone.wav"], tmp_path, tmp_path / "out")
    assert audits.n_rejected == 1
    write_rejected(audits, {}, [("x.wav", "excluded", "held out")], path)
    assert [(r["path"], r["verdict"]) for r in cells(path)] == [
        ("gone.wav", "rejected"),
        ("x.wav", "excluded"),
    ]
    stop_if_too_many(audits, path)
    audits = audit_corpus([*names[:2], "gone.wav"], tmp_path, tmp_path / "out")
    with pytest.raises(InputError, match="1 of 3 audio files.*gone.wav"):
        stop_if_too_many(audits, path)


def test_interrupted_audit_resumes(tmp_path, monkeypatch):
    names = sounds(tmp_path / "data", 12)
    expected = audit_files(names, tmp_path / "data")
    read = []

    def interrupted(path, with_landmarks=False):
        read.append(path)
        # Threads read in parallel: stop all after the seventh file.
        if next(numbers) >= 8:
            raise KeyboardInterrupt
        return original(path, with_landmarks)

    original, numbers = audit.audit_file, itertools.count(1)
    monkeypatch.setattr(audit, "audit_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        audit_files(names, tmp_path / "data", tmp_path / "out")
    numbers = itertools.repeat(1)
    # A kill may cut the last line short.
    journal = tmp_path / "out/audit.jsonl"
    journal.write_text(journal.read_text()[:-30])
    kept = journal.read_text().count('"ok"')
    assert 3 <= kept < 8
    read = [None] * 20
    assert audit_files(names, tmp_path / "data", tmp_path / "out") == expected
    assert len(read) - 20 <= len(names) - kept + 1
    read = [None] * 20
    assert audit_files(names, tmp_path / "data", tmp_path / "out") == expected
    assert len(read) == 20  # no file was read again


def test_changed_files_and_permissions_are_read_again(tmp_path, monkeypatch):
    names = sounds(tmp_path, 2)
    out = tmp_path / "out"
    reason = "unreadable: permission denied"
    monkeypatch.setattr(
        audit, "audit_file", lambda *_: audit.Audit("", reason=reason)
    )
    audit_files(names, tmp_path, out)
    monkeypatch.undo()
    assert audit_files(names, tmp_path, out)["0.wav"].verdict == "ok"
    soundfile.write(tmp_path / "1.wav", np.zeros(9000), 16000)
    audits = audit_files(names, tmp_path, out)
    assert [audits[name].verdict for name in names] == ["ok", "rejected"]


def test_audit_of_the_data_folder_is_trusted(tmp_path, monkeypatch):
    names = sounds(tmp_path, 3)
    expected = audit_files(names, tmp_path, tmp_path)
    monkeypatch.setattr(audit, "audit_file", None)
    assert audit_files(names, tmp_path, tmp_path / "run") == expected


def test_command_on_a_folder_of_bad_files(tmp_path, run):
    folder = tmp_path / "data"
    folder.mkdir()
    make_bad_files(folder)
    reasons = REASONS
    for name in ("missing.wav", "bare.raw", "folder.wav"):
        del reasons[name]
    good = sounds(folder / "good, really", 3)
    (folder / "._mac.wav").write_bytes(b"x")
    (folder / "notes.txt").write_text("x")
    done = run(folder, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    rows = {r["path"]: r for r in cells(tmp_path / "out/audit.csv")}
    assert set(rows) == {*reasons, *(f"good, really/{n}" for n in good)}
    rejected = {r["path"]: r for r in cells(tmp_path / "out/rejected.csv")}
    assert set(rejected) == set(reasons)
    for name, reason in reasons.items():
        assert rejected[name]["reason"].startswith(reason)
        assert rows[name]["verdict"] == "rejected"
    assert f"{len(rows)} files, 3 usable" in done.stdout


def test_command_reports_copies_across_splits(tmp_path, run):
    names = sounds(tmp_path, 6, seconds=2.0)
    samples, rate = soundfile.read(tmp_path / "0.wav")
    soundfile.write(tmp_path / "4.wav", samples, rate)
    soundfile.write(tmp_path / "5.wav", 0.3 * samples[4321:], rate)
    lines = ["recording_id,patient_id,path,split"]
    splits = ("train", "train", "valid", "valid", "test", "train")
    for i, (name, split) in enumerate(zip(names, splits)):
        lines.append(f"r{i},P{i % 5},{name},{split}")
    (tmp_path / "recordings.csv").write_text("\n".join(lines) + "\n")
    done = run(tmp_path / "recordings.csv", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    copies = {
        (r["kind"], r["path"], r["copy"], r["patients"], r["splits"])
        for r in cells(tmp_path / "out/duplicates.csv")
    }
    assert copies == {
        ("exact", "0.wav", "4.wav", "different: P0 and P4",
         "different: train and test"),
        ("near", "0.wav", "5.wav", "same", "same"),
        ("near", "5.wav", "4.wav", "different: P0 and P4",
         "different: train and test"),
    }  # fmt: skip
    assert (
        "1 exact and 2 near copies, 2 of another patient, 2 across splits: see"
    ) in done.stdout


def test_a_database_with_labels_and_double_rows(tmp_path, run):
    sounds(tmp_path, 3)
    (tmp_path / "3.wav").write_bytes((tmp_path / "0.wav").read_bytes())
    table = tmp_path / "recordings.csv"
    rows = [f"r{i},P1,{i}.wav,{'ab'[i % 2]}" for i in range(4)]
    header = "recording_id,patient_id,path,cause"
    table.write_text("\n".join([header, *rows]) + "\n")
    done = run(table, "--out", tmp_path / "out", "--label_column", "cause")
    assert done.returncode == 0, done.stderr
    [row] = cells(tmp_path / "out/duplicates.csv")
    assert row["labels"] == "different: a and b"
    assert ", 1 with another label" in done.stdout
    table.write_text("\n".join([header, *rows, "r9,P2,./1.wav,a"]) + "\n")
    done = run(table, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "row 6: 1.wav is listed in recordings.csv row 3" in done.stderr


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("no", None, "no does not exist"),
        (".", None, "holds no audio file"),
        ("x.csv", "", "is empty"),
        ("x.csv", "a,b\n1,2\n", "has no column 'path'"),
    ],
)
def test_wrong_usage_is_one_line(tmp_path, name, text, message, run):
    if text is not None:
        (tmp_path / name).write_text(text)
    done = run(tmp_path / name, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_names_that_are_not_unicode_are_written(tmp_path, run):
    sounds(tmp_path / "data", 2)
    os.rename(
        tmp_path / "data/0.wav", os.fsencode(tmp_path) + b"/data/\xe9.wav"
    )
    done = run(tmp_path / "data", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    row = cells(tmp_path / "out/rejected.csv")[0]
    assert row["path"] == "\\udce9.wav"
    assert "name not Unicode" in row["reason"]
