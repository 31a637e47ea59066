"""Predictions: one score a patient by formula, and the file."""

import numpy as np
import pytest

from cry_modules.metrics.predictions import AGGREGATIONS, Predictions
from data_prep.files.errors import InputError


def random_predictions(n=40, n_patients=15, n_classes=2, seed=0):
    rng = np.random.default_rng(seed)
    return Predictions(
        [f"r{i}" for i in range(n)],
        [f"p{i}" for i in rng.integers(n_patients, size=n)],
        np.arange(n) % n_classes,
        rng.dirichlet(np.ones(n_classes), n),
        ["healthy", "injury", "other"][:n_classes],
    )


def odds_of_means(p):
    """Of the positive class, from the mean of its log-odds."""
    odds = np.exp(np.mean([np.log(x / (1 - x)) for x in p]))
    return odds / (1 + odds)


def any_of(p):
    """Probability that at least one is positive, were they independent."""
    none = 1.0
    for x in p:
        none *= 1 - x
    return 1 - none


ONE_SCORE = {"mean_log_odds": odds_of_means, "max": max, "noisy_or": any_of}


@pytest.mark.parametrize("how", ONE_SCORE)
def test_score_of_a_patient_is_the_formula(how):
    p = random_predictions()
    patients = p.by_patient(how)
    units = list(zip(patients.patients, patients.labels))
    assert set(units) == set(zip(p.patients, p.labels))
    assert len(units) == len(set(units))
    for (patient, label), score in zip(units, patients.scores):
        own = (np.array(p.patients) == patient) & (p.labels == label)
        expected = ONE_SCORE[how](p.scores[own, 1].tolist())
        assert score == pytest.approx([1 - expected, expected])


def test_every_way_is_proved_here():
    assert set(ONE_SCORE) == set(AGGREGATIONS)


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
        found = p.by_patient(how).scores[0]
        assert found == pytest.approx(weights / weights.sum())


