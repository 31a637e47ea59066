"""Preparation of the cries of 22 babies in their published layout."""

import pytest

from data_prep.corvin_prepare import prepare_corvin
from data_prep.files.errors import InputError
from data_prep.manifest import SPLITS, read_corpus


@pytest.fixture
def corvin(write, tmp_path):
    """Twelve babies with two cries at the bath and one at a vaccination."""
    for i in range(12):
        baby = f"{chr(65 + i)}MJ"
        for name in ("B01", "B02", "D01"):
            write(f"{baby}_{name}.wav")
    return tmp_path / "src"


def test_labels_babies_and_counts(
    corvin, prepared, patients, output, tmp_path, caplog
):
    splits = prepared(prepare_corvin, corvin)
    assert sum(len(splits[s]) for s in SPLITS) == 36
    assert patients(splits) == 12
    assert read_corpus(tmp_path / "out")["name"] == "Corvin et al. 2024"
    rows = output("recordings.csv")
    assert rows[0] == {
        "recording_id": "AMJ_B01",
        "patient_id": "AMJ",
        "path": "AMJ_B01.wav",
        "pain": "discomfort",
        "context": "bath",
    }
    assert (rows[2]["pain"], rows[2]["context"]) == ("pain", "vaccination")
    assert "pain: 12 cries here, 88 as published" in caplog.messages
    assert "babies: 12 in total here, 22 as published" in caplog.messages


@pytest.mark.parametrize("name", ["AMJ_C01.wav", "AMJ_B01 (1).wav", "x.wav"])
def test_another_name(corvin, write, prepared, name):
    write(name)
    with pytest.raises(InputError, match="the name is not <baby>_<B|D><num"):
        prepared(prepare_corvin, corvin)


def test_one_kind_only(corvin, prepared):
    for path in corvin.glob("*_D*.wav"):
        path.unlink()
    with pytest.raises(InputError, match="labels in .* are: discomfort; two"):
        prepared(prepare_corvin, corvin)
