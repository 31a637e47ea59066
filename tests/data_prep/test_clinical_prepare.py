"""A hospital's database: splits, folds, fractions, held-out patients."""

import pytest

from data_prep.clinical_prepare import prepare_clinical
from data_prep.errors import InputError
from data_prep.manifest import SPLITS, read

CLASSES = ["healthy", "injury"]


def prepare(folder, **options):
    options = {"label_column": "neuro_injury", "classes": CLASSES, **options}
    prepare_clinical(str(folder), str(folder.parent / "out"), **options)
    return {s: read(folder.parent / f"out/{s}.csv") for s in SPLITS}


def patients(recordings):
    return {r.patient_id for r in recordings}


def test_patients_are_split_whole_and_stratified(database):
    splits = prepare(database(), seed=1)
    assert sum(map(len, splits.values())) == 40
    assert sum(len(patients(r)) for r in splits.values()) == 20
    for recordings in splits.values():
        assert {r.label for r in recordings} == set(CLASSES)
    table = (database().parent / "out/table.md").read_text()
    assert "| healthy |" in table and "recordings / patients / hours" in table


def test_the_databases_own_splits(database):
    folder = database(",split", lambda i: "," + SPLITS[i // 2 % 3])
    splits = prepare(folder)
    assert patients(splits["valid"]) == {f"p{i}" for i in range(1, 20, 3)}


def test_folds(database):
    folder = database(",fold", lambda i: f",{i // 2 % 5}")
    splits = prepare(folder, test_fold=2, valid_fold=4)
    assert patients(splits["test"]) == {"p2", "p7", "p12", "p17"}
    assert patients(splits["valid"]) == {"p4", "p9", "p14", "p19"}
    with pytest.raises(InputError, match="test_fold is 9.*0, 1, 2, 3, 4"):
        prepare(folder, test_fold=9, valid_fold=0)
    with pytest.raises(InputError, match="both 1"):
        prepare(folder, test_fold=1, valid_fold=1)
    with pytest.raises(InputError, match="valid_fold is None"):
        prepare(folder, test_fold=1)
    with pytest.raises(InputError, match="no column 'fold'"):
        prepare(database(), test_fold=1, valid_fold=2)


def test_label_fraction_takes_patients_of_train_alone(database):
    folder = database()
    whole = prepare(folder)
    part = prepare(folder, label_fraction=0.5)
    assert part["test"] == whole["test"] and part["valid"] == whole["valid"]
    assert patients(part["train"]) < patients(whole["train"])
    kept = patients(part["train"])
    assert [r.ID for r in part["train"]] == [
        r.ID for r in whole["train"] if r.patient_id in kept
    ]


def test_empty_labels_are_left_out_and_others_refused(database):
    def change(i, row):
        return row.replace("healthy", {38: "", 39: "unsure"}.get(i, "healthy"))

    folder = database(change=change)
    with pytest.raises(InputError) as error:
        prepare(folder)
    message = str(error.value)
    assert "recordings.csv row 41: neuro_injury is 'unsure'" in message
    assert "--other_labels drop" in message
    splits = prepare(folder, other_labels="drop")
    assert sum(map(len, splits.values())) == 38


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("r5,", "r4,", "row 7: ID 'r4' was already used in .*row 6"),
        ("P2,", ",", "row 6: patient_id is empty"),
        ("audio/r9.wav", "audio/no.wav", "row 11: audio/no.wav is not in"),
        ("audio/r9.wav", "", "row 11: path is empty"),
        ("audio/r9.wav", "/audio/r9.wav", "row 11: path .* is absolute"),
    ],
)
def test_bad_rows(database, old, new, message):
    folder = database(change=lambda i, row: row.replace(old, new))
    with pytest.raises(InputError, match=message):
        prepare(folder)


def test_ids_of_one_patient_in_both_cases_are_one_patient(database):
    def change(i, row):
        return row.replace("P", "p") if i % 2 else row

    splits = prepare(database(change=change))
    assert sum(len(patients(r)) for r in splits.values()) == 20


def test_leaky_splits_are_refused(database):
    folder = database(",split", lambda i: "," + SPLITS[i % 3])
    with pytest.raises(InputError, match="patient_id 'p0' is in valid and in"):
        prepare(folder)


def test_a_class_without_patients_in_a_split(database):
    folder = database(
        ",split", lambda i: ",train" if i < 30 else "," + SPLITS[i // 2 % 3]
    )
    with pytest.raises(InputError, match="'injury' has no recording in"):
        prepare(folder)


def test_a_row_without_fold(database):
    folder = database(",fold", lambda i: f",{i // 2 % 5 or ''}")
    with pytest.raises(InputError, match="row 2: fold is empty"):
        prepare(folder, test_fold=2, valid_fold=4)


def test_numbers_as_labels(database):
    def change(i, row):
        return row.replace("healthy", "0").replace("injury", "1")

    splits = prepare(database(change=change), classes=[0, 1])
    assert {r.label for r in splits["train"]} == {"0", "1"}


def test_a_run_that_has_begun_keeps_its_recordings(database):
    folder = database()
    prepare(folder)
    (folder.parent / "save/CKPT+1").mkdir(parents=True)
    prepare(folder)
    with pytest.raises(InputError, match="changed since the run"):
        prepare(folder, seed=5)


def test_wrong_options(database, tmp_path):
    folder = database()
    with pytest.raises(InputError, match="no column 'trigger'"):
        prepare(folder, label_column="trigger")
    with pytest.raises(InputError, match="no row has a label of x"):
        prepare(folder, classes=["x", "y"], other_labels="drop")
    with pytest.raises(InputError, match="expected error or drop"):
        prepare(folder, other_labels="keep")
    for classes in (["healthy"], ["healthy", "healthy"]):
        with pytest.raises(InputError, match="two or more different labels"):
            prepare(folder, classes=classes)
    with pytest.raises(InputError, match="--recordings_csv"):
        prepare(folder, recordings_csv=str(tmp_path / "no.csv"))


def test_of_three_classes_a_test_split_may_miss_one(database):
    def change(i, row):
        return row.replace("injury", "pain") if i < 2 else row

    splits = (
        ["train"] * 2 + ["train", "valid", "test"] * 4 + ["train", "valid"] * 14
    )
    folder = database(",split", lambda i: "," + splits[i // 2], change=change)
    splits = prepare(folder, classes=[*CLASSES, "pain"])
    assert {r.label for r in splits["train"]} == {*CLASSES, "pain"}
    assert {r.label for r in splits["test"]} == set(CLASSES)
