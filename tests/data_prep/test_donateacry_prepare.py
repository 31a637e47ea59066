"""Preparation of Donate-a-Cry's published layout."""

from collections import Counter

import pytest

from data_prep.donateacry_prepare import COLUMNS, FOLDER, prepare_donateacry
from data_prep.files.errors import InputError
from data_prep.files.tables import read_table
from data_prep.manifest import SPLITS, read, read_corpus

UUID = "0d1ad73e-4c5e-45f3-85c4-9a3cb71e88%02d"
#: Two real names in unusual forms.
ODD = (
    "CF7F6316-019B-4B3C-9EE1-A62EB5F1D0EE-1426957748.47029-1-"
    "0911C8F7-99D0-4A44-BC34-894BA5D83032-f-26-ti.caf.caf",
    "CF7F6316-019B-4B3C-9EE1-A62EB5F1D0EE-1426958010-1.0-"
    "96274EC9-59EB-49E3-96F3-A24D498FB7C3-f-26-ti.caf.caf",
)


@pytest.fixture
def donateacry(write, tmp_path):
    """37 clips of 13 installations; every other clip as iOS writes it."""
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


def test_names_are_parsed(donateacry, prepared, output):
    prepared(prepare_donateacry, donateacry)
    rows = output("recordings.csv")
    assert tuple(rows[0]) == COLUMNS and len(rows) == 37
    assert len({row["patient_id"] for row in rows}) == 13
    assert all(row["patient_id"].islower() for row in rows)
    triggers = {"hunger": 12, "pain": 12, "discomfort": 12, "": 1}
    assert Counter(row["trigger"] for row in rows) == triggers
    for site in ("android", "ios"):
        row = next(r for r in rows if r["site"] == site)
        assert row["recorded_at"].startswith("2015-05-04T12:")
    assert (row["age"], row["gender"]) == ("0-4 weeks", "m")


def test_reasons_are_the_folders_and_installations_are_never_divided(
    donateacry, prepared, patients, tmp_path, caplog
):
    splits = prepared(prepare_donateacry, donateacry)
    reasons = {"hungry", "belly_pain", "discomfort", "tired"}
    assert {r.label for r in splits["train"]} == reasons
    assert patients(splits) == 13
    assert all(r.wav.startswith(FOLDER) for r in splits["test"])
    corpus = {"name": "Donate-a-Cry", "synthetic": False}
    assert read_corpus(tmp_path / "out") == corpus
    assert "hungry: 12 clips here, 382 as published" in caplog.messages
    assert "burping: 0 clips here, 8 as published" in caplog.messages
    # The folder of class folders works too.
    splits = prepared(prepare_donateacry, donateacry / FOLDER)
    assert splits["train"][0].wav.split("/")[0] in reasons


def test_other_labels(donateacry, prepared):
    trigger = prepared(prepare_donateacry, donateacry, label_column="trigger")
    labels = {"discomfort", "hunger", "pain"}
    assert {r.label for r in trigger["train"]} == labels
    assert sum(len(trigger[s]) for s in SPLITS) == 36
    gender = prepared(prepare_donateacry, donateacry, label_column="gender")
    assert {r.label for r in gender["train"]} == {"f", "m"}


def test_uploads_of_a_labelled_installation_are_left_out(
    donateacry, write, prepared, patients, tmp_path, caplog
):
    labelled = (UUID % 3).upper() + "-1430742999-1.0-f-04-dk.flac"
    write(f"raw/ios/{labelled}")
    for i in range(20, 24):
        write(f"raw/android/{UUID % i}-1430742197000-1.7-m-22-lo.3gp.flac")
        write(f"raw/android/{UUID % i}-1430742198000-1.7-m-22-hu.flac")
    for name in ODD:
        write("raw/ios/" + name.replace(".caf.caf", ".caf.flac"))
    prepared(prepare_donateacry, donateacry, raw=str(donateacry / "raw"))
    out = tmp_path / "out/unlabelled"
    splits = {s: read(out / f"{s}.csv") for s in ("train", "valid")}
    assert patients(splits) == 5
    recordings = [r for recs in splits.values() for r in recs]
    expected = {UUID % i for i in range(20, 24)} | {ODD[0][:36].lower()}
    assert {r.patient_id for r in recordings} == expected
    assert {r.label for r in recordings} == {""}
    [(_, rejected)] = read_table(out / "rejected.csv", [])
    assert rejected == {
        "path": f"ios/{labelled}",
        "verdict": "excluded",
        "reason": "patient of an --exclude table",
    }
    assert read_corpus(out)["name"] == "Donate-a-Cry (raw uploads)"
    assert "ios: 3 raw uploads here, 416 as published" in caplog.messages
    reasons = {r["reason"] for _, r in read_table(out / "recordings.csv", [])}
    assert reasons == {"lonely", "hungry", "tired", "unknown"}


def test_uploads_that_are_not_converted(donateacry, write, prepared, caplog):
    raw = donateacry / "raw"
    raw.mkdir()
    for name in ODD:
        (raw / name).touch()
    with pytest.raises(InputError, match="2 uploads in .* are not converted.*"):
        prepared(prepare_donateacry, donateacry, raw=str(raw))
    for i in range(20, 24):
        write(f"raw/{UUID % i}-1430742197000-1.7-m-22-lo.flac")
    (raw / f"{UUID % 20}-1430742197000-1.7-m-22-lo.3gp").touch()
    prepared(prepare_donateacry, donateacry, raw=str(raw))
    assert "2 uploads that are not converted are left out" in caplog.text


@pytest.mark.parametrize(
    "file, options, message",
    [
        (f"{FOLDER}/hungry/cry one.wav", {}, "cry one.wav: the name is not"),
        ("raw/cry.wav", {"raw": "src/raw"}, "cry.wav: the name is not"),
        (None, {"raw": "no"}, "no does not exist; pass the conv"),
        (None, {"label_column": "cause"}, "'cause'; expected one of reason"),
    ],
)
def test_refusals(
    donateacry, prepared, tmp_path, monkeypatch, file, options, message
):
    monkeypatch.chdir(tmp_path)
    if file:
        (donateacry / file).parent.mkdir(exist_ok=True)
        (donateacry / file).touch()
    with pytest.raises(InputError, match=message):
        prepared(prepare_donateacry, donateacry, **options)
