"""Tables for adaptation and held-out patients, by a given split, a new split,
or folds."""

import csv

import pytest

from data_prep.files.errors import InputError
from recipes.study.cry_tables import write_tables

HELD_OUT = {"valid", "test"}


def read(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write(folder, out, *labels, **options):
    """Write the tables of a database into a folder; return it."""
    table = folder / "recordings.csv"
    write_tables(folder, table, out, labels or ["neuro_injury"], **options)
    return out


def splits(rows):
    return {row["patient_id"]: row["split"] for row in rows}


def test_a_split_is_made_of_whole_patients(database, tmp_path):
    folder = database()
    out = write(folder, tmp_path / "out")
    rows = read(out / "recordings.csv")
    assert len(rows) == 40
    by_patient = {}
    for row in rows:
        by_patient.setdefault(row["patient_id"], set()).add(row["split"])
    assert all(len(values) == 1 for values in by_patient.values())
    assert set.union(*by_patient.values()) == {"train", *HELD_OUT}
    held = {row["patient_id"] for row in read(out / "held_out.csv")}
    assert held == {p for p, s in by_patient.items() if s <= HELD_OUT}
    assert splits(read(out / "all.csv")) == {
        patient: values.pop() for patient, values in by_patient.items()
    }
    first = (out / "recordings.csv").read_bytes()
    write(folder, out)
    assert (out / "recordings.csv").read_bytes() == first


def test_a_given_split_is_kept(database, tmp_path):
    split = ["train", "valid", "test"]
    folder = database(",split", cells=lambda i: f",{split[i // 2 % 3]}")
    out = write(folder, tmp_path / "out")
    assert read(out / "recordings.csv") == read(folder / "recordings.csv")


def test_unlabelled_and_further_cries_are_for_adaptation(database, tmp_path):
    def change(i, row):
        return row.replace("healthy", "") if i >= 30 else row

    more = tmp_path / "more.csv"
    more.write_text(
        "recording_id,patient_id,path\nx1,P0,audio/r0.wav\n"
        "x2,NEW,audio/r1.wav\n"
    )
    out = write(database(change=change), tmp_path / "out", more=str(more))
    labelled, everything = read(out / "labelled.csv"), read(out / "all.csv")
    assert len(labelled) == 30 and len(everything) == 42
    # A held-out patient of the database is held out in the further table.
    split = splits(read(out / "recordings.csv"))
    assert everything[40]["split"] == split["P0"]
    assert everything[41]["split"] == ""


@pytest.mark.parametrize("fold", ["0", "1", "2"])
def test_each_fold_holds_out_itself_and_the_next(database, tmp_path, fold):
    folder = database(",fold", cells=lambda i: f",{i // 2 % 3}")
    out = write(folder, tmp_path / "out", folds=["0", "1", "2"])
    rows = read(folder / "recordings.csv")
    of = {row["recording_id"]: row["fold"] for row in rows}
    following = str((int(fold) + 1) % 3)
    expected = {fold: "test", following: "valid"}
    for row in read(out / f"all_{fold}.csv"):
        assert row["split"] == expected.get(of[row["recording_id"]], "train")
    held = {row["recording_id"] for row in read(out / f"held_out_{fold}.csv")}
    assert held == {r for r, f in of.items() if f in expected}


def test_missing_columns_are_refused(database, tmp_path):
    with pytest.raises(InputError, match="no column 'trigger'"):
        write(database(), tmp_path, "neuro_injury", "trigger")
    with pytest.raises(InputError, match="no column 'fold'"):
        write(database(), tmp_path, folds=["0"])


def test_a_left_out_site_is_held_out_with_all_its_patients(database, tmp_path):
    """Those that have recordings elsewhere, and those of the further table."""
    folder = database(",clinic", cells=lambda i: ",b" if i % 6 else ",a")
    columns = "recording_id,patient_id,path,clinic"
    more = tmp_path / "more.csv"
    more.write_text(f"{columns}\nm1,new,m1.wav,a\nm2,other,m2.wav,b\n")
    out = write(
        folder, tmp_path / "out", folds=["a", "b"], fold_column="clinic",
        more=more,
    )  # fmt: skip
    rows = [*read(folder / "recordings.csv"), *read(more)]
    for site in "ab":
        patients = {r["patient_id"] for r in rows if r["clinic"] == site}
        held = read(out / f"held_out_{site}.csv")
        assert {row["patient_id"] for row in held} == patients
        of_them = {
            r["recording_id"] for r in rows if r["patient_id"] in patients
        }
        assert {row["recording_id"] for row in held} == of_them
        for row in read(out / f"all_{site}.csv"):
            kept = row["patient_id"] not in patients
            assert row["split"] == ("train" if kept else "test")


def test_one_row_in_the_test_split_is_enough_to_be_held_out(database, tmp_path):
    """A held-out patient's later recordings have no label and no split."""

    def change(i, row):
        split = "test" if i < 8 else "train"
        # The second recording of each patient.
        if i % 2:
            return row.replace("injury", "").replace("healthy", "") + ","
        return f"{row},{split}"

    out = write(database(",split", change=change), tmp_path / "out")
    held = {row["patient_id"] for row in read(out / "held_out.csv")}
    assert held == {"P0", "P1", "P2", "P3"}
    for row in read(out / "all.csv"):
        assert row["split"] == (
            "test" if row["patient_id"] in held else "train"
        )


def test_a_recording_without_fold_is_held_out_with_its_patient(
    database, tmp_path
):
    cells = [",0", ",", ",1", ",", ",2", ","]
    folder = database(",fold", cells=lambda i: cells[i % 6])
    out = write(folder, tmp_path / "out", folds=["0", "1", "2"])
    for row in read(out / "all_0.csv"):
        fold = int(row["patient_id"][1:]) % 3
        assert row["split"] == ["test", "valid", "train"][fold]


def test_an_unknown_split_is_refused(database, tmp_path):
    folder = database(",split", cells=lambda i: ",Test")
    with pytest.raises(InputError, match="row 2: split is 'Test'"):
        write(folder, tmp_path, "site")