@pytest.mark.parametrize("how", AGGREGATIONS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_scores_of_a_patient_are_probabilities(how, n_classes):
    scores = random_predictions(n_classes=n_classes).by_patient(how).scores
    assert scores.sum(axis=1) == pytest.approx(np.ones(len(scores)))
    assert (scores >= 0).all()


@pytest.mark.parametrize("how", AGGREGATIONS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_single_recording_is_its_patient(how, n_classes):
    p = random_predictions(n=9, n_classes=n_classes)
    p.patients = [f"p{i}" for i in range(9)]
    found = p.by_patient(how)
    assert found.ids == found.patients == p.patients
    assert found.labels.tolist() == p.labels.tolist()
    assert found.scores == pytest.approx(p.scores)


def test_recordings_of_several_classes_are_a_unit_a_class():
    """Triggers: a patient cries in pain and of hunger."""
    p = random_predictions(n=4)
    p.patients = ["q", "q", "q", "p"]
    found = p.by_patient()
    assert found.patients == ["q", "q", "p"]
    assert found.labels.tolist() == [0, 1, 1]
    assert found.scores[1:] == pytest.approx(p.scores[[1, 3]])


@pytest.mark.parametrize("how", AGGREGATIONS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_certain_scores_give_finite_patient_scores(how, n_classes):
    certain = np.eye(n_classes)
    p = random_predictions(n=6, n_classes=n_classes)
    p.labels[:] = 1
    p.patients = ["agree", "agree", "differ", "differ", "one", "one"]
    p.scores = certain[[1, 1, 0, 1, 1, 0]]
    p.scores[5] = 1 / n_classes  # one is certain, the other knows nothing
    found = p.by_patient(how).scores
    assert np.isfinite(found).all()
    assert found[0] == pytest.approx(certain[1])
    if how == "mean_log_odds":
        assert found[1, :2] == pytest.approx([0.5, 0.5], abs=1e-3)
    assert found[2].argmax() == 1


@pytest.mark.parametrize("how", ["mean_log_odds", "max"])
def test_a_score_that_is_always_the_same_ranks_no_patient(how):
    """However many recordings they have: rounding must not rank them."""
    for score in np.arange(1, 20) / 20:
        patients = [f"p{n}" for n in range(1, 20) for _ in range(n)]
        n = len(patients)
        p = Predictions(
            [f"r{i}" for i in range(n)],
            patients,
            np.zeros(n, dtype=int),
            np.tile([1 - score, score], (n, 1)),
            ["healthy", "injury"],
        )
        assert len(set(p.by_patient(how).scores[:, 1])) == 1


def test_unknown_way_is_refused():
    with pytest.raises(InputError) as error:
        random_predictions().by_patient("median")
    assert "'median'" in str(error.value)
    assert "mean_log_odds, max, noisy_or" in str(error.value)


def test_some_rows_and_parts_joined():
    p = random_predictions()
    parts = [p.take(range(7)), p.take(range(7, 40))]
    for q in (Predictions.joined(parts), p.take(range(40))):
        assert q.ids == p.ids and q.patients == p.patients
        assert np.array_equal(q.labels, p.labels)
        assert np.array_equal(q.scores, p.scores)
    q = p.take([3, 1])
    assert q.ids == ["r3", "r1"] and q.patients == [
        p.patients[i] for i in (3, 1)
    ]
    assert q.labels.tolist() == p.labels[[3, 1]].tolist()
    assert np.array_equal(q.scores, p.scores[[3, 1]])
    assert p.take([]).scores.shape == (0, 2)


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


def test_columns_of_classes_keep_their_order(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("z,label,ID,a,patient_id\n0.25,a,r,0.75,p\n")
    p = Predictions.read(path)
    assert p.classes == ["z", "a"]
    assert p.labels.tolist() == [1] and p.scores.tolist() == [[0.25, 0.75]]


@pytest.mark.parametrize(
    "table, said",
    [
        ("ID,patient_id,label,a,b\nr,p,c,0.5,0.5\n", ["row 2", "'c'"]),
        ("ID,patient_id,label,a,b\nr,p,a,0.5,\n", ["row 2", "b is ''"]),
        ("ID,patient_id,label,a,b\nr,p,a,0.5,high\n", ["row 2", "'high'"]),
        ("ID,patient_id,label,a,b\nr,p,a,nan,0.5\n", ["row 2", "a is 'nan'"]),
        ("ID,patient_id,label,a,b\nr,p,a,0.5,inf\n", ["row 2", "b is 'inf'"]),
        (
            "ID,patient_id,label,a,b\nr,p,a,1,0\ns,p,a,1,0\nr,q,b,1,0\n",
            ["row 4", "'r'", "row 2"],
        ),
        ("ID,patient_id,label\nr,p,a\n", ["0 columns of scores"]),
        ("ID,patient_id,label,a\nr,p,a,1\n", ["1 columns of scores"]),
        ("ID,label,a,b\nr,a,1,0\n", ["patient_id"]),
        ("ID,patient_id,label,a,b\n", ["no rows"]),
    ],
)
def test_a_faulty_table_is_refused_in_one_line(tmp_path, table, said):
    path = tmp_path / "p.csv"
    path.write_text(table)
    with pytest.raises(InputError) as error:
        Predictions.read(path)
    assert "p.csv" in str(error.value)
    assert "\n" not in str(error.value)
    for part in said:
        assert part in str(error.value)


@pytest.mark.parametrize("scores", ["-0.2,1.2", "87,13", "2.5,-3.1"])
def test_scores_that_are_no_probabilities_are_refused(tmp_path, scores):
    """Percent or logits: Brier score and calibration would mean nothing."""
    path = tmp_path / "p.csv"
    path.write_text(f"ID,patient_id,label,a,b\nr,p,a,{scores}\n")
    with pytest.raises(InputError, match="row 2"):
        Predictions.read(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        Predictions.read(tmp_path / "p.csv")
