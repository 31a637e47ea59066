"""Metrics of a ranking: AUC and average precision, and thresholds.

Each function takes a weight for each recording, so that it computes the
metric itself (all ones) and all draws of a bootstrap at once.
"""

from typing import Callable, List, Optional, Tuple

import numpy as np

#: Specificity, or sensitivity, of an operating point on validation.
OPERATING_SHARE = 0.8

_ROUNDING = 1e-12


def auc(labels: np.ndarray, scores: np.ndarray) -> Optional[float]:
    """Area under the ROC curve.

    With two classes it is that of the last class, with more the macro average
    of one against the rest over the classes that occur.

    Arguments
    ---------
    labels : numpy.ndarray
        Index of the true class, ``[n]``.
    scores : numpy.ndarray
        Score of each class, ``[n, n_classes]``.

    Returns
    -------
    float or None
        None if all recordings are of one class.

    Example
    -------
    >>> scores = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    >>> auc(np.array([0, 0, 1]), scores)
    1.0
    """
    value = macro(weighted_auc, labels, scores, np.ones((1, len(labels))))[0]
    return None if np.isnan(value) else float(value)


def macro(
    metric: Callable, labels: np.ndarray, scores: np.ndarray, weights
) -> np.ndarray:
    """Mean of a metric over the classes that can be ranked.

    Arguments
    ---------
    metric : callable
        ``weighted_auc`` or ``weighted_average_precision``.
    labels : numpy.ndarray
        Index of the true class, ``[n]``.
    scores : numpy.ndarray
        Score of each class, ``[n, n_classes]``.
    weights : numpy.ndarray
        Weight of each recording, ``[draws, n]``.

    Returns
    -------
    numpy.ndarray
        NaN where a class that occurs has no weight, ``[draws]``.

    Example
    -------
    >>> scores = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    >>> macro(weighted_auc, np.array([0, 0, 0]), scores, np.ones((1, 3)))
    array([nan])
    """
    ranked = ranked_classes(labels, scores.shape[1])
    if not ranked:
        return np.full(len(weights), np.nan)
    return np.mean(
        [metric(labels == k, scores[:, k], weights) for k in ranked], axis=0
    )


def ranked_classes(labels: np.ndarray, n_classes: int) -> List[int]:
    """Classes that can be ranked against the rest; with two, the last one.

    Arguments
    ---------
    labels : numpy.ndarray
        Index of the true class, ``[n]``.
    n_classes : int
        Number of known classes.

    Returns
    -------
    list of int
        Indices of the classes.

    Example
    -------
    >>> ranked_classes(np.array([0, 1, 1]), 2)
    [1]
    >>> ranked_classes(np.array([0, 1, 1]), 3)
    [0, 1]
    """
    first = 1 if n_classes == 2 else 0
    return [k for k in range(first, n_classes) if 0 < np.mean(labels == k) < 1]


