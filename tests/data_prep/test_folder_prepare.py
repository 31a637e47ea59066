"""Preparation of any folder of audio."""

import os

import pytest

from data_prep.files.errors import InputError
from data_prep.folder_prepare import prepare_folder


@pytest.fixture
def folder(write, tmp_path):
    """Six babies, each with two cries of hunger and two of pain."""
    for label in ("pain", "hunger"):
        for baby in range(6):
            for n in range(2):
                write(f"{label}/home/Baby{baby}_{n}.wav")
    return tmp_path / "src"


def test_labels_from_folders_and_patients_from_names(
    folder, prepared, patients, caplog
):
    pattern = "/(?P<patient>Baby.)_"
    options = {"labels_from_folders": True, "patient": pattern}
    splits = prepared(prepare_folder, folder, **options)
    assert list(splits) == ["train", "valid", "test"]
    assert patients(splits) == 6
    for rec in sum(splits.values(), []):
        assert rec.label == rec.wav.split("/")[0]
        assert rec.patient_id == rec.wav.split("/")[2][:5]
        assert rec.ID == rec.wav
    assert "separate patient" not in caplog.text


def test_output_inside_the_listed_folder_is_refused(folder):
    with pytest.raises(InputError, match="out is inside .*outside it"):
        prepare_folder(str(folder), str(folder / "out"))


def test_without_labels(folder, prepared):
    splits = prepared(prepare_folder, folder, patient="(Baby.)")
    assert list(splits) == ["train", "valid"]
    assert sum(map(len, splits.values())) == 24
    assert {r.label for r in splits["train"]} == {""}


def test_without_patients_every_file_is_one_with_a_warning(
    folder, prepared, patients, caplog
):
    splits = prepared(prepare_folder, folder, labels_from_folders=True)
    assert patients(splits) == 24
    [message] = [m for m in caplog.messages if "separate patient" in m]
    assert "the splits share that patient and metrics are too" in message


def test_unusual_names(write, prepared, tmp_path):
    names = [
        *("-rf.wav", "a b.wav", "a,b.wav", 'a"b".wav', "a'b.wav", "a\nb.wav"),
        *("Zürich/écoute 赤ちゃん.wav", "a;b#c%20=1.wav", "1E05.wav"),
    ]
    for name in names:
        write(name)
    splits = prepared(prepare_folder, tmp_path / "src")
    paths = [r.wav for recs in splits.values() for r in recs]
    assert sorted(paths) == sorted(names)


def test_files_to_convert_are_rejected_with_the_cure(folder, prepared, output):
    (folder / "pain/x.3gp").write_bytes(b"\0\0\0\x18ftyp3gp4" + bytes(2000))
    splits = prepared(prepare_folder, folder)
    assert sum(map(len, splits.values())) == 24
    row = output("rejected.csv")[0]
    assert (row["path"], row["verdict"]) == ("pain/x.3gp", "rejected")
    assert "convert" in row["reason"]


@pytest.mark.parametrize(
    "source, options, message",
    [
        (".", {"patient": "(Baby"}, r"--patient '\(Baby' is not a regular exp"),
        (".", {"patient": "Baby."}, "--patient 'Baby.' has no group; put the"),
        (".", {"patient": "(Boy.)"}, r"x.wav: --patient .* finds no patient"),
        (".", {"patient": "(x?)"}, r"x.wav: --patient .* finds no patient"),
        (".", {"patient": "(home)"}, "finds 'home' in all 25 files, so no pat"),
        ("no", {}, "no does not exist; pass a folder"),
        ("pain/home/Baby0_0.wav", {}, "wav is a file; pass the folder"),
        ("empty", {}, "holds no audio file"),
        ("pain", {"labels_from_folders": True}, "labels in .* are: home; two"),
        (".", {"labels_from_folders": True}, "x.wav is not in a sub-folder"),
    ],
)
def test_refusals(folder, write, prepared, source, options, message):
    write("home_x.wav")
    (folder / "empty").mkdir()
    with pytest.raises(InputError, match=message):
        prepared(prepare_folder, folder / source, **options)


@pytest.mark.parametrize("name", [" a.wav", "a\rb.wav", b"a\xffb.wav"])
def test_names_that_a_csv_file_cannot_hold(folder, prepared, name):
    path = os.path.join(os.fsencode(folder), os.fsencode(name))
    os.close(os.open(path, os.O_CREAT))
    with pytest.raises(InputError, match="the name .*; rename it"):
        prepared(prepare_folder, folder)
