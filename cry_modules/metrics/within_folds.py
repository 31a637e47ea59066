"""AUC and average precision of out-of-fold scores, from pairs within folds.

Models of different folds have no common scale of scores. Pooled, scores of
true AUC 0.84 whose log-odds differ between five folds by an offset of standard
deviation 0.5 and a scale of 0.3 have 0.81; their ranks within folds are biased
too, by the number of positives in a fold. Here a positive is compared with the
negatives of its own fold alone, and all positives count equally: the
covariate-adjusted ROC curve (Janes and Pepe 2009, doi 10.1093/biomet/asp002).
Precision depends on all negatives, so average precision uses scores
standardised by the negatives of their fold; it is too high by 0.01 to 0.03
(pooled it is too low by 0.05 to 0.1), and by more with ten recordings a fold.

A fold whose recordings are all positive, or all negative, has no pair and is
left out. Without folds (None) these are the ordinary metrics.
"""

from typing import List, Optional, Sequence, Tuple

import numpy as np

from cry_modules.metrics.ranking import (
    pairs_without_each,
    ranked_classes,
    ratio,
    weighted_auc,
    weighted_average_precision,
)

#: The variance in a fold counts as that in all folds with so many recordings,
#: as in Smyth 2004 (doi 10.2202/1544-6115.1027): a fold may have one negative.
_PRIOR = 4
_DECIMALS = 9  # scores that are equal up to rounding tie


def rows_of(folds: Sequence) -> List[np.ndarray]:
    """Rows of each fold."""
    names, fold = np.unique(np.asarray(folds), return_inverse=True)
    return [np.flatnonzero(fold == i) for i in range(len(names))]


def with_pair(labels: np.ndarray, folds: Optional[Sequence]) -> np.ndarray:
    """Mask of the recordings whose fold has another label too, ``[n]``."""
    mask = np.ones(len(labels), dtype=bool)
    for rows in [] if folds is None else rows_of(folds):
        mask[rows] = len(np.unique(labels[rows])) > 1
    return mask


def auc_within(
    positive: np.ndarray,
    scores: np.ndarray,
    weights: np.ndarray,
    folds: Optional[Sequence] = None,
) -> np.ndarray:
    """AUC of pairs within folds under each row of weights ``[draws, n]``; NaN
    where no pair has weight.

    Example
    -------
    >>> positive = np.array([0, 1, 0, 1]) > 0
    >>> scores, ones = np.array([0.1, 0.3, 0.7, 0.9]), np.ones((1, 4))
    >>> (
    ...     auc_within(positive, scores, ones),
    ...     auc_within(positive, scores, ones, ["a", "a", "b", "b"]),
    ... )
    (array([0.75]), array([1.]))
    """
    if folds is None:
        return weighted_auc(positive, scores, weights)
    return _over_folds(
        (
            weighted_auc(positive[rows], scores[rows], weights[:, rows]),
            weights[:, rows] @ positive[rows],
        )
        for rows in rows_of(folds)
    )


def _over_folds(parts) -> np.ndarray:
    """Mean of the AUC of each fold by its weight of positives."""
    total, n_positives = 0.0, 0.0
    for value, weight in parts:
        share = np.where(np.isnan(value), 0.0, weight)
        total = total + np.nan_to_num(value) * share
        n_positives = n_positives + share
    return ratio(total, n_positives)


def auc_without_each(
    positive: np.ndarray,
    scores: np.ndarray,
    owner: np.ndarray,
    folds: Optional[Sequence] = None,
) -> np.ndarray:
    """``auc_within`` without the recordings of each owner, 0 to the last."""
    n = owner.max(initial=-1) + 1

    def part(rows):
        how = positive[rows], scores[rows], owner[rows], n
        won, n_positives, n_negatives = pairs_without_each(*how)
        return ratio(won, n_positives * n_negatives), n_positives

    if folds is None:
        return part(np.arange(len(scores)))[0]
    return _over_folds(map(part, rows_of(folds)))


def standardised(
    positive: np.ndarray,
    scores: np.ndarray,
    weights: np.ndarray,
    folds: Sequence,
) -> Tuple[np.ndarray, np.ndarray]:
    """Scores standardised by the negatives of their fold under each row of
    weights, and the weights, 0 in folds without a pair; both ``[draws, n]``."""
    parts = [(rows, positive[rows], scores[rows]) for rows in rows_of(folds)]
    kept, means, squares, freedom = weights.copy(), [], [], []
    for rows, pos, values in parts:
        weight = weights[:, rows] * ~pos
        n = weight.sum(axis=1)
        both = (n > 0) & (weights[:, rows] @ pos > 0)
        kept[:, rows] *= both[:, None]
        mean = np.divide(weight @ values, n, out=np.zeros(len(n)), where=both)
        apart = (values - mean[:, None]) ** 2
        means.append(mean)
        squares.append(np.where(both, (weight * apart).sum(axis=1), 0))
        freedom.append(np.where(n > 1, n - 1, 0) * both)
    squares, freedom = np.array(squares), np.array(freedom)  # [folds, draws]
    common = squares.sum(axis=0) / np.maximum(1, freedom.sum(axis=0))
    spread = np.sqrt((squares + _PRIOR * common) / (freedom + _PRIOR))
    spread = np.where(spread > 0, spread, 1.0)
    result = np.empty(weights.shape)
    for (rows, _, values), mean, sd in zip(parts, means, spread):
        result[:, rows] = (values - mean[:, None]) / sd[:, None]
    return result.round(_DECIMALS), kept


def average_precision_within(
    positive: np.ndarray,
    scores: np.ndarray,
    weights: np.ndarray,
    folds: Optional[Sequence] = None,
) -> np.ndarray:
    """Average precision under each row of weights ``[draws, n]``, of scores
    standardised within folds: pass log-odds."""
    if folds is None:
        return weighted_average_precision(positive, scores, weights)
    weights = np.ascontiguousarray(weights)  # a sum depends on the order
    rows = zip(*standardised(positive, scores, weights, folds))
    values = [
        weighted_average_precision(positive, row, weight[None])
        for row, weight in rows
    ]
    return np.concatenate([np.empty(0), *values])


def ranked_in_folds(
    labels: np.ndarray, n_classes: int, folds: Optional[Sequence]
) -> List[int]:
    """Classes that can be ranked against the rest within a fold; with two, the
    last one."""
    return [
        k
        for k in ranked_classes(labels, n_classes)
        if with_pair(labels == k, folds).any()
    ]


def macro_auc(
    labels: np.ndarray,
    scores: np.ndarray,
    weights: np.ndarray,
    folds: Optional[Sequence] = None,
) -> np.ndarray:
    """Mean of ``auc_within`` over the classes that can be ranked, each against
    the rest; `scores` are ``[n, n_classes]``."""
    ranked = ranked_in_folds(labels, scores.shape[1], folds)
    if not ranked:
        return np.full(len(weights), np.nan)
    return np.mean(
        [auc_within(labels == k, scores[:, k], weights, folds) for k in ranked],
        axis=0,
    )


def auc_of_folds(
    labels: np.ndarray, scores: np.ndarray, folds: Sequence
) -> Optional[float]:
    """AUC of pairs within folds; None if no fold has two classes."""
    value = macro_auc(labels, scores, np.ones((1, len(labels))), folds)[0]
    return None if np.isnan(value) else float(value)
