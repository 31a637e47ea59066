"""Calibration figures against scikit-learn, a loop over bins and a root
search. Brier score and events: test_metrics.py."""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from cry_modules.metrics.calibration import (
    calibration_error,
    calibration_intercept,
    calibration_slope,
)
from tests.cry_modules.metrics.made import slow_calibration_error


def made_events(n=80, seed=0, steepness=0.6, shift=0.5):
    """Claims that are too extreme and too low."""
    rng = np.random.default_rng(seed)
    log_odds = rng.normal(0, 1.5, n)
    occurred = rng.random(n) < expit(steepness * log_odds + shift)
    return expit(log_odds), occurred


def slope_and_intercept(probability, occurred, weights=None):
    weights = np.ones((1, len(occurred))) if weights is None else weights
    data = probability, occurred, weights
    return calibration_slope(*data), calibration_intercept(*data)


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


@pytest.mark.parametrize("seed", range(3))
def test_calibration_error_is_the_loop_over_bins(seed):
    probability, occurred = made_events(seed=seed)
    probability[:11] = np.arange(11) / 10  # a bin holds its lower edge
    weights = np.random.default_rng(seed).poisson(1, (9, 80)).astype(float)
    weights[0] = 1
    weights[1, probability >= 0.4] = 0  # empty bins
    expected = [
        slow_calibration_error(probability, occurred, w) for w in weights
    ]
    computed = calibration_error(probability, occurred, weights)
    assert computed == pytest.approx(expected)


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


def test_only_draws_of_both_classes_have_a_slope_and_an_intercept():
    probability, occurred = made_events()
    weights = np.ones((4, 80))
    weights[1, occurred] = 0
    weights[2, ~occurred] = 0
    values = np.array(slope_and_intercept(probability, occurred, weights))
    assert np.isnan(values[:, 1:3]).all()
    alone = np.array(slope_and_intercept(probability, occurred, weights[:1]))
    assert values[:, [0, 3]] == pytest.approx(np.hstack([alone, alone]))


CONSTANT = np.arange(8) < 2
SEPARATED = np.arange(5) >= 3


@pytest.mark.parametrize(
    "probability, occurred",
    [
        *[(np.full(8, p), CONSTANT) for p in (0.4, 1e-9, 1 - 1e-9)],
        (np.array([0.1, 0.2, 0.3, 0.6, 0.7]), SEPARATED),
        # The wrong way round.
        (np.array([0.9, 0.8, 0.6, 0.3, 0.2]), SEPARATED),
        # They touch.
        (np.array([0.1, 0.2, 0.5, 0.5, 0.7]), SEPARATED),
    ],
)
def test_constant_or_separated_probabilities_have_no_slope(
    probability, occurred
):
    slope, intercept = slope_and_intercept(probability, occurred)
    assert np.isnan(slope)
    assert intercept == pytest.approx(slow_intercept(probability, occurred))


def test_certain_and_correct_probabilities_have_an_intercept_of_zero():
    occurred = np.arange(8) < 4
    slope, intercept = slope_and_intercept(occurred.astype(float), occurred)
    assert np.isnan(slope)
    assert intercept == pytest.approx(0, abs=1e-3)


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
    slope, intercept = slope_and_intercept(probability, occurred)
    almost = probability.clip(1e-12, 1 - 1e-12)
    assert slope == pytest.approx(slow_slope(almost, occurred), rel=1e-4)
    assert intercept == pytest.approx(
        slow_intercept(almost, occurred), rel=1e-4
    )


def test_slope_of_an_outlier_is_the_regressions_or_none():
    """Log-odds of 0.05 and one of -27: in units of their spread, the slope is
    far from where the search begins."""
    probability, occurred = made_events(40, steepness=0.0)
    probability = expit(logit(probability) / 30)
    probability[np.flatnonzero(~occurred)[0]] = 0
    slope, _ = slope_and_intercept(probability, occurred)
    almost = probability.clip(1e-12)
    assert np.isnan(slope) or slope == pytest.approx(
        slow_slope(almost, occurred), rel=1e-3
    )
