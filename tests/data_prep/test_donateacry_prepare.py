"""Donate-a-Cry's published layout."""

import pytest

from data_prep.corpora.labelled import prepare_clinical
from data_prep.donateacry_prepare import COLUMNS, prepare_donateacry
from data_prep.files.errors import InputError
from data_prep.files.tables import read_table
from data_prep.manifest import SPLITS, read, read_corpus

FOLDER = "donateacry_corpus_cleaned_and_updated_data"
UUID = "0d1ad73e-4c5e-45f3-85c4-9a3cb71e88%02d"
#: Two real names that are not like the others.
ODD = (
    "CF7F6316-019B-4B3C-9EE1-A62EB5F1D0EE-1426957748.47029-1-"
    "0911C8F7-99D0-4A44-BC34-894BA5D83032-f-26-ti.caf.caf",
    "CF7F6316-019B-4B3C-9EE1-A62EB5F1D0EE-1426958010-1.0-"
    "96274EC9-59EB-49E3-96F3-A24D498FB7C3-f-26-ti.caf.caf",
)


@pytest.fixture
def donateacry(write, tmp_path):
    """36 clips of 12 installs; every other clip as iOS writes it."""
    reasons = [("hungry", "hu"), ("belly_pain", "bp"), ("discomfort", "ch")]
    for i in range(36):
        uuid, ios = UUID % (i // 3), i % 2
        uuid = uuid.upper() if ios else uuid
        epoch = 1430742197 + i if ios else (1430742197 + i) * 1000
        reason, code = reasons[i % 3]
        gender = "mf"[i // 3 % 2]
        write(f"{FOLDER}/{reason}/{uuid}-{epoch}-1.1-{gender}-04-{code}.wav")
    write(f"{FOLDER}/tired/{UUID % 99}-1430742197000-1.0-m-26-ti.wav")
    return tmp_path / "src"


def prepare(folder, **options):
    prepare_donateacry(str(folder), str(folder.parent / "out"), **options)
    return {s: read(folder.parent / f"out/{s}.csv") for s in SPLITS}


def test_names_are_parsed(donateacry):
    prepare(donateacry)
    table = donateacry.parent / "out/recordings.csv"
    rows = [row for _, row in read_table(table, COLUMNS)]
    assert list(rows[0]) == list(COLUMNS)
    assert len(rows) == 37
    assert len({row["patient_id"] for row in rows}) == 13
    assert all(row["patient_id"].islower() for row in rows)
    by_trigger = [row["trigger"] for row in rows]
    assert {t: by_trigger.count(t) for t in set(by_trigger)} == {
        "hunger": 12,
        "pain": 12,
        "discomfort": 12,
        "": 1,
    }
    android = next(r for r in rows if r["site"] == "android")
    ios = next(r for r in rows if r["site"] == "ios")
    for row in (android, ios):
        assert row["recorded_at"].startswith("2015-05-04T12:")
    assert (ios["age"], ios["gender"]) == ("0-4 weeks", "m")


def test_reasons_are_the_folders_and_installs_are_never_divided(
    donateacry, caplog
):
    splits = prepare(donateacry)
    assert {r.label for r in splits["train"]} == {
        "hungry",
        "belly_pain",
        "discomfort",
        "tired",
    }
    installs = [{r.patient_id for r in splits[s]} for s in SPLITS]
    assert sum(map(len, installs)) == len(set.union(*installs)) == 13
    assert all(r.wav.startswith(FOLDER) for r in splits["test"])
    corpus = read_corpus(donateacry.parent / "out")
    assert corpus == {"name": "Donate-a-Cry", "synthetic": False}
    assert "hungry: 12 clips here, 382 as published" in caplog.messages
    assert "burping: 0 clips here, 8 as published" in caplog.messages


def test_the_class_folders_themselves(donateacry):
    splits = prepare(donateacry / FOLDER)
    assert splits["train"][0].wav.split("/")[0] in ("hungry", "belly_pain")


def test_other_labels(donateacry):
    trigger = prepare(donateacry, label_column="trigger")
    labels = {r.label for r in trigger["train"]}
    assert labels == {"discomfort", "hunger", "pain"}
    assert sum(len(trigger[s]) for s in SPLITS) == 36
    gender = prepare(donateacry, label_column="gender")
    assert {r.label for r in gender["train"]} == {"f", "m"}
    with pytest.raises(
        InputError, match="'cause'; expected one of reason, tri"
    ):
        prepare(donateacry, label_column="cause")


def test_its_recordings_csv_is_a_database(donateacry):
    prepare(donateacry)
    out = donateacry.parent / "trigger"
    prepare_clinical(
        str(donateacry),
        str(out),
        label_column="trigger",
        classes=["discomfort", "hunger", "pain"],
        recordings_csv=str(donateacry.parent / "out/recordings.csv"),
    )
    assert sum(len(read(out / f"{s}.csv")) for s in SPLITS) == 36


def test_uploads_of_a_labelled_install_are_never_adapted_on(
    donateacry, write, caplog
):
    labelled = (UUID % 3).upper() + "-1430742999-1.0-f-04-dk.flac"
    write(f"raw/ios/{labelled}")
    for i in range(20, 24):
        write(f"raw/android/{UUID % i}-1430742197000-1.7-m-22-lo.3gp.flac")
        write(f"raw/android/{UUID % i}-1430742198000-1.7-m-22-hu.flac")
    for name in ODD:
        write("raw/ios/" + name.replace(".caf.caf", ".caf.flac"))
    prepare(donateacry, raw=str(donateacry / "raw"))
    out = donateacry.parent / "out/unlabelled"
    splits = {s: read(out / f"{s}.csv") for s in ("train", "valid")}
    heard = [{r.patient_id for r in recs} for recs in splits.values()]
    assert heard[0] | heard[1] == {UUID % i for i in range(20, 24)} | {
        ODD[0][:36].lower()
    }
    assert not heard[0] & heard[1]
    assert {r.label for recs in splits.values() for r in recs} == {""}
    assert [row for _, row in read_table(out / "rejected.csv", [])] == [
        {
            "path": f"ios/{labelled}",
            "verdict": "excluded",
            "reason": "patient of an --exclude table",
        }
    ]
    assert read_corpus(out)["name"] == "Donate-a-Cry (raw uploads)"
    assert "ios: 3 raw uploads here, 416 as published" in caplog.messages
    rows = [row for _, row in read_table(out / "recordings.csv", [])]
    assert {row["reason"] for row in rows} == {
        "lonely",
        "hungry",
        "tired",
        "unknown",
    }


def test_uploads_that_are_not_converted(donateacry, write, caplog):
    raw = donateacry / "raw"
    raw.mkdir()
    for name in ODD:
        (raw / name).touch()
    with pytest.raises(InputError, match="2 uploads in .* are not converted.*"):
        prepare(donateacry, raw=str(raw))
    for i in range(20, 24):
        write(f"raw/{UUID % i}-1430742197000-1.7-m-22-lo.flac")
    (raw / f"{UUID % 20}-1430742197000-1.7-m-22-lo.3gp").touch()
    prepare(donateacry, raw=str(raw))
    assert (
        "2 uploads that are not converted are left out, such as CF7F"
        in caplog.text
    )


def test_refuses_other_names_and_other_folders(donateacry, tmp_path):
    wrong = donateacry / FOLDER / "hungry/cry one.wav"
    wrong.touch()
    with pytest.raises(InputError, match="hungry/cry one.wav: the name is not"):
        prepare(donateacry)
    wrong.unlink()
    (donateacry / "raw").mkdir()
    (donateacry / "raw/cry.wav").touch()
    with pytest.raises(InputError, match="cry.wav: the name is not"):
        prepare(donateacry, raw=str(donateacry / "raw"))
    with pytest.raises(InputError, match="no does not exist; pass the conv"):
        prepare(donateacry, raw=str(donateacry / "no"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no audio file"):
        prepare(tmp_path / "empty")
    (tmp_path / "empty/a.wav").touch()
    with pytest.raises(InputError, match="holds no class folder"):
        prepare(tmp_path / "empty")
