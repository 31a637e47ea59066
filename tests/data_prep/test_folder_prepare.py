"""Any folder of audio, by any name."""

import os

import pytest

from data_prep.files.errors import InputError
from data_prep.files.tables import read_table
from data_prep.folder_prepare import prepare_folder
from data_prep.manifest import SPLITS, read


@pytest.fixture
def folder(write, tmp_path):
    """Six babies, each with two cries of hunger and two of pain."""
    for label in ("pain", "hunger"):
        for baby in range(6):
            for n in range(2):
                write(f"{label}/home/Baby{baby}_{n}.wav")
    return tmp_path / "src"


def prepare(folder, **options):
    out = folder.parent / "out"
    prepare_folder(str(folder), str(out), **options)
    return {
        s: read(out / f"{s}.csv") for s in SPLITS if (out / f"{s}.csv").exists()
    }


def test_labels_from_folders_and_patients_from_names(folder, caplog):
    splits = prepare(
        folder, labels_from_folders=True, patient="/(?P<patient>Baby.)_"
    )
    babies = [{r.patient_id for r in splits[s]} for s in SPLITS]
    assert sum(map(len, babies)) == len(set.union(*babies)) == 6
    for split in SPLITS:
        for r in splits[split]:
            assert r.label == r.wav.split("/")[0]
            assert r.patient_id == r.wav.split("/")[2][:5].lower()
            assert r.ID == r.wav
    assert "separate patient" not in caplog.text


def test_without_labels(folder):
    splits = prepare(folder, patient="(Baby.)")
    assert list(splits) == ["train", "valid"]
    assert sum(map(len, splits.values())) == 24
    assert {r.label for r in splits["train"]} == {""}


def test_without_patients_every_file_is_one_and_that_is_said(folder, caplog):
    splits = prepare(folder, labels_from_folders=True)
    patients = [r.patient_id for s in SPLITS for r in splits[s]]
    assert len(set(patients)) == len(patients) == 24
    said = [m for m in caplog.messages if "separate patient" in m]
    assert len(said) == 1
    assert (
        "the splits share that patient and metrics are too optimistic"
        in (said[0])
    )


def test_names_as_users_have_them(write, tmp_path):
    names = [
        "-rf.wav",
        "a b.wav",
        "a,b.wav",
        'a"b".wav',
        "a'b.wav",
        "a\nb.wav",
        "Zürich/écoute 赤ちゃん.wav",
        "a;b#c%20=1.wav",
        "1E05.wav",
    ]
    for name in names:
        write(name)
    splits = prepare(tmp_path / "src")
    found = [r.wav for recs in splits.values() for r in recs]
    assert sorted(found) == sorted(names)


def test_files_to_convert_are_rejected_with_the_cure(folder):
    (folder / "pain/x.3gp").write_bytes(b"\0\0\0\x18ftyp3gp4" + bytes(2000))
    splits = prepare(folder)
    assert sum(map(len, splits.values())) == 24
    _, row = read_table(folder.parent / "out/rejected.csv", ["reason"])[0]
    assert (row["path"], row["verdict"]) == ("pain/x.3gp", "rejected")
    assert "convert" in row["reason"]


def test_a_hidden_folder_and_the_second_time(folder, monkeypatch):
    (folder / ".trash").mkdir()
    (folder / ".trash/x.wav").touch()
    (folder / "pain/._Baby0_0.wav").touch()
    before = prepare(folder)
    monkeypatch.setattr("data_prep.corpora.preparation.audit", None)
    assert prepare(folder) == before  # not prepared again


@pytest.mark.parametrize(
    "patient, message",
    [
        ("(Baby", r"--patient '\(Baby' is not a regular expression: missing"),
        ("Baby.", "--patient 'Baby.' has no group; put the part"),
        ("(Boy.)", r"hunger/home/Baby0_0.wav: --patient .* finds no patient"),
        ("(x?)", r"Baby0_0.wav: --patient .* finds no patient in it"),
        (
            "(home)",
            "finds 'home' in all 24 files, so no patient can be held out",
        ),
    ],
)
def test_bad_expressions(folder, patient, message):
    with pytest.raises(InputError, match=message):
        prepare(folder, patient=patient)


def test_bad_folders(folder, write, tmp_path):
    with pytest.raises(InputError, match="no does not exist; pass a folder"):
        prepare(tmp_path / "no")
    with pytest.raises(InputError, match="wav is a file; pass the folder"):
        prepare(folder / "pain/home/Baby0_0.wav")
    with pytest.raises(InputError, match="holds no audio file"):
        (tmp_path / "empty").mkdir()
        prepare(tmp_path / "empty")
    with pytest.raises(InputError, match="src is the data folder itself"):
        prepare_folder(str(folder), str(folder))
    with pytest.raises(InputError, match="labels in .* are: home; two or"):
        prepare(folder / "pain", labels_from_folders=True)
    write("x.wav")
    with pytest.raises(InputError, match="x.wav is not in a sub-folder, which"):
        prepare(folder, labels_from_folders=True)


@pytest.mark.parametrize("name", [" a.wav", "a\rb.wav", b"a\xffb.wav"])
def test_names_that_a_csv_file_cannot_hold(folder, name):
    os.close(
        os.open(
            os.path.join(os.fsencode(folder), os.fsencode(name)), os.O_CREAT
        )
    )
    with pytest.raises(InputError, match="the name .*; rename it"):
        prepare(folder)
