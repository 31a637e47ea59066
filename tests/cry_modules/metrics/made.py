"""Random predictions for the tests of metrics and evaluation."""

import numpy as np
from scipy.special import logit

from cry_modules.metrics.predictions import Predictions


def random_predictions(n=60, n_patients=25, n_classes=2, seed=0):
    """Scores with ties that rank better than chance; patients have recordings
    of several classes."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % n_classes
    logits = rng.normal(size=(n, n_classes)) + np.eye(n_classes)[labels]
    scores = np.exp(logits.round(1))
    return Predictions(
        [f"r{i}" for i in range(n)],
        [f"p{i}" for i in rng.integers(n_patients, size=n)],
        labels,
        scores / scores.sum(axis=1, keepdims=True),
        ["healthy", "injury", "other"][:n_classes],
    )


def own_patients(p):
    """The same recordings, each of another patient."""
    return Predictions(p.ids, p.ids, p.labels, p.scores, p.classes)


def slow_auc(positive, scores, folds=None):
    """AUC in a double loop: share of the negatives of its fold that a positive
    is above, mean over the positives that have any."""
    folds = [0] * len(scores) if folds is None else folds
    places = []
    for i in np.flatnonzero(positive):
        negatives = [
            j for j in np.flatnonzero(~positive) if folds[j] == folds[i]
        ]
        won = [
            1.0 if scores[i] > scores[j] else 0.5 * (scores[i] == scores[j])
            for j in negatives
        ]
        if won:
            places.append(sum(won) / len(won))
    return np.mean(places) if places else np.nan


def slow_standardised(positive, scores, folds):
    """Log-odds standardised by the negatives of their fold, whose variance
    counts as that in all folds with 4 recordings; NaN in folds of one class."""
    x = logit(scores)
    squares, used = {}, {}
    for fold in set(folds):
        rows = np.array([f == fold for f in folds])
        if positive[rows].all() or not positive[rows].any():
            continue
        used[fold] = rows
        negatives = x[rows & ~positive]
        squares[fold] = sum((v - negatives.mean()) ** 2 for v in negatives)
    n = {f: (rows & ~positive).sum() for f, rows in used.items()}
    common = sum(squares.values()) / max(1, sum(n.values()) - len(n))
    result = np.full(len(x), np.nan)
    for f, rows in used.items():
        sd = np.sqrt((squares[f] + 4 * common) / (n[f] - 1 + 4))
        result[rows] = (x[rows] - x[rows & ~positive].mean()) / sd
    return result.round(9)  # ties up to rounding


def slow_calibration_error(probability, occurred, weights=None):
    """Expected calibration error, bin by bin."""
    weights = np.ones(len(probability)) if weights is None else weights
    total = 0.0
    for b in range(10):
        upper = (b + 1) / 10
        inside = (b / 10 <= probability) & ((probability < upper) | (b == 9))
        if weights[inside].sum():
            predicted = np.average(probability[inside], weights=weights[inside])
            frequency = np.average(occurred[inside], weights=weights[inside])
            share = weights[inside].sum() / weights.sum()
            total += share * abs(predicted - frequency)
    return total


def delong(positive, *models):
    """AUC of a model, or the difference of two, and its standard error by
    DeLong, DeLong and Clarke-Pearson (1988): from the share of the other class
    that each recording is ranked against correctly."""
    parts = []
    for scores in models:
        pos, neg = scores[positive][:, None], scores[~positive]
        won = (pos > neg) + 0.5 * (pos == neg)
        parts.append((won.mean(axis=1), won.mean(axis=0), won.mean()))
    of_pos, of_neg, value = parts[-1]
    if len(parts) > 1:
        of_pos, of_neg, value = (b - a for a, b in zip(*parts))
    variance = of_pos.var(ddof=1) / len(of_pos)
    variance += of_neg.var(ddof=1) / len(of_neg)
    return value, np.sqrt(variance)
