"""Net benefit, other prevalences, and the most certain recordings."""

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.metrics import accuracy_score, roc_auc_score

from cry_modules.evaluation.clinical import net_benefit_sentence
from cry_modules.metrics.abstention import kept_weights, risk_coverage
from cry_modules.metrics.bootstrap import patient_weights
from cry_modules.metrics.choices import Choices
from cry_modules.metrics.net_benefit import decision_curve, net_benefit
from cry_modules.metrics.predictions import Predictions
from cry_modules.metrics.prevalence import at_prevalences, bayes
from tests.cry_modules.metrics.made import own_patients, random_predictions

PROBABILITY = np.array(
    [0.02, 0.05, 0.05, 0.1, 0.12, 0.2, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.5,
     0.6, 0.7, 0.8, 0.9, 0.95]
)  # fmt: skip
POSITIVE = np.array([0, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 1, 0, 1, 1, 0, 1, 1]) > 0
AT = [0.05, 0.1, 0.2, 0.35, 0.5, 0.8]


@pytest.mark.parametrize(
    "prevalence, model, treat_all",
    [
        (
            None,
            [0.418128655, 0.339506173, 0.305555556, 0.158119658, 0.166666667,
             -0.111111111],
            [0.415204678, 0.382716049, 0.305555556, 0.145299145, -0.111111111,
             -1.777777778],
        ),
        (
            0.1,
            [0.057368421, 0.0075, -0.0475, -0.131346154, -0.1175, -0.335],
            [0.052631579, 0.0, -0.125, -0.384615385, -0.8, -3.5],
        ),
    ],
)  # fmt: skip
def test_net_benefit_is_that_of_dcurves(prevalence, model, treat_all):
    """What dcurves computes, also for a case-control sample.

    It is not installed here, since it needs lifelines and statsmodels, and does
    not install on Python 3.14. With Python 3.11, after ``pip install
    dcurves==1.1.7``, the column ``net_benefit`` (models ``p`` and ``all``) of

        dcurves.dca(
            data=pandas.DataFrame({"y": POSITIVE.astype(int), "p": PROBABILITY}),
            outcome="y", modelnames=["p"], thresholds=AT, prevalence=prevalence
        )
    """
    ids = [f"r{i}" for i in range(len(POSITIVE))]
    scores = np.stack([1 - PROBABILITY, PROBABILITY], axis=1)
    p = Predictions(ids, ids, POSITIVE.astype(int), scores, ["no", "yes"])
    curve = decision_curve(p, 0, 0, AT, prevalence)
    assert curve["model"] == pytest.approx(model, abs=1e-9)
    assert curve["treat_all"] == pytest.approx(treat_all, abs=1e-9)
    gain = np.array(model) - np.maximum(treat_all, 0)
    assert curve["gain"] == pytest.approx(gain, abs=1e-9)
    assert curve["prevalence"] == (prevalence or POSITIVE.mean())
    assert curve["model_ci95"] is None  # no draws


def slow_net_benefit(positive, probability, t, weights, prevalence=None):
    """Vickers & Elkin (2006), recording by recording."""
    total = {True: 0.0, False: 0.0}
    treated = {True: 0.0, False: 0.0}
    for is_positive, p, w in zip(positive.tolist(), probability, weights):
        total[is_positive] += w
        treated[is_positive] += w * (p >= t)
    share = prevalence
    if share is None:
        share = total[True] / (total[True] + total[False])
    true = share * treated[True] / total[True]
    false = (1 - share) * treated[False] / total[False]
    return true - false * t / (1 - t)


@pytest.mark.parametrize("prevalence", [None, 0.03])
def test_weights_count_recordings_several_times(prevalence):
    p = random_predictions()
    positive, probability = p.labels == 1, p.scores[:, 1]
    (weights,) = patient_weights(p.patients, 0, 20)
    computed = net_benefit(positive, probability, AT, weights, prevalence)
    for row, w in zip(computed, weights):
        expected = [
            slow_net_benefit(positive, probability, t, w, prevalence)
            for t in AT
        ]
        assert row == pytest.approx(expected)


