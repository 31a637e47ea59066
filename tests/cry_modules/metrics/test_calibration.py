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


def claimed_and_happened(n=80, seed=0, steepness=0.6, shift=0.5):
    """Claims that are too extreme and too low."""
    rng = np.random.default_rng(seed)
    log_odds = rng.normal(0, 1.5, n)
    happened = rng.random(n) < expit(steepness * log_odds + shift)
    return expit(log_odds), happened


def slope_and_intercept(*data):
    return calibration_slope(*data), calibration_intercept(*data)


def ones(values):
    return np.ones((1, len(values)))


def slow_slope(claimed, happened, weights=None):
    model = LogisticRegression(
        C=np.inf, solver="newton-cholesky", tol=1e-10, max_iter=1000
    )
    log_odds = logit(claimed)[:, None]
    return model.fit(log_odds, happened, sample_weight=weights).coef_[0, 0]


def slow_intercept(claimed, happened, weights=1.0):
    def too_few(a):
        return (weights * (happened - expit(a + logit(claimed)))).sum()

    return brentq(too_few, -60, 60, xtol=1e-12)


def test_mean_squared_error_is_the_brier_score():
    claimed, happened = claimed_and_happened()
    labels = happened.astype(int)
    errors = squared_error(labels, np.stack([1 - claimed, claimed], axis=1))
    assert errors.mean() == pytest.approx(brier_score_loss(labels, claimed))
    weights = np.random.default_rng(1).random(len(labels))
    assert np.average(errors, weights=weights) == pytest.approx(
        brier_score_loss(labels, claimed, sample_weight=weights)
    )


def test_brier_score_of_three_classes_sums_over_them():
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(3, size=20), rng.dirichlet([1, 1, 1], 20)
    expected = [brier_score_loss(labels == k, scores[:, k]) for k in range(3)]
    found = squared_error(labels, scores).mean()
    assert found == pytest.approx(sum(expected))


def test_what_is_claimed():
    scores = np.array([[0.9, 0.1], [0.2, 0.8]])
    claimed, happened = event_probabilities(np.array([0, 0]), scores)
    assert claimed.tolist() == [0.1, 0.8]
    assert happened.tolist() == [False, False]
    scores = np.array([[0.2, 0.5, 0.3], [0.1, 0.1, 0.8]])
    claimed, happened = event_probabilities(np.array([2, 2]), scores)
    assert claimed.tolist() == [0.5, 0.8]
    assert happened.tolist() == [False, True]


def test_bins_hold_their_lower_edge():
    edges = np.arange(11) / 10
    assert bin_of(edges).tolist() == [*range(10), 9]
    below = edges[1:] - 1e-9
    assert bin_of(below).tolist() == list(range(10))


def slow_calibration_error(claimed, happened, weights):
    total = 0.0
    for b in range(10):
        upper = (b + 1) / 10
        inside = (b / 10 <= claimed) & ((claimed < upper) | (b == 9))
        if weights[inside].sum():
            mean_claimed = np.average(claimed[inside], weights=weights[inside])
            happens = np.average(happened[inside], weights=weights[inside])
            share = weights[inside].sum() / weights.sum()
            total += share * abs(mean_claimed - happens)
    return total


@pytest.mark.parametrize("seed", range(3))
def test_calibration_error_is_the_loop_over_bins(seed):
    claimed, happened = claimed_and_happened(seed=seed)
    claimed[:4] = [0, 1, 0, 1]
    weights = np.random.default_rng(seed).poisson(1, (9, 80)).astype(float)
    weights[0] = 1
    weights[1, bin_of(claimed) > 3] = 0  # empty bins
    expected = [slow_calibration_error(claimed, happened, w) for w in weights]
    found = calibration_error(claimed, happened, weights)
    assert found == pytest.approx(expected)


def test_calibration_error_of_known_claims():
    # Half of those called 0.75 are positive, none of those called 0.05.
    claimed = np.array([0.75] * 4 + [0.05] * 4)
    happened = np.array([1, 0, 1, 0, 0, 0, 0, 0], dtype=bool)
    found = calibration_error(claimed, happened, ones(claimed))
    assert found == pytest.approx(0.5 * 0.25 + 0.5 * 0.05)


@pytest.mark.parametrize("seed", range(5))
def test_slope_and_intercept_are_the_regressions(seed):
    claimed, happened = claimed_and_happened(seed=seed)
    slope, intercept = slope_and_intercept(claimed, happened, ones(claimed))
    assert slope == pytest.approx(slow_slope(claimed, happened), rel=1e-5)
    assert intercept == pytest.approx(slow_intercept(claimed, happened))


def test_weighted_slope_and_intercept_are_the_weighted_regressions():
    claimed, happened = claimed_and_happened()
    rng = np.random.default_rng(0)
    weights = np.concatenate([rng.poisson(1, (5, 80)), rng.random((5, 80))])
    slope, intercept = slope_and_intercept(claimed, happened, weights)
    for row, b, a in zip(weights, slope, intercept):
        assert b == pytest.approx(slow_slope(claimed, happened, row), rel=1e-5)
        assert a == pytest.approx(slow_intercept(claimed, happened, row))


