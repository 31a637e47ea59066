"""Donate-a-Cry's published layout."""

import pytest

from data_prep.clinical_prepare import prepare_clinical
from data_prep.donateacry_prepare import COLUMNS, prepare_donateacry
from data_prep.errors import InputError
from data_prep.manifest import SPLITS, read
from data_prep.tables import read_table

FOLDER = "donateacry_corpus_cleaned_and_updated_data"
UUID = "0d1ad73e-4c5e-45f3-85c4-9a3cb71e88%02d"


@pytest.fixture
def donateacry(noise, tmp_path):
    """36 clips of 12 installs; every other clip as iOS writes it."""
    reasons = [("hungry", "hu"), ("belly_pain", "bp"), ("discomfort", "ch")]
    for i in range(36):
        uuid, ios = UUID % (i // 3), i % 2
        uuid = uuid.upper() if ios else uuid
        epoch = 1430742197 + i if ios else (1430742197 + i) * 1000
        reason, code = reasons[i % 3]
        noise(
            f"{FOLDER}/{reason}/{uuid}-{epoch}-1.1-f-04-{code}.wav", rate=8000
        )
    noise(f"{FOLDER}/tired/{UUID % 99}-1430742197000-1.0-m-26-ti.wav")
    return tmp_path


def test_names_are_parsed(donateacry):
    table = prepare_donateacry(str(donateacry), str(donateacry / "out"))
    rows = [row for _, row in read_table(table, COLUMNS)]
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
    assert (ios["age"], ios["gender"]) == ("0-4 weeks", "f")


def test_manifests_from_it_never_divide_an_install(donateacry):
    table = prepare_donateacry(str(donateacry), str(donateacry / "out"))
    prepare_clinical(
        str(donateacry),
        str(donateacry / "manifest"),
        label_column="trigger",
        classes=["discomfort", "hunger", "pain"],
        recordings_csv=str(table),
    )
    installs = [
        {r.patient_id for r in read(donateacry / f"manifest/{s}.csv")}
        for s in SPLITS
    ]
    assert sum(map(len, installs)) == len(set.union(*installs)) == 12


def test_refuses_other_names_and_other_folders(donateacry, tmp_path):
    (donateacry / FOLDER / "hungry/cry one.wav").touch()
    with pytest.raises(InputError, match="hungry/cry one.wav: the name is not"):
        prepare_donateacry(str(donateacry), str(tmp_path / "out"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no class folder"):
        prepare_donateacry(str(tmp_path / "empty"), str(tmp_path / "out"))
