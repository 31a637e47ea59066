"""AUC and average precision within folds: slow loops, and simulations in which
the truth is known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score

from cry_modules.metrics.bootstrap import patient_weights
from cry_modules.metrics.choices import Choices
from cry_modules.metrics.curves import (
    GRID,
    PRECISION_RECALL,
    ROC,
    mean_and_band,
)
from cry_modules.metrics.evaluate import evaluate
from cry_modules.metrics.figures import METRICS
from cry_modules.metrics.paired import metric_draws, paired_difference
from cry_modules.metrics.predictions import Predictions
from cry_modules.metrics.within_folds import auc_within
from tests.cry_modules.metrics.made import (
    random_predictions,
    slow_auc,
    slow_standardised,
)

CLASSES = ["healthy", "injury"]
#: Difference of two normal classes of AUC 0.84.
APART = np.sqrt(2) * norm.ppf(0.84)


def in_folds(p, n_folds=4, seed=0):
    rng = np.random.default_rng(seed)
    return replace(p, folds=[f"f{i}" for i in rng.integers(n_folds, size=60)])


def simulated(rng, shares, n, offset, scale, apart=APART):
    """Recordings of as many patients, in folds of a share of positives each,
    whose log-odds differ by offset and scale."""
    labels, scores = [], []
    for share in shares:
        label = (rng.random(n) < share).astype(int)
        score = rng.normal(size=n) + apart * label
        labels.append(label)
        scores.append(
            score * np.exp(scale * rng.normal()) + offset * rng.normal()
        )
    labels, p = np.concatenate(labels), expit(np.concatenate(scores))
    ids = [f"r{i}" for i in range(len(labels))]
    folds = np.repeat([f"f{i}" for i in range(len(shares))], n).tolist()
    return Predictions(
        ids, ids, labels, np.stack([1 - p, p], axis=1), CLASSES, folds
    )


def value(p, metric="auc"):
    return METRICS[metric].function(p, Choices(), np.ones((1, len(p.labels))))[
        0
    ]


@pytest.mark.parametrize("n_classes", [2, 3])
def test_values_and_draws_equal_loops(n_classes):
    p = in_folds(random_predictions(60, 20, n_classes))
    ranked = [1] if n_classes == 2 else range(3)

    def slow(p):
        aucs, precisions = [], []
        for k in ranked:
            positive, scores = p.labels == k, p.scores[:, k]
            aucs.append(slow_auc(positive, scores, p.folds))
            z = slow_standardised(positive, scores, p.folds)
            known = np.isfinite(z)
            precisions.append(
                average_precision_score(positive[known], z[known])
            )
        return np.mean(aucs), np.mean(precisions)

    expected = slow(p)
    for name, number in zip(("auc", "average_precision"), expected):
        assert value(p, name) == pytest.approx(number)
        draws = metric_draws([p], name, 3, 20).draws[0]
        for weights, drawn in zip(next(patient_weights(p.patients, 3)), draws):
            rows = np.repeat(np.arange(60), weights.astype(int))
            index = ["auc", "average_precision"].index(name)
            assert drawn == pytest.approx(slow(p.take(rows))[index])
    block = evaluate(p, Choices(), n_draws=0)
    assert (block["auc"], block["average_precision"]) == pytest.approx(expected)
    for k, name in enumerate(p.classes):
        of_class = slow_auc(p.labels == k, p.scores[:, k], p.folds)
        assert block["per_class"][name]["auc"] == pytest.approx(of_class)


def test_offset_and_scale_of_folds_change_nothing():
    p = simulated(np.random.default_rng(0), [0.3] * 4, 30, 0, 0)
    moved = simulated(np.random.default_rng(0), [0.3] * 4, 30, 0, 0)
    fold = np.unique(p.folds, return_inverse=True)[1]
    x = np.array([0.3, -2, 1, 4])[fold]
    x += np.array([0.5, 1, 2, 3])[fold] * p.log_odds[:, 1]
    moved.scores = np.stack([expit(-x), expit(x)], axis=1)
    assert value(moved) == pytest.approx(value(p))
    difference = paired_difference(p, moved, n_draws=100)
    assert difference["difference"] == pytest.approx(0, abs=1e-9)
    pooled = roc_auc_score(moved.labels, moved.scores[:, 1])
    assert pooled < value(moved) - 0.05


def test_folds_of_one_class_are_left_out_and_counted():
    p = in_folds(random_predictions(60, 30))
    one_class = (np.array(p.folds) == "f0") | (np.array(p.folds) == "f1")
    p.labels = np.where(one_class, np.array(p.folds) == "f1", p.labels)
    block = evaluate(p, Choices(), n_draws=100)
    rest = p.take(np.flatnonzero(~one_class))
    assert block["n_folds"] == 4 and block["n_without_pair"] == one_class.sum()
    assert block["n"] == 60
    for name in ("auc", "average_precision"):
        assert block[name] == pytest.approx(value(rest, name))
    alone = replace(p, folds=p.ids)
    block = evaluate(alone, Choices(), n_draws=100)
    assert block["auc"] is None and block["average_precision"] is None
    assert block["n_without_pair"] == 60
    assert block["accuracy_ci95"] is not None
    assert mean_and_band(ROC, [rest], 100)[0] == pytest.approx(
        mean_and_band(ROC, [p], 100)[0]
    )


def test_one_fold_is_as_none():
    one = simulated(np.random.default_rng(0), [0.3], 60, 0, 0)
    p = replace(one, folds=None)
    for name in ("auc", "average_precision"):
        assert value(one, name) == pytest.approx(value(p, name))
    for kind in (ROC, PRECISION_RECALL):
        curves = [mean_and_band(kind, [q], 50) for q in (p, one)]
        np.testing.assert_allclose(curves[0][0], curves[1][0])
        np.testing.assert_allclose(curves[0][1], curves[1][1])


@pytest.mark.parametrize("weighted", [False, True])
def test_roc_curve_is_of_places_and_its_area_the_auc(weighted):
    p = in_folds(random_predictions(60, 20))
    weights = np.ones((1, 60))
    if weighted:
        weights = next(patient_weights(p.patients, 0))[:5]
    for row, (x, y) in zip(weights, ROC.curves(p, 1, weights)):
        computed = auc_within(p.labels == 1, p.scores[:, 1], row[None], p.folds)
        assert np.trapezoid(y, x) == pytest.approx(computed[0])
    # Share of positives that at most a share x of their fold's negatives beat.
    rng = np.random.default_rng(0)
    p.scores = rng.permutation(np.linspace(0.01, 0.99, 60))[:, None] * [[1, 1]]
    p.scores[:, 0] = 1 - p.scores[:, 1]
    folds, beaten = np.array(p.folds), []
    for i in np.flatnonzero(p.labels == 1):
        others = p.scores[(folds == folds[i]) & (p.labels == 0), 1]
        beaten.append(np.mean(others > p.scores[i, 1]))
    (curve,) = ROC.curves(p, 1, np.ones((1, 60)))
    for at in set(beaten):
        heights = curve[1][curve[0] == at]
        assert heights[-1] == pytest.approx(np.mean(np.array(beaten) <= at))


def test_average_precision_is_below_its_curve_of_standardised_scores():
    p = in_folds(random_predictions(60, 20))
    ((recall, precision),) = PRECISION_RECALL.curves(p, 1, np.ones((1, 60)))
    area = np.sum(np.diff(recall) * precision[1:])
    assert area == pytest.approx(value(p, "average_precision"))
    assert GRID[0] == 0


@pytest.mark.parametrize("shares", [(0.3,) * 5, (0.1, 0.2, 0.3, 0.5, 0.7)])
def test_within_folds_is_unbiased_where_pooled_is_not(shares):
    rng = np.random.default_rng(0)
    values = []
    for _ in range(60):
        p = simulated(rng, shares, 40, offset=0.5, scale=0.3)
        pooled = roc_auc_score(p.labels, p.scores[:, 1])
        values.append((value(p), pooled))
    within, pooled = np.mean(values, axis=0)
    # Five standard errors: a value has a standard deviation of 0.035.
    assert within == pytest.approx(0.84, abs=5 * 0.035 / np.sqrt(60))
    assert pooled < 0.825
    perfect = simulated(rng, shares, 40, 0.5, 0.3, apart=20)
    assert value(perfect) == 1.0


def auc_interval(p):
    draws = [
        METRICS["auc"].function(p, Choices(), weights)
        for weights in patient_weights(p.patients, 0, 200)
    ]
    return METRICS["auc"].interval(value(p), np.concatenate(draws), p)


@pytest.mark.slow
@pytest.mark.parametrize(("offset", "most"), [(0.5, 0.93), (1, 0.7)])
def test_interval_covers_the_true_auc(offset, most):
    rng = np.random.default_rng(0)
    within, pooled, n_studies = 0, 0, 300
    for _ in range(n_studies):
        p = simulated(rng, (0.3,) * 5, 40, offset, 0.3)
        for folds in (p.folds, None):
            low, high = auc_interval(replace(p, folds=folds))
            if folds:
                within += low <= 0.84 <= high
            else:
                pooled += low <= 0.84 <= high
    # Three standard errors of 95 %.
    assert abs(within / n_studies - 0.95) <= 3 * 0.0126
    assert pooled / n_studies <= most