def test_a_weight_is_that_many_copies():
    claimed, happened = claimed_and_happened()
    weights = np.random.default_rng(0).poisson(1, (5, 80)).astype(float)
    for row in weights:
        rows = np.repeat(np.arange(80), row.astype(int))
        copies = claimed[rows], happened[rows], ones(rows)
        found = claimed, happened, row[None]
        assert calibration_error(*found) == pytest.approx(
            calibration_error(*copies)
        )
        assert np.array(slope_and_intercept(*found)) == pytest.approx(
            np.array(slope_and_intercept(*copies))
        )


def test_slope_is_below_one_where_claims_are_too_extreme():
    claimed, happened = claimed_and_happened(20000, steepness=0.5, shift=0.0)
    slope, intercept = slope_and_intercept(claimed, happened, ones(claimed))
    assert slope == pytest.approx(0.5, abs=0.05)
    assert intercept == pytest.approx(0, abs=0.05)
    # Log-odds of half the size would have been right.
    milder = expit(0.5 * logit(claimed))
    slope, _ = slope_and_intercept(milder, happened, ones(claimed))
    assert slope == pytest.approx(1, abs=0.1)


def test_intercept_is_what_the_log_odds_lack():
    claimed, happened = claimed_and_happened(20000, steepness=1.0, shift=0.7)
    slope, intercept = slope_and_intercept(claimed, happened, ones(claimed))
    assert slope == pytest.approx(1, abs=0.05)
    assert intercept == pytest.approx(0.7, abs=0.05)


def test_one_class_has_neither():
    claimed, _ = claimed_and_happened()
    for happened in (np.zeros(80, dtype=bool), np.ones(80, dtype=bool)):
        found = slope_and_intercept(claimed, happened, ones(claimed))
        assert np.isnan(found).all()


def test_only_the_draw_without_a_class_has_neither():
    claimed, happened = claimed_and_happened()
    weights = np.ones((3, 80))
    weights[1, happened] = 0
    found = np.array(slope_and_intercept(claimed, happened, weights))
    assert np.isnan(found[:, 1]).all()
    alone = np.array(slope_and_intercept(claimed, happened, weights[:1]))
    assert found[:, [0]] == pytest.approx(alone)
    assert found[:, [2]] == pytest.approx(alone)


@pytest.mark.parametrize("claim", [0.4, 1e-9, 1 - 1e-9])
def test_constant_claims_have_an_intercept_and_no_slope(claim):
    happened = np.arange(8) < 2
    slope, intercept = slope_and_intercept(
        np.full(8, claim), happened, np.ones((1, 8))
    )
    assert np.isnan(slope)
    assert intercept == pytest.approx(logit(0.25) - logit(claim))


@pytest.mark.parametrize(
    "claimed",
    [
        [0.1, 0.2, 0.3, 0.6, 0.7],
        [0.9, 0.8, 0.6, 0.3, 0.2],  # the wrong way round
        [0.1, 0.2, 0.5, 0.5, 0.7],  # they touch
    ],
)
def test_separated_claims_have_an_intercept_and_no_slope(claimed):
    claimed, happened = np.array(claimed), np.arange(5) >= 3
    slope, intercept = slope_and_intercept(claimed, happened, ones(claimed))
    assert np.isnan(slope)
    assert intercept == pytest.approx(slow_intercept(claimed, happened))


def test_a_draw_can_separate_what_overlaps():
    claimed = np.array([0.1, 0.2, 0.5, 0.4, 0.6])
    happened = np.arange(5) >= 3
    weights = np.array([[1.0, 1, 1, 1, 1], [1, 1, 0, 1, 1]])
    slope, _ = slope_and_intercept(claimed, happened, weights)
    assert slope[0] == pytest.approx(slow_slope(claimed, happened), rel=1e-5)
    assert np.isnan(slope[1])


def test_certain_claims_count_as_almost_certain():
    claimed, happened = claimed_and_happened()
    claimed[:8] = [0, 1, 0, 1, 0, 1, 0, 1]
    happened[:8] = [0, 1, 0, 1, 1, 0, 0, 1]  # two of them wrong
    slope, intercept = slope_and_intercept(claimed, happened, ones(claimed))
    almost = claimed.clip(1e-12, 1 - 1e-12)
    assert slope == pytest.approx(slow_slope(almost, happened), rel=1e-4)
    assert intercept == pytest.approx(
        slow_intercept(almost, happened), rel=1e-4
    )


def test_certain_and_right_claims_have_an_intercept_of_zero():
    happened = np.arange(8) < 4
    claimed = happened.astype(float)
    slope, intercept = slope_and_intercept(claimed, happened, ones(claimed))
    assert np.isnan(slope)
    assert intercept == pytest.approx(0, abs=1e-3)
    assert calibration_error(claimed, happened, ones(claimed)) == 0


def test_slope_of_an_outlier_is_the_regressions_or_none():
    """Log-odds of 0.05 and one of -27: in units of their spread, the slope is
    far from where the search begins."""
    claimed, happened = claimed_and_happened(40, steepness=0.0)
    claimed = expit(logit(claimed) / 30)
    claimed[np.flatnonzero(~happened)[0]] = 0
    slope, _ = slope_and_intercept(claimed, happened, ones(claimed))
    almost = claimed.clip(1e-12)
    assert np.isnan(slope) or slope == pytest.approx(
        slow_slope(almost, happened), rel=1e-3
    )
