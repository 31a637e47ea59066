"""Metrics against scikit-learn, formulas and slow loops."""

import json

import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    roc_auc_score,
)

from cry_modules.metrics import (
    auc,
    bootstrap_auc,
    evaluate,
    summarise,
    threshold_at_specificity,
    weighted_auc,
)
from cry_modules.predictions import Predictions
from data_prep.errors import InputError


def random_predictions(n=60, n_patients=25, n_classes=2, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % n_classes
    logits = rng.normal(size=(n, n_classes)) + np.eye(n_classes)[labels]
    logits = logits.round(1)  # so that there are ties
    scores = np.exp(logits)
    return Predictions(
        [f"r{i}" for i in range(n)],
        [f"p{i}" for i in rng.integers(n_patients, size=n)],
        labels,
        scores / scores.sum(axis=1, keepdims=True),
        ["healthy", "injury", "other"][:n_classes],
    )


def test_binary_metrics_equal_scikit_learns():
    p = random_predictions()
    m, positive = evaluate(p), p.scores[:, 1]
    assert m["auc"] == pytest.approx(roc_auc_score(p.labels, positive))
    assert m["average_precision"] == pytest.approx(
        average_precision_score(p.labels, positive)
    )
    assert m["brier"] == pytest.approx(brier_score_loss(p.labels, positive))
    assert m["balanced_accuracy"] == pytest.approx(
        balanced_accuracy_score(p.labels, positive > 0.5)
    )
    assert m["n"] == 60
    assert m["n_patients"] == len(set(p.patients))
    assert m["per_class"]["injury"]["n"] == 30


def test_three_classes_are_macro_one_against_rest():
    p = random_predictions(n_classes=3)
    m = evaluate(p)
    expected = roc_auc_score(
        p.labels, p.scores, multi_class="ovr", average="macro"
    )
    assert m["auc"] == pytest.approx(expected)
    assert m["threshold"] is None and m["sensitivity_at_spec80"] is None


@pytest.mark.parametrize("n_classes", [2, 3])
def test_bootstrap_equals_the_loop_over_patients(n_classes):
    p = random_predictions(n_classes=n_classes)
    interval, n_degenerate = bootstrap_auc(p, seed=3, n_draws=100)
    patients = np.unique(p.patients)
    rows_of = {q: np.flatnonzero(np.array(p.patients) == q) for q in patients}
    times = np.random.default_rng(3).multinomial(
        len(patients), np.full(len(patients), 1 / len(patients)), 100
    )
    draws = []
    for draw in times:
        rows = np.concatenate(
            [rows_of[q] for q, t in zip(patients, draw) for _ in range(t)]
        )
        draws.append(auc(p.labels[rows], p.scores[rows]))
    assert interval == pytest.approx(np.quantile(draws, [0.025, 0.975]))
    assert n_degenerate == 0


def test_interval_is_over_patients_not_recordings():
    """Ten copies of every recording bring no information."""
    p = random_predictions(n=40, n_patients=1000)
    tenfold = Predictions(
        p.ids * 10,
        p.patients * 10,
        np.tile(p.labels, 10),
        np.tile(p.scores, (10, 1)),
        p.classes,
    )
    assert bootstrap_auc(tenfold)[0] == pytest.approx(bootstrap_auc(p)[0])


def test_degenerate_draws_are_left_out_and_counted():
    p = random_predictions(n=12, n_patients=1000)
    p.labels = np.array([1] + [0] * 11)
    interval, n_degenerate = bootstrap_auc(p, n_draws=2000)
    # A draw misses the one positive patient with (11/12)^12 = 0.352.
    assert n_degenerate == pytest.approx(704, abs=80)
    assert interval is None  # one patient has no spread
    p.labels = np.array([1] * 4 + [0] * 8)
    assert bootstrap_auc(p)[0] is None
    p.labels = np.array([1] * 5 + [0] * 7)
    interval, _ = bootstrap_auc(p)
    assert 0 <= interval[0] < interval[1] <= 1
    p.labels = np.zeros(12, dtype=int)
    assert bootstrap_auc(p) == (None, 2000)


def test_threshold_is_the_most_sensitive_one_that_is_specific_enough():
    rng = np.random.default_rng(0)
    for _ in range(50):
        labels = rng.permutation(np.arange(30) < 12).astype(int)
        scores = rng.integers(10, size=30) / 10
        threshold = threshold_at_specificity(labels, scores)
        called = scores >= threshold
        assert (~called[labels == 0]).mean() >= 0.8
        for lower in scores[scores < threshold]:
            below = scores >= lower
            better = below[labels == 1].mean() > called[labels == 1].mean()
            assert not better or (~below[labels == 0]).mean() < 0.8


def test_operating_point_comes_from_validation():
    valid, test = random_predictions(seed=1), random_predictions(seed=2)
    blocks = summarise(valid, test)
    for unit in ("recording", "patient"):
        chosen = blocks["valid"][unit]["threshold"]
        assert blocks["test"][unit]["threshold"] == chosen
    p = test.scores[:, 1] >= blocks["valid"]["recording"]["threshold"]
    found = blocks["test"]["recording"]
    assert found["sensitivity_at_spec80"] == p[test.labels == 1].mean()
    assert found["specificity_at_threshold"] == (~p[test.labels == 0]).mean()


def test_patient_score_is_the_mean_of_log_odds():
    p = random_predictions()
    by_patient = p.by_patient()
    log_odds = np.log(p.scores[:, 1] / p.scores[:, 0])
    for patient, label, score in zip(
        by_patient.patients, by_patient.labels, by_patient.scores
    ):
        own = (np.array(p.patients) == patient) & (p.labels == label)
        expected = log_odds[own].mean()
        assert np.log(score[1] / score[0]) == pytest.approx(expected)


def test_certain_scores_give_finite_patient_scores():
    p = random_predictions()
    p.scores = np.eye(2)[p.labels]
    assert np.isfinite(p.by_patient().scores).all()
    json.dumps(summarise(p, p), allow_nan=False)


def test_calibration_error_of_known_predictions():
    # Half of those called 0.75 are positive, none of those called 0.05.
    p = random_predictions(n=8)
    p.labels = np.array([1, 0, 1, 0, 0, 0, 0, 0])
    claimed = np.array([0.75] * 4 + [0.05] * 4)
    p.scores = np.stack([1 - claimed, claimed], axis=1)
    assert evaluate(p)["ece"] == pytest.approx(0.5 * 0.25 + 0.5 * 0.05)


def test_predictions_survive_the_file(tmp_path):
    p = random_predictions(n_classes=3)
    p.ids[0] = 'a, "b"'
    p.write(tmp_path / "p.csv")
    header = (tmp_path / "p.csv").read_text().splitlines()[0]
    assert header == "ID,patient_id,label,healthy,injury,other"
    q = Predictions.read(tmp_path / "p.csv")
    assert q.ids == p.ids and q.patients == p.patients
    assert np.array_equal(q.labels, p.labels)
    assert np.array_equal(q.scores, p.scores)


def test_reading_refuses_a_label_without_scores(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("ID,patient_id,label,a,b\nr,p,c,0.5,0.5\n")
    with pytest.raises(InputError, match="'c' has no column"):
        Predictions.read(path)


def test_weighted_auc_against_counting_pairs():
    rng = np.random.default_rng(0)
    positive, scores = rng.random(60) < 0.3, rng.integers(0, 9, 60)
    weights = rng.poisson(1, (7, 60)).astype(float)
    weights[3, positive] = 0
    for row, found in zip(weights, weighted_auc(positive, scores, weights)):
        won = pairs = 0.0
        for i in np.flatnonzero(positive):
            for j in np.flatnonzero(~positive):
                pairs += row[i] * row[j]
                half = 0.5 * (scores[i] == scores[j]) + (scores[i] > scores[j])
                won += row[i] * row[j] * half
        if pairs:
            assert found == pytest.approx(won / pairs)
        else:
            assert np.isnan(found)
