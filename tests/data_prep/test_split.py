"""Splits and folds never divide a patient; fractions are nested."""

import math
from collections import Counter

import pytest
from hypothesis import (
    given,
    settings,
    strategies as st,
)

from data_prep import manifest
from data_prep.corpora.labelled import prepare_clinical
from data_prep.corpora.stratify import (
    SHARES,
    fold_patients,
    fraction_of_patients,
    split_by_patient,
    split_patients,
    strata,
)
from data_prep.files.errors import InputError
from data_prep.files.tables import read_table
from data_prep.manifest import Recording

LABEL = ("--label_column", "neuro_injury")

databases = st.lists(
    st.tuples(
        st.integers(0, 30), st.sampled_from("ab"), st.sampled_from(["n", "s"])
    ),
    min_size=1,
    max_size=80,
)


def recordings(rows):
    return [
        Recording(f"r{i}", 1.0, "", 0.0, 1.0, label, f"p{patient}", site)
        for i, (patient, label, site) in enumerate(rows)
    ]


@settings(deadline=None)
@given(databases, st.integers(0, 3))
def test_every_patient_has_one_split_and_labels_their_shares(rows, seed):
    stratum_of = strata(recordings(rows))
    split_of = split_patients(stratum_of, SHARES, seed)
    assert set(split_of) == {f"p{patient}" for patient, _, _ in rows}
    assert split_of == split_patients(stratum_of, SHARES, seed)
    for label in "ab":
        patients = [p for p in split_of if stratum_of[p][0] == label]
        counts = Counter(split_of[p] for p in patients)
        for split, share in SHARES.items():
            assert counts[split] >= 1 or len(patients) < len(SHARES)
            if share * len(patients) >= 1:
                assert abs(counts[split] - share * len(patients)) <= (
                    # Few patients: train gives one to each other split.
                    1 if len(patients) > 6 else 2
                )


def test_seeds_and_sites():
    stratum_of = {f"p{i}": ("a", "ns"[i % 2]) for i in range(200)}
    split_of = split_patients(stratum_of, SHARES, 0)
    assert split_of != split_patients(stratum_of, SHARES, 1)
    in_test = Counter(
        stratum_of[p][1] for p in split_of if split_of[p] == "test"
    )
    assert abs(in_test["n"] - in_test["s"]) <= 2


def test_a_patient_counts_for_its_rarest_label():
    rows = [(0, "a", "n"), (0, "b", "n"), (1, "a", "n"), (2, "a", "n")]
    assert strata(recordings(rows))["p0"] == ("b", "n")


@settings(deadline=None)
@given(databases, st.integers(0, 3))
def test_fractions_nest_and_keep_every_label(rows, seed):
    stratum_of = strata(recordings(rows))
    smaller = set()
    for fraction in (0.03, 0.05, 0.2, 1.0):
        kept = fraction_of_patients(stratum_of, fraction, seed)
        assert smaller <= kept
        smaller = kept
        for label, n in Counter(s[0] for s in stratum_of.values()).items():
            of_label = [p for p in kept if stratum_of[p][0] == label]
            assert len(of_label) == math.ceil(round(n * fraction, 9))
    assert kept == set(stratum_of)


@settings(deadline=None)
@given(databases, st.integers(2, 6), st.integers(0, 3))
def test_folds_hold_every_patient_once(rows, n_folds, seed):
    stratum_of = strata(recordings(rows))
    if len(stratum_of) < n_folds:
        with pytest.raises(InputError, match="cannot be put into"):
            fold_patients(stratum_of, n_folds, seed)
        return
    fold_of = fold_patients(stratum_of, n_folds, seed)
    assert set(fold_of) == set(stratum_of)
    # No fold is empty or much larger than another.
    sizes = Counter(fold_of.values())
    assert set(sizes) == {str(k) for k in range(n_folds)}
    assert max(sizes.values()) - min(sizes.values()) <= 1
    for label in "ab":
        counts = Counter({str(k): 0 for k in range(n_folds)})
        counts.update(
            f for p, f in fold_of.items() if stratum_of[p][0] == label
        )
        assert max(counts.values()) - min(counts.values()) <= 1


@pytest.fixture
def run(command_of):
    return command_of("data_prep.split")


def cells(path):
    return [row for _, row in read_table(path, [])]


def in_both_cases(i, row):
    return row.replace("P", "p") if i % 2 else row


def test_command_splits_whole_patients(database, tmp_path, run):
    folder = database(change=in_both_cases)
    done = run(
        folder / "recordings.csv",
        *LABEL,
        "--out",
        tmp_path / "a",
        "--fractions",
        0.2,
        0.5,
        1,
    )
    assert done.returncode == 0, done.stderr
    rows = cells(tmp_path / "a/recordings.csv")
    assert len(rows) == 40
    split_of = {}
    for row in rows:
        split = split_of.setdefault(row["patient_id"].lower(), row["split"])
        assert split == row["split"]
    # The paper's table, compared with own counts.
    table = {
        (r["class"], r["split"]): r for r in cells(tmp_path / "a/table.csv")
    }
    injured = [
        r for r in rows if (r["neuro_injury"], r["split"]) == ("injury", "test")
    ]
    row = table["injury", "test"]
    assert int(row["recordings"]) == len(injured) > 0
    assert int(row["patients"]) == len(
        {r["patient_id"].lower() for r in injured}
    )
    assert float(row["hours"]) == pytest.approx(
        len(injured) * 0.5 / 3600, abs=1e-4
    )
    assert table["all", "all"]["recordings"] == "40"
    text = (tmp_path / "a/table.md").read_text()
    assert text in done.stdout and "| injury |" in text
    # Fractions are nested, and the same as in training with this seed.
    smallest = {
        r["patient_id"].lower(): float(r["smallest_fraction"])
        for r in cells(tmp_path / "a/fractions.csv")
    }
    train = {p for p, split in split_of.items() if split == "train"}
    assert set(smallest) == train
    prepare_clinical(
        folder,
        tmp_path / "m",
        "neuro_injury",
        ["healthy", "injury"],
        recordings_csv=tmp_path / "a/recordings.csv",
        label_fraction=0.2,
    )
    train = manifest.read(tmp_path / "m/train.csv")
    kept = {rec.patient_id.lower() for rec in train}
    assert kept == {p for p, fraction in smallest.items() if fraction == 0.2}


