"""Manifests of a clinical database: splits, folds, fractions, refusals."""

import shutil

import pytest

from data_prep.corpora.labelled import fold_values, prepare_clinical
from data_prep.files.errors import InputError
from data_prep.files.tables import read_table
from data_prep.manifest import SPLITS, read, read_corpus

CLASSES = ["healthy", "injury"]


def prepare(folder, **options):
    options = {"label_column": "neuro_injury", "classes": CLASSES, **options}
    prepare_clinical(str(folder), str(folder.parent / "out"), **options)
    return {s: read(folder.parent / f"out/{s}.csv") for s in SPLITS}


def patients(recordings):
    return {r.patient_id for r in recordings}


def labels(recordings):
    return {r.label for r in recordings}


def test_the_columns_split_and_fold(database):
    splits = prepare(database(",split", lambda i: "," + SPLITS[i // 2 % 3]))
    assert patients(splits["valid"]) == {f"P{i}" for i in range(1, 20, 3)}
    folder = database(",fold", lambda i: f",{i // 2 % 5}")
    splits = prepare(folder, test_fold=2, valid_fold=4)
    assert patients(splits["test"]) == {"P2", "P7", "P12", "P17"}
    assert patients(splits["valid"]) == {"P4", "P9", "P14", "P19"}


def test_a_name_that_is_only_a_folders_is_marked(database):
    """Export leaves it out: it may be a person's or a hospital's."""
    folder = database()
    prepare(folder)
    out = folder.parent / "out"
    assert read_corpus(out)["is_named"] is False
    (folder / "corpus.json").write_text('{"name": "toy", "synthetic": true}')
    shutil.rmtree(out)
    prepare(folder)
    assert read_corpus(out) == {"name": "toy", "synthetic": True}
    with pytest.raises(InputError, match="is_named"):
        text = '{"name": "toy", "synthetic": true, "is_named": "no"}'
        (folder / "corpus.json").write_text(text)
        read_corpus(folder)


def test_label_fraction_removes_training_patients_only(database):
    folder = database()
    whole = prepare(folder)
    part = prepare(folder, label_fraction=0.5)
    assert part["test"] == whole["test"] and part["valid"] == whole["valid"]
    kept = patients(part["train"])
    assert kept < patients(whole["train"])
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
        assert labels(train) == set(CLASSES)


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
            assert labels(train) == {"b", "c", "z"}
        except InputError as error:
            n_refused += 1
            assert str(error) == (
                "class 'z' has no recording in train; label_fraction is 0.5: "
                "raise it, or try another --seed"
            )
    assert 0 < n_refused < 6


def test_other_labels(database):
    def change(i, row):
        return row.replace("healthy", {38: "", 39: "unsure"}.get(i, "healthy"))

    folder = database(change=change)
    message = "recordings.csv row 41: .* is 'unsure', .*--other_labels drop"
    with pytest.raises(InputError, match=message):
        prepare(folder)
    splits = prepare(folder, other_labels="drop")
    assert sum(map(len, splits.values())) == 38


def test_labels_may_be_numbers_and_ids_in_both_cases(database):
    def change(i, row):
        row = row.replace("healthy", "0").replace("injury", "1")
        return row.replace("P", "p") if i % 2 else row

    splits = prepare(database(change=change), classes=[0, 1])
    assert all(labels(recs) == {"0", "1"} for recs in splits.values())
    assert sum(len(patients(r)) for r in splits.values()) == 20


def test_a_test_split_of_one_class_is_reported(database, caplog):
    folder = database(
        ",split", lambda i: ",train" if i < 30 else "," + SPLITS[i // 2 % 3]
    )
    assert labels(prepare(folder)["test"]) == {"healthy"}
    assert "no recording of 'injury' in test: no AUC" in caplog.messages
    assert (
        "no recording of 'injury' in valid: no AUC to choose a model by, and "
        "no threshold" in caplog.messages
    )


def test_a_test_split_may_lack_one_of_three_classes(database):
    def change(i, row):
        return row.replace("injury", "pain") if i < 2 else row

    splits = ["train"] * 2 + ["train", "valid", "test"] * 4
    splits += ["train", "valid"] * 14
    folder = database(",split", lambda i: "," + splits[i // 2], change=change)
    splits = prepare(folder, classes=[*CLASSES, "pain"])
    assert labels(splits["train"]) == {*CLASSES, "pain"}
    assert labels(splits["test"]) == set(CLASSES)


def test_a_site_as_test_set(database, caplog):
    folder = database(",ward", lambda i: f",{('w0', 'w1')[i // 2 % 2]}")
    splits = prepare(folder, fold_column="ward", test_fold="w1")
    assert patients(splits["test"]) == {f"P{i}" for i in range(1, 20, 2)}
    # 3 of the other 10 patients are injured: one or two to validate.
    assert len(patients(splits["valid"])) == 2
    assert labels(splits["valid"]) == set(CLASSES)
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
    tested = {f"P{i}" for i in range(0, 20, 2)}
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


def test_patients_without_a_site_are_in_training(database, caplog):
    folder = database(",ward", lambda i: f",{['w0', 'w1', ''][i // 2 % 3]}")
    splits = prepare(folder, fold_column="ward", test_fold="w0")
    unknown = {f"P{i}" for i in range(2, 20, 3)}
    assert not unknown & patients(splits["test"])
    assert unknown <= patients(splits["train"] + splits["valid"])
    assert (
        "12 recordings of 6 patients have no ward: never in a test set"
        in caplog.messages
    )
    with pytest.raises(InputError, match="test_fold is ; .* the folds w0, w1"):
        prepare(folder, fold_column="ward", test_fold="")


def test_a_started_run_keeps_its_recordings(database):
    folder = database()
    prepare(folder)
    (folder.parent / "save/CKPT+1").mkdir(parents=True)
    prepare(folder)
    with pytest.raises(InputError, match="changed since the run"):
        prepare(folder, seed=5)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"test_fold": 1, "valid_fold": 1}, "both 1"),
        ({"valid_fold": 1}, "test_fold is None; pass --test_fold"),
        ({"fold_column": "site"}, "'site' and test_fold is None; pass"),
        ({"test_fold": 1}, "no column 'fold'; make folds with"),
        (
            {"fold_column": "site", "test_fold": "s1", "valid_fold": "s0"},
            "valid is empty: .*test is 's1' and valid is 's0' of the column",
        ),
        ({"label_fraction": 0}, "above 0 and up to 1"),
        ({"label_fraction": float("nan")}, "above 0 and up to 1"),
        ({"label_fraction": "a tenth"}, "is 'a tenth'; expected a number"),
        ({"label_fraction": None}, "label_fraction is None; expected a num"),
        ({"label_column": "trigger"}, "no column 'trigger'"),
        (
            {"classes": ["x", "y"], "other_labels": "drop"},
            "no row has a label of x",
        ),
        ({"other_labels": "keep"}, "expected error or drop"),
        ({"classes": ["healthy"]}, "two or more different labels"),
        ({"classes": ["healthy"] * 2}, "two or more different labels"),
        ({"classes": ["healthy", "ID"]}, "'ID', which is a column of the pred"),
        ({"recordings_csv": "no.csv"}, "--recordings_csv"),
    ],
)
def test_wrong_options(database, options, message):
    with pytest.raises(InputError, match=message):
        prepare(database(), **options)


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("r5,", "r4,", "row 7: ID 'r4' was already used in .*row 6"),
        ("audio/r9.wav", "audio/no.wav", "row 11: audio/no.wav is not in"),
        ("audio/r9.wav", "", "row 11: path is empty"),
    ],
)
def test_bad_rows(database, old, new, message):
    folder = database(change=lambda i, row: row.replace(old, new))
    with pytest.raises(InputError, match=message):
        prepare(folder)


