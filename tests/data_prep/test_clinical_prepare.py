"""A hospital's database: splits, folds, fractions, held-out patients."""

import pytest

from data_prep.corpora.labelled import fold_values, prepare_clinical
from data_prep.files.errors import InputError
from data_prep.files.tables import read_table
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
    with pytest.raises(InputError, match="test_fold is None; pass --test_fold"):
        prepare(folder, valid_fold=1)
    with pytest.raises(InputError, match="'site' and test_fold is None; pass"):
        prepare(folder, fold_column="site")
    with pytest.raises(InputError, match="no column 'fold'; make folds with"):
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


def test_a_small_fraction_keeps_a_patient_of_each_class(database):
    def change(i, row):
        return row.replace("injury", "healthy") if i >= 2 else row

    splits = ["train"] * 14 + ["valid"] * 3 + ["test"] * 3
    folder = database(",split", lambda i: f",{splits[i // 2]}", change=change)
    for fraction in (1e-9, "0.000001"):
        train = prepare(folder, label_fraction=fraction)["train"]
        assert len(patients(train)) == 2
        assert {r.label for r in train} == set(CLASSES)


@pytest.mark.parametrize(
    "fraction, message",
    [
        (0, "above 0 and up to 1"),
        (float("nan"), "above 0 and up to 1"),
        (float("inf"), "above 0 and up to 1"),
        ("a tenth", "label_fraction is 'a tenth'; expected a number"),
        (None, "label_fraction is None; expected a number"),
    ],
)
def test_what_is_no_fraction(database, fraction, message):
    with pytest.raises(InputError, match=message):
        prepare(database(), label_fraction=fraction)


