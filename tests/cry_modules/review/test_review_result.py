"""The new tables, what they change, and that the preparers read them."""

import pytest
from sklearn.metrics import cohen_kappa_score

from cry_modules.review.locate import add_labels, place, read_recordings
from cry_modules.review.result import summary, training_command, write_results
from data_prep.annotations.formats import read_events
from data_prep.corpora.labelled import prepare_clinical
from tests.reviews import (
    make_clinic,
    make_night,
    read_csv,
    sent,
    session_of,
    write_csv,
)

#: Decision on each of the six scored recordings; the last is not reviewed.
DECISIONS = ["healthy", "healthy", "injury", "excluded", "unsure"]
#: Labels to train on: two are changed, two left out, the rest as before.
EXPECTED = {
    "r0": "healthy", "r1": "healthy", "r2": "injury", "r3": "", "r4": "",
    "r5": "injury",
}  # fmt: skip


@pytest.fixture
def clinic(tmp_path):
    return make_clinic(tmp_path)


def review(folder, scores, source, decisions, label_column=None, share=0.0):
    """Decide on the first cases of a table; write and describe the result."""
    with session_of(
        folder / scores, folder / source, share, "given", reviewer="AB"
    ) as session:
        recordings = read_recordings(str(folder / source), None, {})
        table = session.table
        place(table, recordings)
        add_labels(table, recordings, label_column)
        for n, decision in enumerate(decisions):
            shown = session.show(n)
            session.decide(sent(shown, decision, note=f"n{n}", seconds=n))
        out = folder / "new/reviewed.csv"
        out.parent.mkdir(exist_ok=True)
        results = table, recordings, session.decisions
        write_results(out, *results)
        lines = summary(table, session.decisions, table.classes)
        return out, lines, training_command(out, *results)


def prepared(folder, table, root, **options):
    """Labels of the recordings that a preparation keeps."""
    out = folder / "manifests"
    prepare_clinical(
        str(root), str(out), "reviewed_label", recordings_csv=str(table),
        **options,
    )  # fmt: skip
    rows = [
        r
        for s in ("train", "valid", "test")
        for r in read_csv(out / f"{s}.csv")
    ]
    return {row["ID"]: row["label"] for row in rows}


def with_split(clinic):
    """Add splits to the table of recordings: there are too few patients."""
    rows = read_csv(clinic / "db/recordings.csv")
    splits = {"P0": "train", "P1": "valid", "P2": "train", "P3": "test"}
    for row in rows:
        row["split"] = splits[row["patient_id"]]
    cells = [row.values() for row in rows]
    write_csv(clinic / "db/recordings.csv", ",".join(rows[0]), cells)


def test_the_new_table(clinic):
    before = (clinic / "predictions_test.csv").read_bytes()
    out, lines, _ = review(clinic, "predictions_test.csv", "db", DECISIONS)
    assert (clinic / "predictions_test.csv").read_bytes() == before
    rows = read_csv(out)
    assert list(rows[0]) == [
        *("ID", "patient_id", "label", "healthy", "injury", "path"),
        *("reviewed_label", "decision", "reviewer", "seconds", "note"),
    ]
    assert {r["ID"]: r["reviewed_label"] for r in rows} == EXPECTED
    assert [r["decision"] for r in rows] == [
        "kept", "relabelled", "relabelled", "excluded", "unsure", "",
    ]  # fmt: skip
    assert [r["label"] for r in rows[:2]] == [
        "healthy",
        "injury",
    ]  # the old one
    cells = [(r["reviewer"], r["seconds"], r["note"]) for r in rows]
    assert cells[2] == ("AB", "2", "n2") and cells[5] == ("", "", "")
    assert lines[0] == (
        "5 of 6 cases are reviewed: 1 kept, 2 relabelled, 1 excluded, 1 unsure"
    )
    assert [line.split() for line in lines[1:]] == [
        ["old", "\\", "new", "healthy", "injury", "excluded", "unsure"],
        ["healthy", "1", "1", "0", "1"],
        ["injury", "1", "0", "1", "0"],
    ]