def test_a_class_without_weight_has_no_net_benefit_at_another_prevalence():
    weights = (~POSITIVE).astype(float)[None]
    assert np.isnan(net_benefit(POSITIVE, PROBABILITY, [0.5], weights, 0.1))
    (value,) = net_benefit(POSITIVE, PROBABILITY, [0.5], weights)[0]
    assert value == pytest.approx(-2 / 10)  # both are treated in vain


def test_intervals_are_percentiles_of_the_draws_of_patients():
    p = random_predictions(200, 60)
    curve = decision_curve(p, 3, 200, AT)
    every = np.concatenate(
        [
            net_benefit(p.labels == 1, p.scores[:, 1], AT, weights)
            for weights in patient_weights(p.patients, 3, 200)
        ]
    )
    low, high = np.quantile(every, [0.025, 0.975], axis=0)
    assert np.transpose(curve["model_ci95"]) == pytest.approx(
        np.stack([low, high])
    )
    assert curve["gain_ci95"][0][0] > -1


def test_the_report_names_the_thresholds_of_use():
    curve = {
        "prevalence": 0.25,
        "thresholds": [0.1, 0.2, 0.3],
        "gain_ci95": [[-0.1, 0.2], [0.01, 0.2], None],
    }
    text = net_benefit_sentence(curve)
    assert "treating none at the threshold probabilities 0.2 (95 %" in text
    text = net_benefit_sentence({**curve, "gain_ci95": None})
    assert "not shown to be above treating all and treating none" in text


# Other prevalences.


def test_predictive_values_are_those_of_recordings_at_that_prevalence():
    """Recordings counted so often that the positive class has the share."""
    p = random_predictions(200, 60)
    choices, trained, prevalence = Choices(None, 0.55), 0.3, 0.05
    (row,) = at_prevalences(p, choices, trained, [prevalence], n_draws=200)
    positive, called = p.labels == 1, p.scores[:, 1] >= 0.55
    share = positive.mean()
    times = np.where(
        positive, prevalence / share, (1 - prevalence) / (1 - share)
    )
    ppv = times[positive & called].sum() / times[called].sum()
    npv = times[~positive & ~called].sum() / times[~called].sum()
    assert row["ppv"] == pytest.approx(ppv)
    assert row["npv"] == pytest.approx(npv)
    for name in ("ppv", "npv", "net_benefit", "net_benefit_gain"):
        low, high = row[f"{name}_ci95"]
        assert low < row[name] < high
    # The corrected threshold makes the same decisions on corrected scores.
    there = p.at_prevalence(
        np.array([1 - trained, trained]), np.array([1 - prevalence, prevalence])
    )
    recalled = there.scores[:, 1] >= row["threshold"] * (1 - 1e-12)
    assert (recalled == called).all()
    expected = net_benefit(
        positive, there.scores[:, 1], [row["threshold"] * (1 - 1e-12)],
        np.ones((1, 200)), prevalence,
    )  # fmt: skip
    assert row["net_benefit"] == pytest.approx(expected[0, 0])


def test_corrected_scores_are_calibrated_where_the_prevalence_differs():
    """Scores that are right in training are off by the log odds ratio of the
    prevalences, and right after Bayes' correction (Saerens et al. 2002)."""
    rng = np.random.default_rng(0)
    trained, n = 0.3, 40000
    labels = (rng.random(n) < 0.5).astype(int)
    # Normal evidence of variance v and mean +- v / 2 is its own log odds.
    evidence = rng.normal(2 * labels - 1, np.sqrt(2))
    right = expit(evidence + logit(trained))
    ids = [f"r{i}" for i in range(n)]
    p = Predictions(
        ids, ids, labels, np.stack([1 - right, right], axis=1), ["no", "yes"]
    )
    for row in at_prevalences(p, Choices(), trained, [0.02, 0.3], n_draws=0):
        shift = logit(row["prevalence"]) - logit(trained)
        assert row["intercept"] == pytest.approx(shift, abs=0.05)
        assert row["intercept_corrected"] == pytest.approx(0, abs=0.05)
        assert row["ppv"] is None and row["threshold"] is None
    (row,) = at_prevalences(p, Choices(), None, [0.02], n_draws=0)
    assert row["intercept_corrected"] is None
    p = random_predictions()
    (row,) = at_prevalences(p, Choices(None, 0.5), None, [0.02], n_draws=0)
    assert row["ppv"] is not None and row["threshold"] is None
    assert "net_benefit" not in row


