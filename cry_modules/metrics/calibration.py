"""Whether a probability is one: Brier score, expected calibration error,
calibration slope and intercept.

Each takes a weight for each recording, so that one function serves the
figure itself (all ones) and every draw of a bootstrap at once.
"""

from typing import Tuple

import numpy as np

N_BINS = 10

_SMALLEST = 1e-12  # probability, before a logarithm
_STEPS = 50  # of Newton's method, which needs about six
_LARGEST_STEP = 2.0


def squared_error(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Squared error of each recording's probability: of the positive class;
    of more than two, summed over the classes. Its mean is the Brier score.

    Shapes: labels ``[n]``, scores ``[n, n_classes]``, returns ``[n]``.

    Example
    -------
    >>> squared_error(np.array([1]), np.array([[0.5, 0.5]]))
    array([0.25])
    """
    if scores.shape[1] == 2:
        return (scores[:, 1] - labels) ** 2
    truth = np.eye(scores.shape[1])[labels]
    return ((scores - truth) ** 2).sum(axis=1)


def claims(labels: np.ndarray, scores: np.ndarray) -> Tuple:
    """What was claimed and whether it happened: the positive class; of more
    than two, the class called.

    Shapes: labels ``[n]``, scores ``[n, n_classes]``, claimed ``[n]``,
    happened ``[n]``.

    Example
    -------
    >>> claims(np.array([0]), np.array([[0.5, 0.3, 0.2]]))
    (array([0.5]), array([ True]))
    """
    if scores.shape[1] == 2:
        return scores[:, 1], labels == 1
    return scores.max(axis=1), scores.argmax(axis=1) == labels


def bin_of(claimed: np.ndarray) -> np.ndarray:
    """Which of ten equally wide bins a probability is in.

    Shapes: claimed ``[n]``, returns ``[n]``.

    Example
    -------
    >>> bin_of(np.array([0.0, 0.55, 1.0]))
    array([0, 5, 9])
    """
    return np.minimum((claimed * N_BINS).astype(int), N_BINS - 1)


def calibration_error(
    claimed: np.ndarray, happened: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Expected calibration error: how far claims and truth are apart, on
    average over the bins.

    Shapes: claimed ``[n]``, happened ``[n]``, weights ``[draws, n]``, returns
    ``[draws]``.

    Example
    -------
    >>> claimed, happened = np.array([0.75, 0.75]), np.array([True, False])
    >>> calibration_error(claimed, happened, np.ones((1, 2)))
    array([0.25])
    """
    inside = np.eye(N_BINS)[bin_of(claimed)]  # [n, bins]
    gap = np.abs(weights @ (inside * (claimed - happened)[:, None]))
    return gap.sum(axis=1) / weights.sum(axis=1)


def slope_and_intercept(
    claimed: np.ndarray, happened: np.ndarray, weights: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Calibration slope and calibration-in-the-large.

    The slope is that of a logistic regression of the truth on the log-odds
    claimed: 1 is right, below 1 the claims are too extreme. The intercept is
    that of the same regression with the slope held at 1: 0 is right, above 0
    the claims are too low (Van Calster et al. 2016,
    https://doi.org/10.1016/j.jclinepi.2015.12.005).

    Shapes: claimed ``[n]``, happened ``[n]``, weights ``[draws, n]``, slope
    ``[draws]``, intercept ``[draws]``.

    Example
    -------
    >>> claimed = np.array([0.2] * 5 + [0.8] * 5)
    >>> happened = np.array([1, 0, 0, 0, 0, 1, 1, 1, 1, 0])
    >>> slope, intercept = slope_and_intercept(
    ...     claimed, happened, np.ones((1, 10))
    ... )
    >>> print(f"{slope[0]:.3f} {abs(intercept[0]):.3f}")
    1.000 0.000
    """
    claimed = np.clip(claimed, _SMALLEST, 1 - _SMALLEST)
    log_odds = np.log(claimed) - np.log1p(-claimed)
    truth = happened.astype(np.float64)
    pos, neg = weights @ truth, weights @ (1 - truth)
    known = (pos > 0) & (neg > 0)
    slope, intercept = np.full((2, len(weights)), np.nan)
    if known.any():
        intercept[known] = _intercept(log_odds, truth, weights[known])
    known &= _overlap(log_odds, happened, weights)
    if known.any():
        slope[known] = _slope(log_odds, truth, weights[known])
    return slope, intercept


def _overlap(log_odds, happened, weights):
    """Where some positive is below some negative: else the slope has no
    greatest likelihood."""
    there = weights > 0
    happened = happened.astype(bool)

    def lowest(who):
        return np.where(there & who, log_odds, np.inf).min(axis=1)

    def highest(who):
        return np.where(there & who, log_odds, -np.inf).max(axis=1)

    return (lowest(happened) < highest(~happened)) & (
        lowest(~happened) < highest(happened)
    )


def _intercept(log_odds, truth, weights):
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


def _slope(log_odds, truth, weights):
    """By Newton's method on log-odds of mean 0 and spread 1."""
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
