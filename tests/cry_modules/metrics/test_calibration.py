"""Calibration figures against scikit-learn, a loop over bins and a root
search."""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

from cry_modules.metrics.calibration import (
    bin_of,
    calibration_error,
    calibration_intercept,
    calibration_slope,
    event_probabilities,
    squared_error,
)
from tests.cry_modules.metrics.made import slow_calibration_error


def made_events(n=80, seed=0, steepness=0.6, shift=0.5):
    """Claims that are too extreme and too low."""
    rng = np.random.default_rng(seed)
    log_odds = rng.normal(0, 1.5, n)
    occurred = rng.random(n) < expit(steepness * log_odds + shift)
    return expit(log_odds), occurred


def slope_and_intercept(*data):
    return calibration_slope(*data), calibration_intercept(*data)


def ones(values):
    return np.ones((1, len(values)))


def slow_slope(probability, occurred, weights=None):
    model = LogisticRegression(
        C=np.inf, solver="newton-cholesky", tol=1e-10, max_iter=1000
    )
    log_odds = logit(probability)[:, None]
    return model.fit(log_odds, occurred, sample_weight=weights).coef_[0, 0]


def slow_intercept(probability, occurred, weights=1.0):
    def too_few(a):
        return (weights * (occurred - expit(a + logit(probability)))).sum()

    return brentq(too_few, -60, 60, xtol=1e-12)


def test_mean_squared_error_is_the_brier_score():
    probability, occurred = made_events()
    labels = occurred.astype(int)
    errors = squared_error(
        labels, np.stack([1 - probability, probability], axis=1)
    )
    assert errors.mean() == pytest.approx(brier_score_loss(labels, probability))
    weights = np.random.default_rng(1).random(len(labels))
    assert np.average(errors, weights=weights) == pytest.approx(
        brier_score_loss(labels, probability, sample_weight=weights)
    )


def test_brier_score_of_three_classes_sums_over_them():
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(3, size=20), rng.dirichlet([1, 1, 1], 20)
    expected = [brier_score_loss(labels == k, scores[:, k]) for k in range(3)]
    computed = squared_error(labels, scores).mean()
    assert computed == pytest.approx(sum(expected))


def test_event_probabilities():
    scores = np.array([[0.9, 0.1], [0.2, 0.8]])
    probability, occurred = event_probabilities(np.array([0, 0]), scores)
    assert probability.tolist() == [0.1, 0.8]
    assert occurred.tolist() == [False, False]
    scores = np.array([[0.2, 0.5, 0.3], [0.1, 0.1, 0.8]])
    probability, occurred = event_probabilities(np.array([2, 2]), scores)
    assert probability.tolist() == [0.5, 0.8]
    assert occurred.tolist() == [False, True]


def test_bins_hold_their_lower_edge():
    edges = np.arange(11) / 10
    assert bin_of(edges).tolist() == [*range(10), 9]
    below = edges[1:] - 1e-9
    assert bin_of(below).tolist() == list(range(10))


@pytest.mark.parametrize("seed", range(3))
def test_calibration_error_is_the_loop_over_bins(seed):
    probability, occurred = made_events(seed=seed)
    probability[:4] = [0, 1, 0, 1]
    weights = np.random.default_rng(seed).poisson(1, (9, 80)).astype(float)
    weights[0] = 1
    weights[1, bin_of(probability) > 3] = 0  # empty bins
    expected = [
        slow_calibration_error(probability, occurred, w) for w in weights
    ]
    computed = calibration_error(probability, occurred, weights)
    assert computed == pytest.approx(expected)


def test_calibration_error_of_known_probabilities():
    # Half of those called 0.75 are positive, none of those called 0.05.
    probability = np.array([0.75] * 4 + [0.05] * 4)
    occurred = np.array([1, 0, 1, 0, 0, 0, 0, 0], dtype=bool)
    computed = calibration_error(probability, occurred, ones(probability))
    assert computed == pytest.approx(0.5 * 0.25 + 0.5 * 0.05)


@pytest.mark.parametrize("seed", range(4))
def test_slope_and_intercept_are_those_of_weighted_regressions(seed):
    probability, occurred = made_events(seed=seed)
    rng = np.random.default_rng(0)
    weights = np.concatenate(
        [np.ones((1, 80)), rng.poisson(1, (4, 80)), rng.random((4, 80))]
    )
    slope, intercept = slope_and_intercept(probability, occurred, weights)
    for row, b, a in zip(weights, slope, intercept):
        expected = slow_slope(probability, occurred, row)
        assert b == pytest.approx(expected, rel=1e-5)
        assert a == pytest.approx(slow_intercept(probability, occurred, row))


