"""Folds pooled: no figure may come from how many positives a fold left."""

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score

from cry_modules.evaluation.outcome import (
    EvaluationOptions,
    Outcome,
    evaluate_outcomes,
    pooled_predictions,
)
from cry_modules.metrics.predictions import UNITS, Predictions
from tests.cry_modules.metrics.made import slow_auc

SHARES = (0.05, 0.15, 0.45)


def posterior(evidence, prevalence):
    """Probabilities of the classes, from the log likelihood ratio."""
    p = expit(evidence + logit(prevalence))
    return np.stack([1 - p, p], axis=1)


def leave_one_site_out(strength, seed=0, n=600):
    """Three sites with other shares of positives; each model is right about
    the evidence, and assumes the prevalence that it was trained on."""
    rng = np.random.default_rng(seed)
    outcomes, raw = [], []
    for k, share in enumerate(SHARES):
        prevalence = np.mean([s for s in SHARES if s != share])
        splits = []
        for name in ("valid", "test"):
            ids = [f"{k}{name}{i}" for i in range(n)]
            labels = (rng.random(n) < share).astype(int)
            # Normal, of unit spread and means +- strength / 2.
            x = rng.normal(size=n) + strength * (labels - 0.5)
            evidence = strength * x
            scores = posterior(evidence, prevalence)
            classes = ["healthy", "injury"]
            splits.append(Predictions(ids, ids, labels, scores, classes))
        raw.append((labels, evidence))
        outcomes.append(
            Outcome(*splits, np.array([1 - prevalence, prevalence]))
        )
    labels, evidence = (np.concatenate(part) for part in zip(*raw))
    return outcomes, labels, evidence


@pytest.mark.parametrize("strength", [1e-9, 1.0, 2.0])
def test_pooled_scores_rank_as_the_evidence_does(strength):
    outcomes, labels, evidence = leave_one_site_out(strength)
    pooled, _ = pooled_predictions(outcomes, "recording", "mean_log_odds")
    expected = roc_auc_score(labels, evidence)
    assert roc_auc_score(labels, pooled.scores[:, 1]) == pytest.approx(
        expected, abs=0.002
    )
    metrics = evaluate_outcomes(outcomes, {}, EvaluationOptions(n_draws=100))
    # Compared within folds, and all positives count equally.
    sites = np.repeat(range(3), 600)
    expected_within = slow_auc(labels == 1, evidence, sites)
    assert metrics["test"]["recording"]["auc"] == pytest.approx(
        expected_within, abs=1e-9
    )
    # As they are, scores tell which site was left out.
    joined = Predictions.joined([outcome.test for outcome in outcomes])
    assert roc_auc_score(labels, joined.scores[:, 1]) < expected - 0.02


def test_an_equal_control_of_another_prevalence_is_no_different():
    outcomes, _, _ = leave_one_site_out(1.0)
    even = np.array([0.5, 0.5])
    control = [outcome.at(even) for outcome in outcomes]
    metrics = evaluate_outcomes(
        outcomes, {"logmel_svm": control}, EvaluationOptions(n_draws=200)
    )
    for unit in UNITS:
        difference = metrics["controls"]["logmel_svm"][unit]["difference"]
        assert difference["difference"] == pytest.approx(0, abs=1e-9)
        assert difference["p"] == pytest.approx(1, abs=1e-6)


def test_at_prevalence_is_bayes_rule_and_can_be_undone():
    outcomes, _, _ = leave_one_site_out(1.0, n=50)
    outcome = outcomes[0]
    other = np.array([0.3, 0.7])
    moved = outcome.at(other)
    expected = posterior(
        logit(outcome.test.scores[:, 1]) - logit(outcome.prevalence[1]),
        0.7,
    )
    np.testing.assert_allclose(moved.test.scores, expected, rtol=1e-9)
    back = moved.at(outcome.prevalence)
    np.testing.assert_allclose(back.test.scores, outcome.test.scores)


def test_a_patient_of_two_folds_is_a_unit_of_each():
    outcomes, _, _ = leave_one_site_out(1.0, n=40)
    for outcome in outcomes:
        outcome.test.patients = [f"p{i}" for i in range(40)]
    control = [outcome.at(np.array([0.5, 0.5])) for outcome in outcomes]
    metrics = evaluate_outcomes(
        outcomes, {"logmel_svm": control}, EvaluationOptions(n_draws=100)
    )
    block = metrics["test"]["patient"]
    assert block["n"] == 120 and block["n_patients"] == 40
    assert metrics["controls"]["logmel_svm"]["patient"]["auc"] is not None
