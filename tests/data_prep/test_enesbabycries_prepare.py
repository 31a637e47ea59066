"""Preparation of EnesBabyCries' published names."""

import pytest

from data_prep.enesbabycries_prepare import prepare_enesbabycries
from data_prep.files.errors import InputError
from data_prep.manifest import SPLITS

CAUSES = {"discomfort", "hunger", "isolation"}


@pytest.fixture
def enes(write, tmp_path):
    """12 babies at two ages; two single cries of each cause."""
    for i in range(12):
        for age in (1, 4):
            for cause in "FIS":
                for cry in ("1-3", "2-3"):
                    write(
                        f"cries/Bb{i:02d}_{'FM'[i % 2]}_{age}_NSP_{cause}_"
                        f"20180{age}12_1503_{cry}.wav"
                    )
    write("cries/Bb00_F_1_Douleur_D_20180112_1510_1-1.wav")
    write("cries/Bb00_F_1_Faim_DK_20180112_1511_1-1.wav")
    return tmp_path / "src"


def test_babies_are_never_divided(enes, prepared, patients, caplog):
    caplog.set_level("INFO")
    splits = prepared(prepare_enesbabycries, enes)
    assert patients(splits) == 12
    assert sum(len(splits[s]) for s in SPLITS) == 144
    for split in SPLITS:
        assert {r.label for r in splits[split]} == CAUSES
        assert {r.site for r in splits[split]} == {"home"}
    assert "2 recordings with another cause, or none, are not" in caplog.text
    assert "hunger: 48 single cries here, 13095 as published" in caplog.text
    assert "babies: 12 in total here, 24 as published" in caplog.text


def test_names_are_parsed(enes, prepared, output):
    prepared(prepare_enesbabycries, enes)
    by_name = {r["path"].split("/")[1]: r for r in output("recordings.csv")}
    row = by_name["Bb01_M_4_NSP_F_20180412_1503_2-3.wav"]
    del row["recording_id"], row["path"]
    assert row == {
        "patient_id": "Bb01",
        "cause": "hunger",
        "cause_parent": "",
        "sex": "M",
        "age_months": "3.5",
        "session": "Bb01_20180412_1503",
        "site": "home",
    }
    pain = by_name["Bb00_F_1_Douleur_D_20180112_1510_1-1.wav"]
    assert (pain["cause"], pain["cause_parent"]) == ("pain", "pain")
    unknown = by_name["Bb00_F_1_Faim_DK_20180112_1511_1-1.wav"]
    assert (unknown["cause"], unknown["cause_parent"]) == ("", "hunger")


def test_bouts_and_their_cries_are_reported(enes, write, prepared, caplog):
    write("bouts/Bb00_F_1_NSP_F_20180112_1503.wav")
    prepared(prepare_enesbabycries, enes)
    assert "1 bouts and 146 single cries hold the same sound" in caplog.text


def test_bouts_are_not_counted_as_cries(write, prepared, tmp_path, caplog):
    for i in range(9):
        for cause in "FI":
            write(f"Bb{i}_F_1_{cause}_{cause}_20180112_150{i}.wav")
    splits = prepared(prepare_enesbabycries, tmp_path / "src")
    assert sum(len(splits[s]) for s in SPLITS) == 18
    assert "single cries" not in caplog.text


@pytest.mark.parametrize("name", ["cry", "Bb1_F_1__F_20180112_1503_1-1"])
def test_other_names(write, prepared, tmp_path, name):
    write(f"{name}.wav")
    with pytest.raises(InputError, match=f"{name}.wav: the name is not <baby>"):
        prepared(prepare_enesbabycries, tmp_path / "src")