def test_bayes_correction_is_that_of_the_predictions():
    p = random_predictions()
    before, after = np.array([0.7, 0.3]), np.array([0.99, 0.01])
    assert bayes(p.scores[:, 1], 0.3, 0.01) == pytest.approx(
        p.at_prevalence(before, after).scores[:, 1]
    )


def test_thresholds_of_folds_have_no_single_one():
    p = random_predictions()
    each = np.where(np.arange(60) < 30, 0.4, 0.6)
    (row,) = at_prevalences(p, Choices(None, each), 0.5, [0.1], n_draws=0)
    called, positive = p.scores[:, 1] >= each, p.labels == 1
    true, false = called[positive].mean(), called[~positive].mean()
    assert row["ppv"] == pytest.approx(0.1 * true / (0.1 * true + 0.9 * false))
    assert row["threshold"] is None and "net_benefit" not in row


# Abstention.


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_most_certain_recordings_are_judged(n_classes):
    p = random_predictions(120, 40, n_classes)
    # Without ties, so that a sort decides.
    rng = np.random.default_rng(1)
    scores = p.scores + rng.uniform(0, 1e-6, p.scores.shape)
    p = p.with_scores(scores / scores.sum(axis=1, keepdims=True))
    for row in risk_coverage(p, 0, 100, [1.0, 0.8, 0.5]):
        kept = np.argsort(-p.scores.max(axis=1))[: round(120 * row["coverage"])]
        part = p.take(kept)
        expected = accuracy_score(part.labels, part.scores.argmax(axis=1))
        assert row["accuracy"] == pytest.approx(expected)
        each = [
            roc_auc_score(part.labels == k, part.scores[:, k])
            for k in range(n_classes)
        ]
        expected = each[1] if n_classes == 2 else np.mean(each)
        assert row["auc"] == pytest.approx(expected)
        assert row["auc_ci95"][0] < row["auc"] < row["auc_ci95"][1]
        for k, name in enumerate(p.classes):
            share = (part.labels == k).sum() / (p.labels == k).sum()
            assert row["kept"][name] == pytest.approx(share)


def test_equally_certain_recordings_count_in_part_whatever_their_order():
    certainty = np.array([0.6, 0.9, 0.6, 0.8])
    weights = np.array([[1.0, 1, 1, 1], [2, 0, 0, 2]])
    kept = kept_weights(certainty, 0.75, weights)
    assert kept == pytest.approx(np.array([[0.5, 1, 0.5, 1], [1, 0, 0, 2]]))


def test_few_patients_have_no_interval():
    p = random_predictions(30, 4)
    assert risk_coverage(p)[0]["auc_ci95"] is None
    assert decision_curve(p)["gain_ci95"] is None
    rows = at_prevalences(p, Choices(None, 0.5), 0.5)
    assert rows[0]["ppv_ci95"] is None and rows[0]["ppv"] is not None


def test_one_class_is_no_error():
    p = own_patients(random_predictions())
    p = p.take(np.flatnonzero(p.labels == 0))
    assert risk_coverage(p)[0]["auc"] is None
    assert decision_curve(p)["prevalence"] == 0
    rows = at_prevalences(p, Choices(None, 0.5), 0.5)
    assert rows[0]["ppv"] is None and rows[0]["intercept"] is None