def test_a_fraction_may_lose_a_label_of_patients_with_two(database):
    """P0 has b, z, z and P1 has b: both count for b, one of them is kept."""

    def change(i, row):
        label = "bzzb"[i] if i < 4 else "c"
        row = row.replace("injury", label).replace("healthy", label)
        return row.replace("r2,P1", "r2,P0")

    folder = database(
        ",split",
        lambda i: "," + ("train" if i < 8 else ("valid", "test")[i // 2 % 2]),
        change=change,
    )
    options = {"classes": ["b", "c", "z"], "label_fraction": 0.5}
    n_refused = 0
    for seed in range(6):
        try:
            train = prepare(folder, seed=seed, **options)["train"]
        except InputError as error:
            n_refused += 1
            assert str(error) == (
                "class 'z' has no recording in train; label_fraction is 0.5: "
                "raise it, or try another --seed"
            )
        else:
            assert {r.label for r in train} == {"b", "c", "z"}
    assert 0 < n_refused < 6


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


def test_a_test_split_of_one_class_is_said(database, caplog):
    folder = database(
        ",split", lambda i: ",train" if i < 30 else "," + SPLITS[i // 2 % 3]
    )
    splits = prepare(folder)
    assert {r.label for r in splits["test"]} == {"healthy"}
    assert "no recording of 'injury' in test: no AUC" in caplog.messages
    assert (
        "no recording of 'injury' in valid: no AUC to choose a model by, and "
        "no threshold" in caplog.messages
    )


@pytest.mark.parametrize(
    "split, message",
    [
        (lambda i: "train", "valid is empty: .*of the column 'split' of"),
        (lambda i: "valid", "train is empty: .*of the column 'split' of"),
        (
            lambda i: "test" if i < 12 else ("train", "valid")[i // 2 % 2],
            "class 'injury' has no recording in train; splits are those",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused(database, split, message):
    with pytest.raises(InputError, match=message):
        prepare(database(",split", lambda i: f",{split(i)}"))


def test_too_few_patients_for_three_splits(database):
    folder = database(change=lambda i, row: row if i in (0, 39) else "")
    with pytest.raises(InputError, match="is empty: .* 2 patients .* add pat"):
        prepare(folder)


def test_one_site_is_left_out(database, caplog):
    folder = database(",ward", lambda i: f",{('w0', 'w1')[i // 2 % 2]}")
    splits = prepare(folder, fold_column="ward", test_fold="w1")
    assert patients(splits["test"]) == {f"p{i}" for i in range(1, 20, 2)}
    # Of the other 10 patients, 3 are injured: one or two to validate.
    assert len(patients(splits["valid"])) == 2
    assert {r.label for r in splits["valid"]} == set(CLASSES)
    assert sum(map(len, splits.values())) == 40
    assert "left out" not in caplog.text
    again = prepare(folder, fold_column="ward", test_fold="w1", seed=3)
    assert again["test"] == splits["test"]
    assert again["valid"] != splits["valid"]


def test_a_patient_of_two_sites_is_in_one_split(database, caplog):
    # In `database`, even recordings are of s0 and s2, odd ones of s1 and s3:
    # every patient was recorded at two of them.
    folder = database()
    splits = prepare(folder, fold_column="site", test_fold="s1")
    tested = {f"p{i}" for i in range(0, 20, 2)}
    assert patients(splits["test"]) == tested
    assert {r.site for r in splits["test"]} == {"s1"}
    assert not tested & patients(splits["train"] + splits["valid"])
    assert "10 recordings are left out, because their patients" in caplog.text
    rejected = read_table(folder.parent / "out/rejected.csv", ["path"])
    assert [row["path"] for _, row in rejected] == [
        f"audio/r{i}.wav" for i in range(0, 40, 4)
    ]
    assert rejected[1][1]["verdict"] == "excluded"
    assert rejected[1][1]["reason"] == (
        "recordings.csv row 6: its patient is in test, which is site 's1' "
        "(recordings.csv row 7)"
    )


def test_a_fold_that_held_out_patients_leave_empty(database):
    with pytest.raises(InputError) as error:
        prepare(database(), fold_column="site", test_fold="s1", valid_fold="s0")
    assert str(error.value).startswith("valid is empty: ")
    assert "test is 's1' and valid is 's0' of the column 'site'" in str(
        error.value
    )


def test_who_has_no_site_is_trained_on(database, caplog):
    folder = database(",ward", lambda i: f",{['w0', 'w1', ''][i // 2 % 3]}")
    splits = prepare(folder, fold_column="ward", test_fold="w0")
    unknown = {f"p{i}" for i in range(2, 20, 3)}
    assert not unknown & patients(splits["test"])
    assert unknown <= patients(splits["train"] + splits["valid"])
    assert (
        "12 recordings of 6 patients have no ward: never in a test set"
        in caplog.messages
    )
    with pytest.raises(InputError, match="test_fold is ; .* the folds w0, w1"):
        prepare(folder, fold_column="ward", test_fold="")


def test_a_divided_patient_of_the_folds_is_refused(database):
    folder = database(",fold", lambda i: f",{i % 3}")
    with pytest.raises(InputError, match="'p.*' is in .* keep each patient"):
        prepare(folder, test_fold=0, valid_fold=1)
    with pytest.raises(InputError, match="'p.*' is in .* keep each patient"):
        prepare(folder, test_fold=0)


def values(folder, column, classes=CLASSES):
    return fold_values(
        str(folder), None, "neuro_injury", classes, "error", column
    )


def test_values_of_folds(database):
    assert values(database(), "site") == ["s0", "s1", "s2", "s3"]
    folder = database(",fold", lambda i: f",{9 + i // 2 % 3}")
    assert values(folder, "fold") == ["9", "10", "11"]


@pytest.mark.parametrize(
    "column, cell, message",
    [
        ("fold", lambda i: i // 2 % 2, "2 values of 'fold' .*0, 1.* 3 or more"),
        ("fold", lambda i: i % 3, "row 3: patient_id 'p0' is in fold 1 and in"),
        ("fold", lambda i: i // 2 % 3 or "", "row 2: fold is empty"),
        ("ward", lambda i: "w", r"1 values of 'ward' .*\(w\).* 2 or more"),
        ("ward", lambda i: "", r"0 values of 'ward' .*\(none\)"),
        ("ward", lambda i: f"w{i > 11}", "'injury' .* when ward 'wFalse' of"),
        ("ward", lambda i: "wW"[i % 2], "row 3: ward is 'W', and 'w' in .*row"),
        ("ward", lambda i: f"{i % 2}{'.0' * (i > 9)}", "ward is '0.0', and"),
        ("fold", lambda i: i // 2 % 3 if i > 11 else 0, "'injury' .* fold '0'"),
    ],
)
def test_columns_that_are_no_folds(database, column, cell, message):
    folder = database(f",{column}", lambda i: f",{cell(i)}")
    with pytest.raises(InputError, match=message):
        values(folder, column)


def test_other_columns_that_are_no_folds(database):
    folder = database()
    with pytest.raises(InputError, match="no column 'ward'; add it, or name"):
        values(folder, "ward")
    with pytest.raises(InputError, match="data_prep.split .* --folds 5"):
        values(folder, "fold")


def test_an_id_is_no_fold(tmp_path):
    rows = [f"r{i},p{i},{i}.wav,{CLASSES[i % 2]}" for i in range(51)]
    header = "recording_id,patient_id,path,neuro_injury"
    (tmp_path / "recordings.csv").write_text("\n".join([header, *rows]))
    with pytest.raises(InputError, match="51 values of 'patient_id'.* ids or"):
        values(tmp_path, "patient_id")


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
