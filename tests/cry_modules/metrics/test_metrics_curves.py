"""Curves of test scores against scikit-learn, scipy and slow loops."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import precision_recall_curve, roc_curve

from cry_modules.metrics.bootstrap import patient_weights
from cry_modules.metrics.curves import (
    GRID,
    PRECISION_RECALL,
    ROC,
    equal_size_bins,
    mean_and_band,
    precision_recall_points,
    reliability,
    roc_points,
    wilson,
)
from tests.cry_modules.metrics.made import own_patients, random_predictions

N_DRAWS = 40
KINDS = pytest.mark.parametrize("kind", [ROC, PRECISION_RECALL])


def made(n_classes=2, seeds=3):
    """Predictions of several seeds for the same recordings; some scores tie."""
    runs = [
        random_predictions(60, 20, n_classes, seed) for seed in range(seeds)
    ]
    return [
        replace(p, patients=runs[0].patients, scores=p.scores.round(2))
        for p in runs
    ]


def test_points_equal_scikit_learn():
    p = made()[0]
    weights = np.random.default_rng(0).integers(1, 4, (3, len(p.labels))) * 1.0
    weights[0] = 1
    positive, scores = p.labels == 1, p.scores[:, 1]
    assert len(set(scores)) < len(scores)
    false, true = roc_points(positive, scores, weights)
    recall, precision = precision_recall_points(positive, scores, weights)
    for i, row in enumerate(weights):
        expected = roc_curve(
            positive, scores, sample_weight=row, drop_intermediate=False
        )
        np.testing.assert_allclose(false[i], expected[0], atol=1e-12)
        np.testing.assert_allclose(true[i], expected[1], atol=1e-12)
        expected = precision_recall_curve(positive, scores, sample_weight=row)
        np.testing.assert_allclose(precision[i][::-1], expected[0], atol=1e-12)
        np.testing.assert_allclose(recall[i][::-1], expected[1], atol=1e-12)


def slow_height(kind, positive, scores):
    """Height of one curve on the grid by scikit-learn."""
    if kind is ROC:
        x, y, _ = roc_curve(positive, scores, drop_intermediate=False)
        return np.interp(GRID, x, y)
    y, x, _ = precision_recall_curve(positive, scores)
    # From the highest score on; the first that reaches each recall.
    return [next(p for p, r in zip(y[::-1], x[::-1]) if r >= at) for at in GRID]


def slow_mean(kind, runs, rows):
    """Mean over runs and classes of some rows; None if they lack a class."""
    n_classes, heights = len(runs[0].classes), []
    for p in runs:
        for k in [1] if n_classes == 2 else range(n_classes):
            positive = p.labels[rows] == k
            if positive.all() or not positive.any():
                return None
            heights.append(slow_height(kind, positive, p.scores[rows, k]))
    return np.mean(heights, axis=0)


@KINDS
@pytest.mark.parametrize("n_classes, rare", [(2, False), (3, False), (2, True)])
def test_mean_and_band_equal_slow_loops(kind, n_classes, rare):
    n_draws, runs = N_DRAWS, made(n_classes)
    if rare:  # some draws have none of five positive patients
        n_draws, p = 400, own_patients(random_predictions(30))
        runs = [replace(p, labels=(np.arange(30) < 5).astype(int))]
    n = len(runs[0].labels)
    drawn = [
        slow_mean(kind, runs, np.repeat(np.arange(n), times))
        for weights in patient_weights(runs[0].patients, 3, n_draws)
        for times in weights.astype(int)
    ]
    kept = [height for height in drawn if height is not None]
    assert (len(kept) < len(drawn)) == rare
    mean, band = mean_and_band(kind, runs, n_draws, seed=3)
    expected = slow_mean(kind, runs, np.arange(n))
    np.testing.assert_allclose(mean, expected, atol=1e-12)
    expected = np.quantile(kept, [0.025, 0.975], axis=0)
    np.testing.assert_allclose(band, expected, atol=1e-12)


def test_few_patients_or_no_draws_give_no_band():
    few = random_predictions(n=12, n_patients=4)
    assert mean_and_band(ROC, [few], N_DRAWS)[1] is None
    assert mean_and_band(ROC, made(), 0)[1] is None


def test_wilson_equals_scipy():
    for hits, n in ((0, 4), (3, 10), (10, 10), (7, 200)):
        expected = binomtest(hits, n).proportion_ci(method="wilson")
        assert wilson(hits / n, n) == pytest.approx(tuple(expected))


def test_groups_are_equally_large_and_count_patients():
    rng = np.random.default_rng(1)
    predicted, right = rng.random(120), rng.random(120) < 0.3
    patients = [f"p{i}" for i in rng.integers(80, size=120)]
    result = equal_size_bins(predicted, right, patients)
    assert len(result) == 10
    for group, rows in zip(result, np.split(np.argsort(predicted), 10)):
        n_patients = len({patients[i] for i in rows})
        share = right[rows].mean()
        assert group.predicted == pytest.approx(predicted[rows].mean())
        assert group.observed == pytest.approx(share)
        assert (group.low, group.high) == wilson(share, n_patients)


def test_equal_probabilities_and_few_recordings_are_one_group():
    right = np.arange(40) < 10
    (group,) = equal_size_bins(np.full(40, 0.3), right, [*range(40)])
    assert (group.predicted, group.observed) == (pytest.approx(0.3), 0.25)
    few = equal_size_bins(np.linspace(0, 1, 7), np.ones(7), [*"abcdefg"])
    assert len(few) == 1


@pytest.mark.parametrize("n_classes", [2, 3])
def test_reliability_pools_seeds_and_counts_patients_once(n_classes):
    """The positive class of two; of three, the predicted one."""
    runs = made(n_classes, seeds=2)
    labels = np.tile(runs[0].labels, 2)
    scores = np.concatenate([p.scores for p in runs])
    predicted, right = scores[:, 1], labels == 1
    if n_classes == 3:
        predicted, right = scores.max(axis=1), scores.argmax(axis=1) == labels
    patients = runs[0].patients * 2
    assert reliability(runs) == equal_size_bins(predicted, right, patients)
