"""Predictions: one score per patient by formula, and the file."""

import numpy as np
import pytest
from scipy.special import expit, logit

from cry_modules.metrics.predictions import AGGREGATIONS, Predictions
from data_prep.files.errors import InputError
from tests.cry_modules.metrics.made import own_patients, random_predictions

#: Score of a patient from those of the recordings.
FORMULAS = {
    "mean_log_odds": lambda p: expit(np.mean(logit(p))),
    "max": max,
    # That any is positive, if they were independent.
    "noisy_or": lambda p: 1 - np.prod(1 - p),
}


@pytest.mark.parametrize("how", AGGREGATIONS)
def test_the_score_of_a_patient_is_the_formula(how):
    p = random_predictions()
    patients = p.by_patient(how)
    units = list(zip(patients.patients, patients.labels))
    assert set(units) == set(zip(p.patients, p.labels))
    assert len(units) == len(set(units))
    for (patient, label), score in zip(units, patients.scores):
        rows = (np.array(p.patients) == patient) & (p.labels == label)
        expected = FORMULAS[how](p.scores[rows, 1])
        assert score == pytest.approx([1 - expected, expected])


def test_three_classes_by_formula():
    scores = np.array([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])
    p = Predictions(
        ["a", "b"], ["p", "p"], np.array([2, 2]), scores, ["x", "y", "z"]
    )
    expected = {
        "mean_log_odds": np.sqrt([0.2 * 0.6, 0.3 * 0.3, 0.5 * 0.1]),
        "max": np.array([0.6, 0.3, 0.5]),
        "noisy_or": 1 - np.array([0.8 * 0.4, 0.7 * 0.7, 0.5 * 0.9]),
    }
    for how, weights in expected.items():
        scores_of_p = p.by_patient(how).scores[0]
        assert scores_of_p == pytest.approx(weights / weights.sum())


