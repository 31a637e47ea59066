"""Preparation of UrbanSound8K's published layout."""

import pytest

from data_prep.files.errors import InputError
from data_prep.manifest import SPLITS, read_corpus
from data_prep.urbansound8k_prepare import prepare_urbansound8k

HEADER = "slice_file_name,fsID,start,end,salience,fold,classID,class"


@pytest.fixture
def urbansound8k(write, tmp_path):
    """Ten folds of two classes, two slices of one source each."""
    lines = [HEADER]
    for fold in range(1, 11):
        for number, label in ((3, "dog_bark"), (8, "siren")):
            for n in range(2):
                source = 1000 * fold + number
                name = f"{source}-{number}-0-{n}.wav"
                write(f"audio/fold{fold}/{name}")
                lines.append(
                    f"{name},{source},{n}.5,{n}.8,{1 + n},{fold},{number},"
                    f"{label}"
                )
    (tmp_path / "src/metadata").mkdir()
    table = tmp_path / "src/metadata/UrbanSound8K.csv"
    table.write_text("\n".join(lines) + "\n")
    return tmp_path / "src"


def test_official_folds_sources_and_classes(
    urbansound8k, prepared, patients, output, tmp_path, caplog
):
    splits = prepared(prepare_urbansound8k, urbansound8k)
    assert [len(splits[s]) for s in SPLITS] == [32, 4, 4]
    assert all(r.wav.startswith("audio/fold10/") for r in splits["test"])
    assert all(r.wav.startswith("audio/fold9/") for r in splits["valid"])
    assert patients(splits) == 20
    assert read_corpus(tmp_path / "out")["name"] == "UrbanSound8K"
    assert output("recordings.csv")[1] == {
        "recording_id": "1003-3-0-1",
        "patient_id": "fs1003",
        "path": "audio/fold1/1003-3-0-1.wav",
        "category": "dog_bark",
        "salience": "background",
        "fold": "1",
    }
    assert "8 of 10 classes differ" not in caplog.text
    assert "excerpts: 40 here, 8732 as published; 10 of 10" in caplog.text


def test_another_fold(urbansound8k, prepared):
    splits = prepared(prepare_urbansound8k, urbansound8k, test_fold=1)
    assert {r.patient_id for r in splits["test"]} == {"fs1003", "fs1008"}


@pytest.mark.parametrize(
    "old, new, message",
    [
        (",1003,", ",,", "UrbanSound8K.csv row 2: fsID is ''; expected a who"),
        (",1,3,dog_bark", ",x,3,dog_bark", "row 2: fold is 'x'; expected a"),
        (",dog_bark", ",cow", "row 2: class is 'cow'; expected one of air_co"),
        ("1003-3-0-0", "9", "row 2: audio/fold1/9.wav is not in .*add the f"),
        ("1003-3-0-0", "../fold1/1003-3-0-0", "is not in .*add the f"),
        ("fsID", "fs", "UrbanSound8K.csv has no column 'fsID'"),
        # A slice that somebody moved to the fold of another source.
        (",1003,", ",10003,", "fs10003"),
    ],
)
def test_bad_tables(urbansound8k, prepared, old, new, message):
    table = urbansound8k / "metadata/UrbanSound8K.csv"
    table.write_text(table.read_text().replace(old, new, 1))
    with pytest.raises(InputError, match=message):
        prepared(prepare_urbansound8k, urbansound8k)