def test_a_weight_is_that_many_copies():
    probability, occurred = made_events()
    weights = np.random.default_rng(0).poisson(1, (5, 80)).astype(float)
    for row in weights:
        rows = np.repeat(np.arange(80), row.astype(int))
        copies = probability[rows], occurred[rows], ones(rows)
        computed = probability, occurred, row[None]
        assert calibration_error(*computed) == pytest.approx(
            calibration_error(*copies)
        )
        assert np.array(slope_and_intercept(*computed)) == pytest.approx(
            np.array(slope_and_intercept(*copies))
        )


def test_slope_and_intercept_of_known_miscalibration():
    """Log-odds that are twice too large; log-odds that lack 0.7."""
    probability, occurred = made_events(20000, steepness=0.5, shift=0.0)
    values = slope_and_intercept(probability, occurred, ones(probability))
    assert np.ravel(values) == pytest.approx([0.5, 0], abs=0.05)
    milder = expit(0.5 * logit(probability))
    slope, _ = slope_and_intercept(milder, occurred, ones(probability))
    assert slope == pytest.approx(1, abs=0.1)
    probability, occurred = made_events(20000, steepness=1.0, shift=0.7)
    values = slope_and_intercept(probability, occurred, ones(probability))
    assert np.ravel(values) == pytest.approx([1, 0.7], abs=0.05)


def test_only_draws_of_both_classes_have_a_slope_and_an_intercept():
    probability, occurred = made_events()
    weights = np.ones((4, 80))
    weights[1, occurred] = 0
    weights[2, ~occurred] = 0
    values = np.array(slope_and_intercept(probability, occurred, weights))
    assert np.isnan(values[:, 1:3]).all()
    alone = np.array(slope_and_intercept(probability, occurred, weights[:1]))
    assert values[:, [0, 3]] == pytest.approx(np.hstack([alone, alone]))


@pytest.mark.parametrize("probability", [0.4, 1e-9, 1 - 1e-9])
def test_constant_probabilities_have_an_intercept_and_no_slope(probability):
    occurred = np.arange(8) < 2
    slope, intercept = slope_and_intercept(
        np.full(8, probability), occurred, np.ones((1, 8))
    )
    assert np.isnan(slope)
    assert intercept == pytest.approx(logit(0.25) - logit(probability))


@pytest.mark.parametrize(
    "probability",
    [
        [0.1, 0.2, 0.3, 0.6, 0.7],
        [0.9, 0.8, 0.6, 0.3, 0.2],  # the wrong way round
        [0.1, 0.2, 0.5, 0.5, 0.7],  # they touch
    ],
)
def test_separated_probabilities_have_an_intercept_and_no_slope(probability):
    probability, occurred = np.array(probability), np.arange(5) >= 3
    slope, intercept = slope_and_intercept(
        probability, occurred, ones(probability)
    )
    assert np.isnan(slope)
    assert intercept == pytest.approx(slow_intercept(probability, occurred))


def test_a_draw_can_separate_what_overlaps():
    probability = np.array([0.1, 0.2, 0.5, 0.4, 0.6])
    occurred = np.arange(5) >= 3
    weights = np.array([[1.0, 1, 1, 1, 1], [1, 1, 0, 1, 1]])
    slope, _ = slope_and_intercept(probability, occurred, weights)
    assert slope[0] == pytest.approx(
        slow_slope(probability, occurred), rel=1e-5
    )
    assert np.isnan(slope[1])


def test_certain_probabilities_count_as_almost_certain():
    probability, occurred = made_events()
    probability[:8] = [0, 1, 0, 1, 0, 1, 0, 1]
    occurred[:8] = [0, 1, 0, 1, 1, 0, 0, 1]  # two of them wrong
    slope, intercept = slope_and_intercept(
        probability, occurred, ones(probability)
    )
    almost = probability.clip(1e-12, 1 - 1e-12)
    assert slope == pytest.approx(slow_slope(almost, occurred), rel=1e-4)
    assert intercept == pytest.approx(
        slow_intercept(almost, occurred), rel=1e-4
    )


def test_certain_and_correct_probabilities_have_an_intercept_of_zero():
    occurred = np.arange(8) < 4
    probability = occurred.astype(float)
    slope, intercept = slope_and_intercept(
        probability, occurred, ones(probability)
    )
    assert np.isnan(slope)
    assert intercept == pytest.approx(0, abs=1e-3)
    assert calibration_error(probability, occurred, ones(probability)) == 0


def test_slope_of_an_outlier_is_the_regressions_or_none():
    """Log-odds of 0.05 and one of -27: in units of their spread, the slope is
    far from where the search begins."""
    probability, occurred = made_events(40, steepness=0.0)
    probability = expit(logit(probability) / 30)
    probability[np.flatnonzero(~occurred)[0]] = 0
    slope, _ = slope_and_intercept(probability, occurred, ones(probability))
    almost = probability.clip(1e-12)
    assert np.isnan(slope) or slope == pytest.approx(
        slow_slope(almost, occurred), rel=1e-3
    )