@pytest.mark.parametrize("how", AGGREGATIONS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_single_recording_is_its_patient(how, n_classes):
    p = own_patients(random_predictions(n=9, n_classes=n_classes))
    units = p.by_patient(how)
    assert units.ids == units.patients == p.patients
    assert units.labels.tolist() == p.labels.tolist()
    assert units.scores == pytest.approx(p.scores)


def test_recordings_of_several_classes_are_a_unit_a_class():
    """Triggers: a patient cries in pain and of hunger."""
    p = random_predictions(n=4)
    p.patients = ["q", "q", "q", "p"]
    units = p.by_patient()
    assert units.patients == ["q", "q", "p"]
    assert units.ids == ["q/healthy", "q/injury", "p"]
    assert units.labels.tolist() == [0, 1, 1]
    assert units.scores[1:] == pytest.approx(p.scores[[1, 3]])


@pytest.mark.parametrize("how", AGGREGATIONS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_certain_scores_give_finite_patient_scores(how, n_classes):
    certain = np.eye(n_classes)
    p = random_predictions(n=6, n_classes=n_classes)
    p.labels[:] = 1
    p.patients = ["agree", "agree", "differ", "differ", "unsure", "unsure"]
    p.scores = certain[[1, 1, 0, 1, 1, 0]]
    p.scores[5] = 1 / n_classes  # one recording is certain, the other unsure
    scores = p.by_patient(how).scores
    assert np.isfinite(scores).all()
    assert scores.sum(axis=1) == pytest.approx(np.ones(3))
    assert scores[0] == pytest.approx(certain[1])
    if how == "mean_log_odds":
        assert scores[1, :2] == pytest.approx([0.5, 0.5], abs=1e-3)
    assert scores[2].argmax() == 1


@pytest.mark.parametrize("how", ["mean_log_odds", "max"])
def test_equal_scores_do_not_rank_patients(how):
    """Whatever their number of recordings: rounding must not rank them."""
    patients = [f"p{n}" for n in range(1, 20) for _ in range(n)]
    p = random_predictions(n=len(patients))
    p.patients, p.labels[:] = patients, 0
    for score in np.arange(1, 20) / 20:
        p.scores[:] = [1 - score, score]
        assert len(set(p.by_patient(how).scores[:, 1])) == 1


def test_an_unknown_aggregation_is_refused():
    with pytest.raises(InputError) as error:
        random_predictions().by_patient("median")
    assert "'median'; expected one of mean_log_odds, max" in str(error.value)


def test_the_file_keeps_every_digit(tmp_path):
    p = random_predictions(n_classes=3)
    p.ids[0], p.patients[1] = 'a, "b"', "ü\nv"
    p.scores[2] = [1e-300, 1 / 3, 1 - 1 / 3]
    p.scores[3] = [0, 0, 1]
    p.write(tmp_path / "p.csv")
    header = (tmp_path / "p.csv").read_text().splitlines()[0]
    assert header == "ID,patient_id,label,healthy,injury,other"
    q = Predictions.read(tmp_path / "p.csv")
    assert q.ids == p.ids and q.patients == p.patients
    assert q.classes == p.classes
    assert q.labels.dtype == p.labels.dtype
    assert np.array_equal(q.labels, p.labels)
    assert np.array_equal(q.scores, p.scores)


def test_paths_are_the_last_column(tmp_path):
    """So that a table of recordings can be joined."""
    path, p = tmp_path / "p.csv", random_predictions()
    p.write(path, {ID: f"audio/{ID}.wav" for ID in p.ids})
    header, first = path.read_text().splitlines()[:2]
    assert header.split(",")[-2:] == [p.classes[-1], "path"]
    assert first.endswith(f",audio/{p.ids[0]}.wav")
    assert Predictions.read(path).classes == p.classes


def test_folds_are_a_column_before_the_label(tmp_path):
    path = tmp_path / "p.csv"
    p = random_predictions()
    p.folds = ["site 1", "ü, 2"] * 30
    p.write(path)
    header = path.read_text().splitlines()[0]
    assert header == "ID,patient_id,fold,label,healthy,injury"
    q = Predictions.read(path)
    assert q.folds == p.folds and q.classes == p.classes
    assert q.take([3, 0]).folds == ["ü, 2", "site 1"]
    # Wherever a user adds the column, its numbers are no scores.
    path.write_text("ID,patient_id,label,a,b,fold\nr,p,a,1,0,1\n")
    q = Predictions.read(path)
    assert q.folds == ["1"] and q.classes == ["a", "b"]


def test_a_patient_in_several_folds_is_a_unit_of_each():
    p = random_predictions(n=8, n_patients=1)
    p.folds = ["x", "x", "y", "y"] * 2
    q = p.by_patient()
    assert q.ids == [
        "p0/healthy/x", "p0/injury/x", "p0/healthy/y", "p0/injury/y",
    ]  # fmt: skip
    assert q.folds == ["x", "x", "y", "y"]


def test_columns_of_classes_keep_their_order(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("z,label,ID,a,patient_id\n0.25,a,r,0.75,p\n")
    p = Predictions.read(path)
    assert p.classes == ["z", "a"]
    assert p.labels.tolist() == [1] and p.scores.tolist() == [[0.25, 0.75]]


@pytest.mark.parametrize(
    "rows, words",
    [
        ("r,p,c,0.5,0.5\n", ["row 2", "'c'"]),
        ("r,p,a,0.5,\n", ["row 2", "b is ''"]),
        ("r,p,a,0.5,high\n", ["row 2", "'high'"]),
        ("r,p,a,nan,0.5\n", ["row 2", "a is 'nan'"]),
        ("r,p,a,0.5,inf\n", ["row 2", "b is 'inf'"]),
        # Percent or logits: Brier score and calibration would mean nothing.
        ("r,p,a,87,13\n", ["row 2", "expected a probability"]),
        ("r,p,a,-0.2,1.2\n", ["row 2", "expected a probability"]),
        ("r,p,a,0.5,0.5\ns,p,a,0.5,0.2\n", ["row 3", "0.7", "not to 1"]),
        ("r,p,a,1,1\n", ["row 2", "add up to 2"]),
        ("r,p,a,0,0\n", ["row 2", "add up to 0"]),
        ("r,p,a,0.50,0.52\n", ["row 2", "add up to 1.02"]),
        ("ID,patient_id,label,a,b,c\nr,p,a,0.3,0.3,0.3\n", ["add up to 0.9"]),
        ("r,p,a,1,0\nID,patient_id,label,a,b\n", ["row 3", "remove that row"]),
        ("r,p,a,1,0\ns,p,a,1,0\nr,q,b,1,0\n", ["row 4", "'r'", "row 2"]),
        ("", ["no rows"]),
        (None, ["does not exist"]),
        # Other headers.
        ("ID,patient_id,label\nr,p,a\n", ["0 columns of scores"]),
        ("ID,patient_id,label,a\nr,p,a,1\n", ["1 columns of scores"]),
        ("ID,label,a,b\nr,a,1,0\n", ["patient_id"]),
        ("ID,patient_id,fold,label,a,b\nr,p,,a,1,0\n", ["row 2", "fold is"]),
    ],
)
def test_faulty_files_are_refused_in_one_line(tmp_path, rows, words):
    path = tmp_path / "p.csv"
    if rows is not None:
        header = "" if rows.startswith("ID") else "ID,patient_id,label,a,b\n"
        path.write_text(header + rows)
    with pytest.raises(InputError) as error:
        Predictions.read(path)
    message = str(error.value)
    assert "p.csv" in message and "\n" not in message
    assert all(part in message for part in words)


@pytest.mark.parametrize(
    "cells",
    [
        "0.33,0.33,0.33", "0.333,0.333,0.333", "0.67,0.17,0.17",
        "3.333e-01,3.333e-01,3.333e-01", "1e-05,0.9,0.1", "1,1e-300,0",
        "0.3333333432674408,0.3333333432674408,0.3333333432674408",
    ],
)  # fmt: skip
def test_rounded_scores_are_accepted(tmp_path, cells):
    path = tmp_path / "p.csv"
    path.write_text(f"ID,patient_id,label,a,b,c\nr,p,a,{cells}\n")
    assert len(Predictions.read(path).ids) == 1
