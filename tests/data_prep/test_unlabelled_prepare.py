"""Nobody who is held out is adapted on."""

import pytest

from data_prep.errors import InputError
from data_prep.manifest import read
from data_prep.tables import read_table
from data_prep.unlabelled_prepare import prepare_unlabelled


def test_unlabelled_leaves_out_held_out_patients(database, tmp_path):
    """All recordings of a test patient, also those without a split."""
    splits = ["", "train", "test"]
    folder = database(
        ",split", lambda i: "," + (splits[i // 2 % 3] if i % 2 else "")
    )
    exclude = tmp_path / "held_out.csv"
    exclude.write_text("patient_id\np0\nP1\n")
    prepare_unlabelled(
        str(folder), str(tmp_path / "out"), exclude=[str(exclude)]
    )
    kept = [
        r for s in ("train", "valid") for r in read(tmp_path / f"out/{s}.csv")
    ]
    expected = {f"p{i}" for i in range(20) if i % 3 != 2} - {"p0", "p1"}
    assert {r.patient_id for r in kept} == expected
    assert {r.label for r in kept} == {""}
    reasons = [
        row["reason"]
        for _, row in read_table(tmp_path / "out/rejected.csv", ["reason"])
    ]
    assert reasons.count("patient of an --exclude table") == 4
    assert reasons.count("patient of the test split") == 12


def test_a_split_that_nobody_knows_is_not_adapted_on(database, tmp_path):
    folder = database(",split", lambda i: ",Test" if i > 30 else ",train")
    with pytest.raises(InputError, match="row 33: split is 'Test'"):
        prepare_unlabelled(str(folder), str(tmp_path / "out"))


def test_adapting_on_everybody_is_said(database, tmp_path, caplog):
    prepare_unlabelled(str(database()), str(tmp_path / "out"))
    assert "No recording is held out from adaptation" in caplog.text


def test_nothing_left_to_adapt_on(database, tmp_path):
    folder = database()
    with pytest.raises(InputError, match="no recording of .* is left"):
        prepare_unlabelled(
            str(folder),
            str(tmp_path / "out"),
            exclude=[str(folder / "recordings.csv")],
        )


def test_an_exclude_table_that_is_not_there(database, tmp_path):
    with pytest.raises(InputError, match="--exclude .*no.csv does not exist"):
        prepare_unlabelled(
            str(database()),
            str(tmp_path / "out"),
            exclude=[str(tmp_path / "no.csv")],
        )