def test_all_recordings_of_a_table_with_the_corrections(clinic):
    with_split(clinic)
    before = (clinic / "db/recordings.csv").read_bytes()
    out, _, command = review(
        clinic, "predictions_test.csv", "db/recordings.csv", DECISIONS
    )
    assert (clinic / "db/recordings.csv").read_bytes() == before
    everything = out.with_name("reviewed_recordings.csv")
    rows = {row["recording_id"]: row for row in read_csv(everything)}
    # The seventh recording, which nobody scored, keeps its label.
    expected = {**EXPECTED, "r6": "healthy"}
    assert {k: r["reviewed_label"] for k, r in rows.items()} == expected
    assert rows["r1"]["neuro_injury"] == "injury"
    assert f"--recordings_csv {everything} --label_column reviewed_label" in (
        command
    )
    assert "--classes healthy,injury" in command
    kept = prepared(clinic, everything, clinic / "db")
    assert kept == {k: label for k, label in expected.items() if label}


def test_a_table_of_predictions_is_trained_on_directly(clinic):
    out, _, command = review(clinic, "predictions_test.csv", "db", DECISIONS)
    assert f"--recordings_csv {out}" in command
    assert "has the rows of" in command
    rows = read_csv(out)
    for row in rows:
        row["fold"] = row["patient_id"]
    write_csv(out, ",".join(rows[0]), [row.values() for row in rows])
    folds = {"test_fold": "P3", "valid_fold": "P1"}
    kept = prepared(clinic, out, clinic / "db", **folds)
    paths = {row["path"]: EXPECTED[row["ID"]] for row in rows}
    assert kept == {path: label for path, label in paths.items() if label}


def test_doubtful_csv_names_its_patients_otherwise(clinic):
    rows = [
        [row["path"], row["patient_id"], row["label"], 0.5, 1, "most wrong"]
        for row in read_csv(clinic / "predictions_test.csv")
    ]
    header = "path,patient,label,score,times_wrong,kind"
    write_csv(clinic / "doubtful.csv", header, rows)
    _, _, command = review(clinic, "doubtful.csv", "db", DECISIONS)
    assert "--patient_column patient" in command


def test_calls_of_a_model_are_not_trained_on_unless_reviewed(clinic):
    header = (
        "path,seconds,call,n_windows,error,unlike_training,training_distance,"
        "healthy,injury"
    )
    rows = [
        [row["path"], 1, "injury", 1, "", "", "", 0.4, 0.6]
        for row in read_csv(clinic / "predictions_test.csv")
    ]
    write_csv(clinic / "scores.csv", header, rows)
    decisions = ["injury", "healthy"]
    out, _, command = review(clinic, "scores.csv", "db", decisions)
    labels = [row["reviewed_label"] for row in read_csv(out)]
    assert labels == ["injury", "healthy", "", "", "", ""]
    assert "names no patients" in command
    out, _, command = review(clinic, "scores.csv", "db/recordings.csv", [])
    everything = read_csv(out.with_name("reviewed_recordings.csv"))
    labels = [row["reviewed_label"] for row in everything]
    assert labels == ["injury", "healthy", "", "", "", "", ""]


def test_events(tmp_path):
    folder = make_night(tmp_path)
    decisions = ["cry", "excluded"]
    out, lines, command = review(folder, "events.csv", "night", decisions)
    rows = read_csv(out)
    assert [r["label"] for r in rows] == ["cry"] * 3
    assert [r["reviewed_label"] for r in rows] == ["cry", "", ""]
    assert [r["decision"] for r in rows] == ["kept", "excluded", ""]
    assert "2 of 3 cases are reviewed: 1 kept, 0 relabelled, 1 excl" in lines[0]
    assert f"data_prep.annotations {folder / 'night'} {out}" in command
    # An event without a label is not used, and nothing near it.
    events = read_events(out)
    assert [event.label for event in events] == ["cry", "", ""]
    assert [event.onset_s for event in events] == [2, 8, 14]


def test_agreement_of_cases_judged_twice(clinic):
    first = ["healthy", "injury", "injury", "injury", "healthy", "unsure"]
    with session_of(
        clinic / "predictions_test.csv", clinic / "db", 1.0, "given"
    ) as session:
        again = {0: "healthy", 1: "healthy", 2: "injury", 3: "injury",
                 4: "healthy", 5: "unsure"}  # fmt: skip
        for n in range(12):
            row = session.case(n).row
            decision = first[n] if n < 6 else again[row]
            session.decide(sent(session.show(n), decision))
        lines = summary(session.table, session.decisions, ["healthy", "injury"])
    expected = cohen_kappa_score(first, [again[i] for i in range(6)])
    assert lines[-1] == (
        f"6 cases were judged twice, 5 of them alike; Cohen's kappa "
        f"{expected:.2f}"
    )
    assert "6 of 6 cases are reviewed" in lines[0]  # the first judgement counts
