"""Baby Chillanto's published layout."""

import numpy as np
import pytest
import soundfile

from data_prep.chillanto_prepare import RECORDINGS, prepare_chillanto
from data_prep.files.errors import InputError
from data_prep.files.tables import read_table
from data_prep.manifest import SPLITS, read

CODES = {
    "normal": "000",
    "hunger": "001",
    "pain": "002",
    "deaf": "010",
    "asphyxia": "030",
}


@pytest.fixture
def chillanto(tmp_path):
    """All 73 recordings with three fragments each, and a full one."""
    rng = np.random.default_rng(0)

    def write(name):
        path = tmp_path / "chillanto" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, rng.normal(0, 0.1, 2400), 8000)

    number = 0
    for condition, n in RECORDINGS.items():
        folder = "1S_Deaf" if condition == "deaf" else f"1s_{condition}"
        for _ in range(n):
            number += 1
            for fragment in range(1, 4):
                write(
                    f"{folder}/{number:04d}{fragment:03d}{CODES[condition]}.wav"
                )
    write("Full_pain/0040.wav")
    return tmp_path / "chillanto"


def prepare(folder, **options):
    prepare_chillanto(str(folder), str(folder.parent / "out"), **options)
    return {s: read(folder.parent / f"out/{s}.csv") for s in SPLITS}


def test_recordings_are_never_divided(chillanto, caplog):
    splits = prepare(chillanto)
    recordings = {s: {r.patient_id for r in splits[s]} for s in SPLITS}
    everyone = set.union(*recordings.values())
    assert sum(map(len, recordings.values())) == len(everyone) == 73
    assert {"normal_0001", "hunger_0006", "asphyxia_0073"} < everyone
    per_split = [
        sum(name.startswith("normal") for name in recordings[s]) for s in SPLITS
    ]
    assert per_split == [3, 1, 1]
    for split in SPLITS:
        assert {r.label for r in splits[split]} == set(CODES)
    assert "deaf: 18 fragments here, 879 as published" in caplog.text
    assert "recordings here" not in caplog.text
    assert (
        "1 audio files outside the class folders are left out, such as Full_"
        in (caplog.text)
    )
    rows = read_table(chillanto.parent / "out/recordings.csv", ["condition"])
    assert rows[0][1] == {
        "recording_id": "deaf_0062001010",
        "patient_id": "deaf_0062",
        "path": "1S_Deaf/0062001010.wav",
        "condition": "deaf",
    }


def test_another_seed_is_another_split(chillanto):
    first, other = prepare(chillanto), prepare(chillanto, seed=1)
    assert first["test"] != other["test"]


def test_other_names_and_other_folders(chillanto, tmp_path):
    (chillanto / "1s_pain/cry 1.wav").touch()
    with pytest.raises(InputError, match="1s_pain/cry 1.wav: the name is not"):
        prepare(chillanto)
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x.wav").touch()
    with pytest.raises(InputError, match="no class folder .1s_normal, 1s_hung"):
        prepare(tmp_path / "a")
