"""Classical models on the same split, and whether a model beats them."""

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cry_modules.evaluation import controls
from cry_modules.evaluation.nuisance import nuisance_probe
from cry_modules.evaluation.outcome import (
    EvaluationOptions,
    Outcome,
    evaluate_outcomes,
)
from cry_modules.metrics.predictions import Predictions
from data_prep.files.errors import InputError


def recordings_of(split, labels, n_classes=2):
    labels = np.asarray(labels).astype(int)
    ids = [f"{split}{i}" for i in range(len(labels))]
    return Predictions(
        ids,
        [f"{split}p{i // 2}" for i in range(len(labels))],
        labels,
        np.eye(n_classes)[labels],
        ["a", "b", "c"][:n_classes],
    )


def make_data(n_classes=2, signal=1.5, sizes=(200, 60, 80), seed=0):
    rng = np.random.default_rng(seed)
    features, recordings = {}, {}
    for split, n in zip(("train", "valid", "test"), sizes):
        labels = (rng.random(n) < 0.2).astype(int)
        if n_classes == 3:
            labels = rng.integers(3, size=n)
        features[split] = rng.normal(size=(n, 6))
        features[split][:, [0, 3]] += signal * labels[:, None]
        recordings[split] = recordings_of(split, labels, n_classes)
    prevalence = np.bincount(recordings["train"].labels) / sizes[0]
    return features, recordings, prevalence


def test_the_logistic_control_is_scikit_learns_best_on_validation():
    features, recordings, prevalence = make_data()
    predicted, share = controls.train_classical(
        features, recordings, prevalence
    )["logmel_logistic"]
    values = {}
    for c in (1e-3, 1e-2, 1e-1, 1.0):
        model = make_pipeline(
            StandardScaler(), LogisticRegression(C=c, class_weight="balanced")
        )
        model.fit(features["train"], recordings["train"].labels)
        valid = model.decision_function(features["valid"])
        value = roc_auc_score(recordings["valid"].labels, valid)
        # The first of equals, as in a strict comparison.
        values.setdefault(value, model.decision_function(features["test"]))
    expected = values[max(values)] + np.log(share[1] / share[0])
    log_odds = logit(predicted["test"].scores[:, 1])
    np.testing.assert_allclose(log_odds, expected, rtol=1e-4, atol=1e-4)


def test_the_control_without_means_does_not_see_them():
    features, recordings, prevalence = make_data()
    shifted = {
        split: f + np.array([5.0, -9.0, 1e3, 0, 0, 0]) * (split == "test")
        for split, f in features.items()
    }
    first, second = (
        controls.train_classical(f, recordings, prevalence)
        for f in (features, shifted)
    )
    same, other = (
        np.abs(
            first[name][0]["test"].scores - second[name][0]["test"].scores
        ).max()
        for name in ("logmel_spread", "logmel_logistic")
    )
    assert same == 0 and other > 0.1


def test_acoustic_measures_are_a_control_of_their_own():
    """The logistic regression of log-mel statistics, on other features."""
    features, recordings, prevalence = make_data()
    measures, *_ = make_data(seed=1)
    without = controls.train_classical(features, recordings, prevalence)
    computed = controls.train_classical(
        features, recordings, prevalence, measures
    )
    assert list(computed) == [*without, "acoustic_logistic"]
    expected, _ = controls.train_classical(measures, recordings, prevalence)[
        "logmel_logistic"
    ]
    for split, predictions in computed["acoustic_logistic"][0].items():
        np.testing.assert_array_equal(
            predictions.scores, expected[split].scores
        )
    assert computed["acoustic_logistic"][1] is prevalence


@pytest.mark.parametrize("n_classes", [2, 3])
def test_controls_find_a_signal_and_scores_sum_to_one(n_classes):
    data = make_data(n_classes, signal=3.0)
    for predicted, share in controls.train_classical(*data).values():
        assert share.sum() == pytest.approx(1)
        for predictions in predicted.values():
            np.testing.assert_allclose(predictions.scores.sum(axis=1), 1)
            labels, scores = predictions.labels, predictions.scores
            computed = np.mean(
                [roc_auc_score(labels == k, scores[:, k])
                 for k in range(n_classes)]
            )  # fmt: skip
            assert computed > 0.85