def weighted_auc(
    positive: np.ndarray, scores: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """AUC under each row of weights, by sorting: fast for many recordings.

    Arguments
    ---------
    positive : numpy.ndarray
        Whether each recording is positive, ``[n]``.
    scores : numpy.ndarray
        Score of each recording, ``[n]``.
    weights : numpy.ndarray
        Weight of each recording, ``[draws, n]``.

    Returns
    -------
    numpy.ndarray
        NaN where positives or negatives have no weight, ``[draws]``.

    Example
    -------
    >>> positive, scores = np.array([0, 1, 1, 0]) > 0, np.array([1, 1, 2, 3])
    >>> weighted_auc(positive, scores, np.array([[1, 1, 1, 1], [1, 1, 2, 0]]))
    array([0.375     , 0.83333333])
    """
    if _is_fast(scores, weights):
        pos, below, negatives, _ = _positives_by_score(
            positive, scores, weights
        )
        return ratio((pos * below).sum(axis=0), pos.sum(axis=0) * negatives)
    pos, neg = _by_score(positive, scores, weights)
    won = (pos * (np.cumsum(neg, axis=1) - 0.5 * neg)).sum(axis=1)
    pairs = pos.sum(axis=1) * neg.sum(axis=1)
    return ratio(won, pairs)


def weighted_average_precision(
    positive: np.ndarray, scores: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Average precision under each row of weights; equal scores count
    together, as in scikit-learn.

    Arguments
    ---------
    positive : numpy.ndarray
        Whether each recording is positive, ``[n]``.
    scores : numpy.ndarray
        Score of each recording, ``[n]``.
    weights : numpy.ndarray
        Weight of each recording, ``[draws, n]``.

    Returns
    -------
    numpy.ndarray
        NaN where the positives have no weight, ``[draws]``.

    Example
    -------
    >>> positive, scores = np.array([0, 1, 1, 0]) > 0, np.array([1, 1, 2, 3])
    >>> weighted_average_precision(positive, scores, np.ones((1, 4)))
    array([0.5])
    """
    if _is_fast(scores, weights):
        pos, below, negatives, rows = _positives_by_score(
            positive, scores, weights
        )
        found = np.cumsum(pos[::-1], axis=0)[::-1]
        share = np.divide(
            found, found + (negatives - below), out=np.zeros_like(found),
            where=found > 0,
        )  # fmt: skip
        # Zeros between them: a sum depends on its order in the last digit.
        terms = np.zeros(weights.shape)
        terms[:, len(scores) - 1 - rows] = (pos * share).T
        return ratio(terms.sum(axis=1), pos.sum(axis=0))
    pos, neg = (part[:, ::-1] for part in _by_score(positive, scores, weights))
    true_positives = np.cumsum(pos, axis=1)
    predicted = np.cumsum(pos + neg, axis=1)
    precision = np.divide(
        true_positives,
        predicted,
        out=np.zeros_like(true_positives),
        where=predicted > 0,
    )
    return ratio((pos * precision).sum(axis=1), true_positives[:, -1])


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Quotient ``[draws]``; NaN where `whole` is 0."""
    undefined = np.full(len(whole), np.nan)
    return np.divide(part, whole, out=undefined, where=whole > 0)


def _is_fast(scores, weights) -> bool:
    """True for several rows of weights that count recordings, without equal
    scores: sums are then exact in any order."""
    return (
        len(weights) > 1
        and len(np.unique(scores)) == len(scores)
        and bool((weights == np.rint(weights)).all())
    )


def _positives_by_score(positive, scores, weights):
    """Weights of the positives in ascending order of different scores, and of
    the negatives below each, ``[positives, draws]``; the weight of all
    negatives ``[draws]``, and the ranks of the positives ``[positives]``."""
    order = np.argsort(scores, kind="stable")
    rows = np.flatnonzero(positive[order])
    by_recording = np.ascontiguousarray(weights.T)
    pos = by_recording[order[rows]]
    neg = np.zeros((1 + len(scores) - len(rows), len(weights)))
    negatives = order[~positive[order]]
    np.cumsum(by_recording[negatives], axis=0, out=neg[1:])
    return pos, neg[rows - np.arange(len(rows))], neg[-1], rows


def pairs_without_each(
    positive: np.ndarray, scores: np.ndarray, owner: np.ndarray, n: int
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs in the right order, positives, and negatives, without the
    recordings of each of ``n`` owners, ``[n]``; ``owner`` is ``[recordings]``.

    Example
    -------
    >>> positive, scores = np.array([0, 1, 1, 0]) > 0, np.array([1, 1, 2, 3])
    >>> pairs_without_each(positive, scores, np.array([0, 0, 1, 2]), 3)
    (array([0. , 0.5, 1.5]), array([1, 1, 2]), array([1, 2, 1]))
    """
    rank = np.unique(scores, return_inverse=True)[1]
    first = owner * (rank.max(initial=0) + 1)  # below all ranks of an owner
    pos, neg = np.flatnonzero(positive), np.flatnonzero(~positive)
    below = _mean_place(rank[neg], rank[pos])
    above = len(pos) - _mean_place(rank[pos], rank[neg])
    keys = first + rank
    own = _mean_place(keys[neg], keys[pos])
    own -= np.searchsorted(np.sort(keys[neg]), first[pos])
    lost = np.zeros(n) + np.bincount(owner[pos], below - own, n)
    lost += np.bincount(owner[neg], above, n)
    counts = (len(k) - np.bincount(owner[k], minlength=n) for k in (pos, neg))
    return below.sum() - lost, *counts


def _mean_place(values: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Number of values below each of others, equal ones counted half."""
    values = np.sort(values)
    left, right = (np.searchsorted(values, among, s) for s in ("left", "right"))
    return 0.5 * (left + right)


def _by_score(positive, scores, weights):
    """Weight of the positives and of the negatives at each distinct score, in
    ascending order, each [draws, distinct scores]."""
    weights = np.ascontiguousarray(weights)  # a sum depends on the order
    order = np.argsort(scores, kind="stable")
    weights, positive = weights[:, order], positive[order]
    starts = np.unique(scores[order], return_index=True)[1]
    pos = np.add.reduceat(weights * positive, starts, axis=1)
    neg = np.add.reduceat(weights * ~positive, starts, axis=1)
    return pos, neg


def _roc_curve(labels, scores):
    """False and true positive rates at every threshold, highest first."""
    from sklearn.metrics import roc_curve  # takes a second to import

    return roc_curve(labels, scores, drop_intermediate=False)


def threshold_at_specificity(
    labels: np.ndarray, scores: np.ndarray, specificity: float = OPERATING_SHARE
) -> float:
    """Lowest threshold at which specificity is at least the given share.

    If validation is classified without error, several thresholds have the
    highest sensitivity; the higher ones would lower that of the test split.
    """
    false, _, thresholds = _roc_curve(labels, scores)
    allowed = np.flatnonzero(false <= 1 - specificity + _ROUNDING)
    # The first is infinite: nothing is positive, not even a score of 1.
    return float(min(thresholds[allowed[-1]], np.nextafter(1.0, 2.0)))


def best_threshold(labels: np.ndarray, scores: np.ndarray) -> float:
    """Threshold of the highest balanced accuracy, within (0, 1)."""
    false, true, thresholds = _roc_curve(labels, scores)
    best = thresholds[np.argmax(true - false)]
    return float(np.clip(best * (1 - 1e-9), _ROUNDING, 1 - _ROUNDING))


def threshold_at_sensitivity(
    labels: np.ndarray, scores: np.ndarray, sensitivity: float = OPERATING_SHARE
) -> float:
    """Highest threshold at which sensitivity is at least the given share."""
    _, true, thresholds = _roc_curve(labels, scores)
    allowed = np.flatnonzero(true >= sensitivity - _ROUNDING)
    return float(thresholds[allowed[0]])
