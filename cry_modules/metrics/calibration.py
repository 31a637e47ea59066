"""Calibration: Brier score, expected calibration error, calibration slope and
intercept.

Weights ``[draws, n]`` compute the metric itself (all ones) and all draws of a
bootstrap at once, ``[draws]``. An event (``probability`` and ``occurred``,
``[n]``) is that a recording is of the positive class; with more than two
classes, that the most probable class is the true one.
"""

from typing import Tuple

import numpy as np

N_BINS = 10

_SMALLEST = 1e-12  # probability, before a logarithm
_STEPS = 50  # of Newton's method, which needs about six
_LARGEST_STEP = 2.0


def squared_error(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Squared errors whose mean is the Brier score, ``[n]``: of the positive
    class, or with more than two classes summed over the classes."""
    if scores.shape[1] == 2:
        return (scores[:, 1] - labels) ** 2
    truth = np.eye(scores.shape[1])[labels]
    return ((scores - truth) ** 2).sum(axis=1)


def event_probabilities(labels: np.ndarray, scores: np.ndarray) -> Tuple:
    """Probability of the positive class (of more than two: of the predicted
    class), and whether it is the true one, each ``[n]``."""
    if scores.shape[1] == 2:
        return scores[:, 1], labels == 1
    return scores.max(axis=1), scores.argmax(axis=1) == labels


def bin_of(probability: np.ndarray) -> np.ndarray:
    """Index of each probability's bin among ten of equal width."""
    return np.minimum((probability * N_BINS).astype(int), N_BINS - 1)


def calibration_error(
    probability: np.ndarray, occurred: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Expected calibration error: mean distance between probability and
    frequency over ten bins of equal width, weighted by their recordings."""
    inside = np.eye(N_BINS)[bin_of(probability)]  # [n, bins]
    gap = np.abs(weights @ (inside * (probability - occurred)[:, None]))
    return gap.sum(axis=1) / weights.sum(axis=1)


def calibration_slope(
    probability: np.ndarray, occurred: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Slope of a logistic regression of the event on the log-odds of its
    probability.

    1 is ideal, below 1 the probabilities are too extreme (Van Calster et al.
    2016, https://doi.org/10.1016/j.jclinepi.2015.12.005). NaN if the events
    do not overlap the non-events.
    """
    log_odds = _log_odds(probability)
    defined = has_both(weights, occurred)
    defined &= _overlap(log_odds, occurred, weights)
    slope = np.full(len(weights), np.nan)
    if defined.any():
        truth = occurred.astype(np.float64)
        slope[defined] = _fitted_slope(log_odds, truth, weights[defined])
    return slope


def calibration_intercept(
    probability: np.ndarray, occurred: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Calibration-in-the-large: intercept of the regression of
    ``calibration_slope`` with the slope fixed at 1.

    0 is ideal, above 0 the probabilities are too low.
    """
    defined = has_both(weights, occurred)
    intercept = np.full(len(weights), np.nan)
    if defined.any():
        intercept[defined] = _fitted_intercept(
            _log_odds(probability),
            occurred.astype(np.float64),
            weights[defined],
        )
    return intercept


def _log_odds(probability):
    clipped = np.clip(probability, _SMALLEST, 1 - _SMALLEST)
    return np.log(clipped) - np.log1p(-clipped)


def has_both(weights: np.ndarray, occurred: np.ndarray) -> np.ndarray:
    """Mask of the draws in which events and non-events have weight."""
    return (weights @ occurred > 0) & (weights @ ~occurred > 0)


def _overlap(log_odds, occurred, weights):
    """Draws in which some event is below some non-event, [draws]; in others the
    likelihood of the slope has no maximum."""
    weighted = weights > 0

    def lowest(who):
        return np.where(weighted & who, log_odds, np.inf).min(axis=1)

    def highest(who):
        return np.where(weighted & who, log_odds, -np.inf).max(axis=1)

    return (lowest(occurred) < highest(~occurred)) & (
        lowest(~occurred) < highest(occurred)
    )


def _fitted_intercept(log_odds, truth, weights):
    a = np.zeros(len(weights))
    for _ in range(_STEPS):
        p = _sigmoid(a[:, None] + log_odds)
        gradient = (weights * (truth - p)).sum(axis=1)
        curvature = (weights * p * (1 - p)).sum(axis=1)
        step = gradient / np.maximum(curvature, _SMALLEST)
        a += np.clip(step, -_LARGEST_STEP, _LARGEST_STEP)
        if np.abs(step).max() < 1e-10:
            break
    return a


def _fitted_slope(log_odds, truth, weights):
    """Newton's method on log-odds of mean 0 and standard deviation 1."""
    centre, spread = log_odds.mean(), log_odds.std()
    x = (log_odds - centre) / spread
    a = np.zeros(len(weights))
    b = np.zeros(len(weights))
    for _ in range(_STEPS):
        p = _sigmoid(a[:, None] + b[:, None] * x)
        rest, w = weights * (truth - p), weights * p * (1 - p)
        g0, g1 = rest.sum(axis=1), rest @ x
        h00, h01, h11 = w.sum(axis=1), w @ x, w @ x**2
        det = np.maximum(h00 * h11 - h01**2, _SMALLEST)
        step_a = (h11 * g0 - h01 * g1) / det
        step_b = (h00 * g1 - h01 * g0) / det
        a += np.clip(step_a, -_LARGEST_STEP, _LARGEST_STEP)
        b += np.clip(step_b, -_LARGEST_STEP, _LARGEST_STEP)
        left = np.maximum(np.abs(step_a), np.abs(step_b))
        if left.max() < 1e-10:
            break
    return np.where(left < 1e-6, b / spread, np.nan)


def _sigmoid(x):
    return 1 / (1 + np.exp(-np.clip(x, -500, 500)))