def test_validation_of_one_class_chooses_the_most_regular_model():
    features, recordings, prevalence = make_data()
    recordings["valid"].labels[:] = 0
    computed = controls.train_classical(features, recordings, prevalence)
    assert np.isfinite(computed["logmel_svm"][0]["test"].scores).all()


def test_too_many_recordings_for_a_support_vector_machine():
    controls.check_training_size(20000)
    with pytest.raises(InputError, match="--controls False"):
        controls.check_training_size(20001)


def entry_of(model, control):
    even = np.array([0.5, 0.5])
    computed = evaluate_outcomes(
        [Outcome(model, model, even)],
        {"logmel_svm": [Outcome(control, control, even)]},
        EvaluationOptions(n_draws=400),
    )
    return computed["controls"]["logmel_svm"]


def scored(p, strength, seed):
    noise = np.random.default_rng(seed).normal(size=len(p.ids))
    s = expit(noise + strength * p.labels)
    return p.with_scores(np.stack([1 - s, s], axis=1))


def test_a_better_model_beats_its_control_and_an_equal_one_does_not():
    p = recordings_of("t", np.arange(200) % 4 < 2)
    weak = scored(p, 0.5, 1)
    better = {"logmel_svm": entry_of(scored(p, 4.0, 2), weak)}
    assert controls.unbeaten(better) == []
    assert better["logmel_svm"]["recording"]["difference"]["difference"] > 0.2
    same = {"logmel_svm": entry_of(weak, weak)}
    assert controls.unbeaten(same) == ["logmel_svm"]


def test_a_control_that_cannot_be_compared_is_not_beaten():
    p = recordings_of("t", np.zeros(10, dtype=int))
    entry = {"logmel_svm": entry_of(p, p)}
    assert entry["logmel_svm"]["recording"]["auc"] is None
    assert controls.unbeaten(entry) == ["logmel_svm"]


def test_nuisance_of_nothing_is_chance_and_of_a_trace_is_found():
    patients = np.repeat(np.arange(60), 3)
    site = np.array(["north", "south"])[patients % 2]
    computed = []
    for seed in range(8):
        embs = np.random.default_rng(seed).normal(size=(180, 8))
        computed.append(
            nuisance_probe(embs, site, patients, n_draws=100)["auc"]
        )
    # Of 30 patients a site one AUC has a spread of about 0.07.
    assert abs(np.mean(computed) - 0.5) < 0.075
    embs[:, 3] += 3 * (site == "north")
    traced = nuisance_probe(embs, site, patients, n_draws=200)
    assert traced["auc"] > 0.95
    assert traced["n"] == 180 and traced["n_patients"] == 60


def test_nuisance_keeps_patients_apart():
    """Each patient has its own place and an arbitrary site: predicted
    if a patient is on both sides, by chance if patients are kept apart."""
    rng = np.random.default_rng(1)
    patients = np.repeat(np.arange(40), 5)
    site = np.array(["north", "south"])[rng.permutation(np.arange(40) % 2)]
    place = rng.normal(size=(40, 30))
    embs = place[patients] + 0.01 * rng.normal(size=(200, 30))
    computed = nuisance_probe(embs, site[patients], patients, n_draws=100)
    assert computed["auc"] < 0.75


@pytest.mark.parametrize(
    "values, reason",
    [
        ([""] * 40, "fewer than two values"),
        (["a"] * 37 + ["b"] * 3, "fewer than two values"),
        ([str(i) for i in range(40)], "40 values"),
    ],
)
def test_nuisances_that_cannot_be_asked(values, reason):
    computed = nuisance_probe(np.ones((40, 2)), values, range(40))
    assert reason in computed["not_asked"]