def test_command_makes_folds_for_training(database, tmp_path, run):
    folder = database(change=in_both_cases)
    done = run(
        folder / "recordings.csv", *LABEL, "--out", tmp_path / "a", "--folds", 3
    )
    assert done.returncode == 0, done.stderr
    rows = cells(tmp_path / "a/recordings.csv")
    assert {row["fold"] for row in rows} == {"0", "1", "2"}
    assert len({(row["patient_id"].lower(), row["fold"]) for row in rows}) == 20
    prepare_clinical(
        folder,
        tmp_path / "m",
        "neuro_injury",
        ["healthy", "injury"],
        recordings_csv=tmp_path / "a/recordings.csv",
        test_fold=0,
        valid_fold=1,
    )
    tested = {rec.ID for rec in manifest.read(tmp_path / "m/test.csv")}
    assert tested == {r["recording_id"] for r in rows if r["fold"] == "0"}


@pytest.mark.parametrize(
    "args, message",
    [
        (["--folds", "21"], "20 patients cannot be put into 21 folds"),
        (["--folds", "1"], "there must be two or more"),
        (["--shares", "1", "0", "1"], "three numbers above 0"),
        (["--shares", "1", "1"], "three numbers above 0"),
        (["--label_column", "no"], "has no column 'no'"),
        (["--label_column", "no"], "or correct the option that names it"),
        (["--label_column", "recording_id"], "40 values for 20 patients; "),
        (["--data_folder", "/no"], "/no does not exist"),
        (["--folds", "2", "--fractions", ".1"], "leave out --folds"),
        (["--fractions", "2"], "label_fraction is 2"),
        (["--fractions", ".1", "2"], "--fractions holds 2"),
        (["--seed", "-1"], "seed is -1; it must be 0 or more"),
        (["--shares", "nan", "1", "1"], "--shares is nan; it must be a num"),
    ],
)
def test_wrong_usage_is_one_line(database, tmp_path, args, message, run):
    usual = ["--out", tmp_path / "a"]
    if "--label_column" not in args:
        usual += ["--label_column", "site"]
    assert message in refused(run, database(), *usual, *args)


def refused(run, *args):
    done = run(*args)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    return done.stderr


def test_existing_tables_are_not_replaced(database, tmp_path, run):
    folder = database()
    table = folder / "recordings.csv"
    before = table.read_text()
    message = refused(run, table, *LABEL, "--out", folder)
    assert "is the data folder itself" in message
    (tmp_path / "loop").symlink_to("loop")
    message = refused(run, table, *LABEL, "--out", tmp_path / "loop")
    assert "which does not exist; create that folder" in message
    assert table.read_text() == before
    assert not (folder / "table.md").exists()
    usual = (folder, *LABEL, "--out", tmp_path / "a")
    for _ in range(2):  # the same split may be written again
        assert run(*usual).returncode == 0
    message = refused(run, *usual, "--seed", 1)
    assert "is of another split; pass another --out" in message


@pytest.mark.parametrize(
    "rows, new, message",
    [
        ({3}, "Injury", "row 5: neuro_injury is 'Injury', and 'injury' in"),
        (range(4, 36), None, "has no recording in"),
        (range(2, 12), "", "class 'injury' has no recording in"),
        (range(2, 12), "", "neuro_injury has the classes 'injury' of 1, 'hea"),
    ],
)
def test_bad_databases(database, tmp_path, run, rows, new, message):
    def change(i, row):
        if i not in rows:
            return row
        return "" if new is None else row.replace("injury", new)

    folder = database(change=change)
    assert message in refused(run, folder, *LABEL, "--out", tmp_path / "a")


def test_copies_across_the_new_splits_are_reported(database, tmp_path, run):
    folder = database()
    for i in range(0, 40, 4):  # of another patient
        copy = (folder / f"audio/r{i}.wav").read_bytes()
        (folder / f"audio/r{(i + 6) % 40}.wav").write_bytes(copy)
    done = run(folder, *LABEL, "--out", tmp_path / "a")
    assert done.returncode == 0, done.stderr
    assert "of another patient" in done.stderr
    assert len(cells(tmp_path / "a/duplicates.csv")) >= 10


@settings(deadline=None)
@given(databases, st.integers(0, 3))
def test_no_split_divides_a_patient_or_loses_a_recording(rows, seed):
    everything = recordings(rows)
    splits = split_by_patient(everything, SHARES, seed)
    patients = [{rec.patient_id for rec in recs} for recs in splits.values()]
    assert sum(map(len, patients)) == len(set.union(*patients))
    ids = sorted(rec.ID for recs in splits.values() for rec in recs)
    assert ids == sorted(rec.ID for rec in everything)
