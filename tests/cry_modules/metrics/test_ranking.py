"""Ranking figures against scikit-learn, counted pairs and every threshold."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from cry_modules.metrics.ranking import (
    auc,
    macro,
    threshold_at_sensitivity,
    threshold_at_specificity,
    weighted_auc,
    weighted_average_precision,
)

FIGURES = [
    (weighted_auc, roc_auc_score),
    (weighted_average_precision, average_precision_score),
]


def ranking(n=60, n_classes=2, seed=0):
    """Labels, scores with ties, and weights that count recordings."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % n_classes)
    scores = (
        rng.integers(1, 6, (n, n_classes)) + 2.0 * np.eye(n_classes)[labels]
    )
    scores /= scores.sum(axis=1, keepdims=True)
    return labels, scores, rng.poisson(1, (9, n)).astype(float)


@pytest.mark.parametrize("ours, theirs", FIGURES)
@pytest.mark.parametrize("seed", range(5))
def test_two_classes_are_scikit_learns_under_every_weight(ours, theirs, seed):
    labels, scores, _ = ranking(seed=seed)
    scores = scores[:, 1].round(1)
    assert len(set(scores)) < 15  # ties, within a class and across
    weights = np.random.default_rng(seed).random((9, len(labels)))
    expected = [theirs(labels, scores, sample_weight=row) for row in weights]
    assert ours(labels == 1, scores, weights) == pytest.approx(expected)


@pytest.mark.parametrize("ours, theirs", FIGURES)
def test_three_classes_are_the_macro_average_of_one_against_the_rest(
    ours, theirs
):
    labels, scores, weights = ranking(n_classes=3)
    expected = [
        np.mean(
            [
                theirs(labels == k, scores[:, k], sample_weight=row)
                for k in range(3)
            ]
        )
        for row in weights
    ]
    assert macro(ours, labels, scores, weights) == pytest.approx(expected)


def test_auc_is_the_share_of_pairs_in_order():
    labels, scores, weights = ranking(n=30)
    positive, scores = labels == 1, scores[:, 1].round(1)
    weights[3, positive] = 0
    for row, computed in zip(weights, weighted_auc(positive, scores, weights)):
        won = pairs = 0.0
        for i in np.flatnonzero(positive):
            for j in np.flatnonzero(~positive):
                half = 0.5 * (scores[i] == scores[j]) + (scores[i] > scores[j])
                pairs += row[i] * row[j]
                won += row[i] * row[j] * half
        expected = won / pairs if pairs else np.nan
        assert computed == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    "scores, area, precision",
    [
        ([0.1, 0.2, 0.3, 0.4], 1, 1),
        ([0.2, 0.3, 0.4, 0.1], 0, 0.25),
        ([0.5, 0.5, 0.5, 0.5], 0.5, 0.25),
        ([0, 0, 1, 1], 2.5 / 3, 0.5),
    ],
)
def test_known_rankings(scores, area, precision):
    data = np.arange(4) == 3, np.array(scores), np.ones((1, 4))
    assert weighted_auc(*data) == pytest.approx(area)
    assert weighted_average_precision(*data) == pytest.approx(precision)


def test_a_class_without_weight_has_no_figure():
    labels, scores, _ = ranking(n_classes=3)
    weights = np.ones((3, len(labels)))
    weights[1, labels == 2] = 0
    weights[2, labels != 2] = 0
    for figure in (weighted_auc, weighted_average_precision):
        computed = macro(figure, labels, scores, weights)
        assert np.isfinite(computed[0]) and np.isnan(computed[1:]).all()


@pytest.mark.parametrize("n_classes", [2, 3])
def test_one_class_has_no_auc(n_classes):
    _, scores, weights = ranking(n_classes=n_classes)
    for k in range(n_classes):
        labels = np.full(len(scores), k)
        assert auc(labels, scores) is None
        assert np.isnan(macro(weighted_auc, labels, scores, weights)).all()


def shares(labels, scores, threshold):
    """Specificity and sensitivity."""
    called = scores >= threshold
    return (~called[labels == 0]).mean(), called[labels == 1].mean()


# Scores are k / top: of 0 to 10 tenths some are certain, of 15ths none is.
@pytest.mark.parametrize("share", [0.5, 0.8, 1.0])
@pytest.mark.parametrize("top", [10, 15])
def test_thresholds_are_the_best_of_all_that_keep_the_share(share, top):
    rng = np.random.default_rng(0)
    for n_positives in [1, 5, 12, 12, 29] * 10:
        labels = rng.permutation(np.arange(30) < n_positives).astype(int)
        scores = rng.integers(11, size=30) / top
        offered = {t: shares(labels, scores, t) for t in [*scores, np.inf]}
        kept = [sp >= share - 1e-12 for sp, _ in offered.values()]
        computed = [se >= share - 1e-12 for _, se in offered.values()]

        # The most sensitive one is the lowest.
        lowest = min(np.array(list(offered))[kept])
        chosen = threshold_at_specificity(labels, scores, share)
        assert np.array_equal(scores >= chosen, scores >= lowest)
        assert chosen == lowest or lowest == np.inf
        # The most specific one is the highest.
        highest = max(np.array(list(offered))[computed])
        assert threshold_at_sensitivity(labels, scores, share) == highest


@pytest.mark.parametrize("score", [0.0, 0.3, 1.0])
def test_where_scores_tell_nothing_none_is_called_or_all(score):
    labels, scores = np.array([0, 0, 1]), np.full(3, score)
    at_specificity = threshold_at_specificity(labels, scores)
    assert shares(labels, scores, at_specificity) == (1, 0)
    assert np.isfinite(at_specificity)  # metrics.json knows no infinity
    at_sensitivity = threshold_at_sensitivity(labels, scores)
    assert shares(labels, scores, at_sensitivity) == (0, 1)
