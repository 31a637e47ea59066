"""Preparation of ESC-50's published layout."""

from collections import Counter

import pytest

from data_prep.esc50_prepare import prepare_esc50
from data_prep.files.errors import InputError
from data_prep.manifest import SPLITS, read_corpus


def test_official_folds_sources_and_categories(
    esc50, prepared, patients, output, tmp_path, caplog
):
    splits = prepared(prepare_esc50, esc50)
    assert [len(splits[s]) for s in SPLITS] == [37, 12, 12]
    assert all(r.wav.startswith("audio/5-") for r in splits["test"])
    assert all(r.wav.startswith("audio/4-") for r in splits["valid"])
    first = splits["train"][0]
    facts = first.ID, first.patient_id, first.label
    assert facts == ("1-1000-A-20", "fs1000", "crying_baby")
    assert patients(splits) == 30
    assert read_corpus(tmp_path / "out")["name"] == "ESC-50"
    assert "clips: 61 in total here, 2000 as published" in caplog.text
    assert "categories: 3 in total here, 50 as published" in caplog.text
    assert "crying_baby: 20 clips here, 40 as published" in caplog.text
    sounds = Counter(row["sound"] for row in output("recordings.csv"))
    assert sounds == {"crying_baby": 20, "other": 41}
    # A source in two official folds.
    assert "moved to the first: 5-3000-C-1 to fold 3" in caplog.text
    where = {s for s in SPLITS for r in splits[s] if r.patient_id == "fs3000"}
    assert where == {"train"}


def test_other_folds(esc50, prepared):
    splits = prepared(prepare_esc50, esc50, test_fold=1, valid_fold=2)
    assert {r.wav[6] for r in splits["test"]} == {"1"}
    with pytest.raises(InputError, match="test_fold is 9; .* has the folds 1"):
        prepared(prepare_esc50, esc50, test_fold=9)


@pytest.mark.parametrize(
    "old, new, message",
    [
        (",20,", ",x,", "esc50.csv row 2: target is 'x'; expected a whole"),
        (",1000,A", ",,A", "esc50.csv row 2: src_file is empty"),
        ("1-1000-A-20", "9-9", "row 2: audio/9-9.wav is not in .*remove the"),
        ("category", "label", "esc50.csv has no column 'category'"),
    ],
)
def test_bad_tables(esc50, prepared, old, new, message):
    table = esc50 / "meta/esc50.csv"
    table.write_text(table.read_text().replace(old, new, 1))
    with pytest.raises(InputError, match=message):
        prepared(prepare_esc50, esc50)


def test_other_folders(esc50, prepared):
    with pytest.raises(InputError, match="no meta/esc50.csv; pass .*src"):
        prepared(prepare_esc50, esc50.parent)
    with pytest.raises(InputError, match="is a file; pass the folder"):
        prepared(prepare_esc50, esc50 / "meta/esc50.csv")
