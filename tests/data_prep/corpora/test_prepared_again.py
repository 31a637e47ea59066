"""Data that were moved, linked, copied, touched or exchanged since."""

import os
import shutil

import pytest

from data_prep.clinical_prepare import prepare_clinical
from data_prep.files.errors import InputError
from data_prep.vggsound_prepare import prepare_vggsound

TASK = {"label_column": "neuro_injury", "classes": ["healthy", "injury"]}


@pytest.fixture
def run(database, tmp_path):
    """Data folder, and the manifests of a run that has begun."""
    folder, manifests = database(), tmp_path / "run/manifest"
    prepare_clinical(str(folder), str(manifests), **TASK)
    (tmp_path / "run/save/CKPT+1").mkdir(parents=True)
    return folder, manifests


def contents(manifests):
    names = [f"{s}.csv" for s in ("train", "valid", "test")]
    return [(manifests / name).read_text() for name in names]


def touched(folder):
    for path in folder.rglob("*"):
        os.utime(path, (1, 1))
    return folder


def moved(folder):
    return folder.rename(folder.with_name("scratch"))


def copied(folder):
    return shutil.copytree(folder, folder.with_name("copy"), copy_function=_new)


def _new(source, target):
    shutil.copyfile(source, target)
    os.utime(target, (2, 2))


def linked(folder):
    link = folder.with_name("link")
    link.symlink_to(folder)
    return link


def saved_by_a_spreadsheet(folder):
    table = folder / "recordings.csv"
    lines = table.read_text().splitlines()
    table.write_bytes("\r\n".join(lines).encode("utf-8-sig"))
    return folder


@pytest.mark.parametrize(
    "change", [touched, moved, copied, linked, saved_by_a_spreadsheet]
)
def test_the_same_data_elsewhere(run, change, caplog, monkeypatch):
    folder, manifests = run
    before = contents(manifests)
    caplog.set_level("INFO")
    changed = change(folder)
    monkeypatch.setattr(
        "data_prep.audio.audits.audit_file", lambda *a: 1 / 0
    )  # no file is decoded again
    for _ in range(2):
        prepare_clinical(str(changed), str(manifests), **TASK)
        assert contents(manifests) == before
    said = [m for m in caplog.messages if "the same content" in m]
    assert len(said) == (change in (moved, copied))
    assert not manifests.with_name("manifest.partial").exists()


def exchanged(folder):
    """By a recording of the same size and time."""
    path = folder / "audio/r3.wav"
    status = path.stat()
    shutil.copyfile(folder / "audio/r4.wav", path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def truncated(folder):
    os.truncate(folder / "audio/r3.wav", 5000)


def relabelled(folder):
    table = folder / "recordings.csv"
    text = table.read_text().replace(
        "r3,P1,audio/r3.wav,injury", "r3,P1,audio/r3.wav,healthy"
    )
    status = table.stat()
    table.write_text(text)
    os.utime(table, ns=(status.st_atime_ns, status.st_mtime_ns))


def without_checksums(folder):
    relabelled(folder)
    (folder.parent / "run/manifest/checksums.csv").unlink()


def reordered(folder):
    table = folder / "recordings.csv"
    header, *rows = table.read_text().splitlines()
    table.write_text("\n".join([header, *rows[::-1]]) + "\n")


@pytest.mark.parametrize(
    "change, word",
    [
        (without_checksums, "manifest/checksums.csv is missing"),
        (exchanged, "r3.wav is another file, or missing"),
        (truncated, "r3.wav is another file, or missing"),
        (relabelled, "would be another"),
        (reordered, "train.csv row 2 would be another"),
    ],
)
def test_other_data(run, change, word):
    """A run that has begun keeps its manifests; else they are made again."""
    folder, manifests = run
    change(folder)
    before = contents(manifests)
    with pytest.raises(InputError) as error:
        prepare_clinical(str(folder), str(manifests), **TASK)
    assert "changed since the run in" in str(error.value)
    assert word in str(error.value) and "\n" not in str(error.value)
    assert contents(manifests) == before
    assert not manifests.with_name("manifest.partial").exists()
    shutil.rmtree(manifests.with_name("save"))
    prepare_clinical(str(folder), str(manifests), **TASK)
    prepare_clinical(str(folder), str(manifests), **TASK)


def test_class_folders_elsewhere(noise, tmp_path, caplog):
    for i in range(8):
        noise(f"sounds/train/{'ab'[i % 2]}/v{i}_000001.wav", seconds=0.3)
        noise(f"sounds/test/{'ab'[i % 2]}/t{i}_000001.wav", seconds=0.3)
    manifests, sounds = tmp_path / "run/manifest", tmp_path / "sounds"
    prepare_vggsound(str(sounds), str(manifests))
    (tmp_path / "run/save/CKPT+1").mkdir(parents=True)
    caplog.set_level("INFO")
    prepare_vggsound(str(touched(moved(sounds))), str(manifests))
    assert any("the same content" in m for m in caplog.messages)
    (tmp_path / "scratch/train/a/v0_000001.wav").unlink()
    with pytest.raises(InputError, match="v0_000001.wav is another file, or"):
        prepare_vggsound(str(tmp_path / "scratch"), str(manifests))
