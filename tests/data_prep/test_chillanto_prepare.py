"""Preparation of Baby Chillanto's published layout."""

import pytest

from data_prep.chillanto_prepare import RECORDINGS, prepare_chillanto
from data_prep.files.errors import InputError
from data_prep.manifest import SPLITS

CODES = {
    "normal": "000",
    "hunger": "001",
    "pain": "002",
    "deaf": "010",
    "asphyxia": "030",
}


@pytest.fixture
def chillanto(write, tmp_path):
    """All 73 recordings with three fragments each, and a full one."""
    number = 0
    for condition, n in RECORDINGS.items():
        folder = "1S_Deaf" if condition == "deaf" else f"1s_{condition}"
        for _ in range(n):
            number += 1
            for i in range(1, 4):
                write(f"{folder}/{number:04d}{i:03d}{CODES[condition]}.wav")
    write("Full_pain/0040.wav")
    return tmp_path / "src"


def test_recordings_are_never_divided(
    chillanto, prepared, patients, output, caplog
):
    splits = prepared(prepare_chillanto, chillanto)
    assert patients(splits) == 73
    per_split = [
        len({r.patient_id for r in splits[s] if r.label == "normal"})
        for s in SPLITS
    ]
    assert per_split == [3, 1, 1]
    assert all({r.label for r in splits[s]} == set(CODES) for s in SPLITS)
    assert "deaf: 18 fragments here, 879 as published" in caplog.text
    assert "recordings here" not in caplog.text
    assert "1 audio files outside the class folders" in caplog.text
    assert output("recordings.csv")[0] == {
        "recording_id": "deaf_0062001010",
        "patient_id": "deaf_0062",
        "path": "1S_Deaf/0062001010.wav",
        "condition": "deaf",
    }
    other = prepared(prepare_chillanto, chillanto, seed=1)
    assert splits["test"] != other["test"]


def test_other_names(chillanto, prepared):
    (chillanto / "1s_pain/cry 1.wav").touch()
    with pytest.raises(InputError, match="1s_pain/cry 1.wav: the name is not"):
        prepared(prepare_chillanto, chillanto)