@pytest.mark.parametrize(
    "column, cell, options, message",
    [
        ("split", lambda i: SPLITS[i % 3], {}, "'P0' is in valid and in"),
        ("split", lambda i: "train", {}, "valid is empty: .*column 'split' of"),
        ("split", lambda i: "valid", {}, "train is empty: .*column 'split' of"),
        (
            "split",
            lambda i: "test" if i < 12 else ("train", "valid")[i // 2 % 2],
            {},
            "class 'injury' has no recording in train; splits are those",
        ),
        ("fold", lambda i: i // 2 % 5, {"test_fold": 9}, "9.*0, 1, 2, 3, 4"),
        ("fold", lambda i: i % 3, {"test_fold": 0}, "'P.*in.* keep each pat"),
        ("fold", lambda i: i // 2 % 5 or "", {"test_fold": 2}, "row 2: fold"),
    ],
)
def test_bad_splits(database, column, cell, options, message):
    folder = database(f",{column}", lambda i: f",{cell(i)}")
    with pytest.raises(InputError, match=message):
        prepare(folder, **options)


def test_too_few_patients_for_three_splits(database):
    folder = database(change=lambda i, row: row if i in (0, 39) else "")
    with pytest.raises(InputError) as refused:
        prepare(folder)
    assert str(refused.value) == (
        f"{folder / 'recordings.csv'} has 2 patients with a label, and "
        "training, validation and test need different ones; add recordings of "
        "other patients"
    )


def values(folder, column):
    task = "neuro_injury", CLASSES, "error"
    return fold_values(str(folder), None, *task, column)


def test_values_of_folds(database):
    assert values(database(), "site") == ["s0", "s1", "s2", "s3"]
    folder = database(",fold", lambda i: f",{9 + i // 2 % 3}")
    assert values(folder, "fold") == ["9", "10", "11"]


@pytest.mark.parametrize(
    "column, cell, message",
    [
        ("fold", lambda i: i // 2 % 2, "2 values of 'fold' .*0, 1.* 3 or more"),
        ("fold", lambda i: i % 3, "row 3: patient_id 'P0' is in fold 1 and in"),
        ("fold", lambda i: i // 2 % 3 or "", "row 2: fold is empty"),
        ("ward", lambda i: "w", r"1 values of 'ward' .*\(w\).* 2 or more"),
        ("ward", lambda i: "", r"0 values of 'ward' .*\(none\)"),
        ("ward", lambda i: f"w{i > 11}", "'injury' .* when ward 'wFalse' of"),
        ("ward", lambda i: "wW"[i % 2], "row 3: ward is 'W', and 'w' in .*row"),
        ("ward", lambda i: f"{i % 2}{'.0' * (i > 9)}", "ward is '0.0', and"),
        ("fold", lambda i: i // 2 % 3 if i > 11 else 0, "'injury' .* fold '0'"),
        ("site2", lambda i: "", "no column 'ward'; add it, or name"),
    ],
)
def test_columns_that_are_not_folds(database, column, cell, message):
    folder = database(f",{column}", lambda i: f",{cell(i)}")
    with pytest.raises(InputError, match=message):
        values(folder, "ward" if column == "site2" else column)


def test_an_id_is_not_a_fold(tmp_path):
    rows = [f"r{i},p{i},{i}.wav,{CLASSES[i % 2]}" for i in range(51)]
    header = "recording_id,patient_id,path,neuro_injury"
    (tmp_path / "recordings.csv").write_text("\n".join([header, *rows]))
    with pytest.raises(InputError, match="51 values of 'patient_id'.* ids or"):
        values(tmp_path, "patient_id")
