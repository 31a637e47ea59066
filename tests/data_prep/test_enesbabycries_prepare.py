"""EnesBabyCries' published names."""

import numpy as np
import pytest
import soundfile

from data_prep.enesbabycries_prepare import prepare_enesbabycries
from data_prep.files.errors import InputError
from data_prep.files.tables import read_table
from data_prep.manifest import SPLITS, read


@pytest.fixture
def write(tmp_path):
    rng = np.random.default_rng(0)

    def write(name):
        path = tmp_path / "enes" / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, rng.normal(0, 0.1, 2400), 8000)

    return write


@pytest.fixture
def enes(write, tmp_path):
    """12 babies at two ages; two single cries of each cause."""
    for i in range(12):
        baby, sex = f"Bb{i:02d}", "FM"[i % 2]
        for age in (1, 4):
            for cause in ("F", "I", "S"):
                for cry in ("1-3", "2-3"):
                    write(
                        f"00_pooled_separate/{baby}_{sex}_{age}_NSP_{cause}_"
                        f"20180{age}12_1503_{cry}"
                    )
    write("00_pooled_separate/Bb00_F_1_Douleur_D_20180112_1510_1-1")
    write("00_pooled_separate/Bb00_F_1_Faim_DK_20180112_1511_1-1")
    return tmp_path / "enes"


def prepare(folder, **options):
    prepare_enesbabycries(str(folder), str(folder.parent / "out"), **options)
    return {s: read(folder.parent / f"out/{s}.csv") for s in SPLITS}


def rows(folder):
    return [r for _, r in read_table(folder.parent / "out/recordings.csv", [])]


def test_babies_are_never_divided(enes, caplog):
    caplog.set_level("INFO")
    splits = prepare(enes)
    babies = [{r.patient_id for r in splits[s]} for s in SPLITS]
    assert sum(map(len, babies)) == len(set.union(*babies)) == 12
    assert sum(len(splits[s]) for s in SPLITS) == 144
    for split in SPLITS:
        assert {r.label for r in splits[split]} == {
            "discomfort",
            "hunger",
            "isolation",
        }
        assert {r.site for r in splits[split]} == {"home"}
    assert "2 recordings with another cause, or none, are not" in caplog.text
    assert "hunger: 48 single cries here, 13095 as published" in caplog.text
    assert "babies: 12 in total here, 24 as published" in caplog.text


def test_names_are_parsed(enes):
    prepare(enes)
    by_name = {row["path"].split("/")[1]: row for row in rows(enes)}
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


def test_bouts_beside_their_cries_are_reported(enes, write, caplog):
    write("bouts/Bb00_F_1_NSP_F_20180112_1503")
    prepare(enes)
    assert (
        "1 bouts and 146 single cries hold the same sound twice" in caplog.text
    )


def test_bouts_alone_are_not_counted_as_cries(write, tmp_path, caplog):
    for i in range(9):
        for cause in "FI":
            write(f"Bb{i}_F_1_{cause}_{cause}_20180112_150{i}")
    splits = prepare(tmp_path / "enes")
    assert sum(len(splits[s]) for s in SPLITS) == 18
    assert "single cries" not in caplog.text


@pytest.mark.parametrize("name", ["cry", "Bb1_F_1__F_20180112_1503_1-1"])
def test_other_names(enes, write, name):
    write(name)
    with pytest.raises(InputError, match=f"{name}.wav: the name is not <baby>"):
        prepare(enes)


def test_other_folders(tmp_path):
    with pytest.raises(InputError, match="holds no audio file"):
        prepare(tmp_path)
