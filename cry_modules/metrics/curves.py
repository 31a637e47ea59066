"""Curves of test scores: ROC, precision over recall, and reliability."""

from typing import (
    Callable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

import numpy as np

from cry_modules.metrics.bootstrap import patient_weights, why_no_interval
from cry_modules.metrics.calibration import (
    N_BINS,
    event_probabilities,
    has_both,
)
from cry_modules.metrics.choices import Choices
from cry_modules.metrics.figures import METRICS
from cry_modules.metrics.predictions import Predictions
from cry_modules.metrics.within_folds import (
    ranked_in_folds,
    rows_of,
    standardised,
)

#: Where mean curves and bands have their heights.
GRID = np.linspace(0, 1, 201)

_Z95 = 1.959963984540054  # 97.5 % quantile of the normal distribution
_SMALLEST_GROUP = 10  # recordings


def roc_points(
    positive: np.ndarray, scores: np.ndarray, weights: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Points of a ROC curve per row of weights ``[draws, n]``: false positive
    rate and sensitivity, each ``[draws, 1 + distinct scores]``.

    Rows in which a class has no weight are left out.
    """
    pos, neg = _cumulated(positive, scores, weights)
    return neg / neg[:, -1:], pos / pos[:, -1:]


def precision_recall_points(
    positive: np.ndarray, scores: np.ndarray, weights: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Points of a precision-recall curve, recall first; shapes as in
    ``roc_points``.

    Rows in which a class has no weight are left out. Where no recording is
    predicted positive the precision is 1, as in scikit-learn.
    """
    pos, neg = _cumulated(positive, scores, weights)
    both = pos + neg
    precision = np.divide(pos, both, out=np.ones_like(pos), where=both > 0)
    return pos / pos[:, -1:], precision


def _cumulated(positive, scores, weights):
    """Weight of positives and negatives at or above each distinct score."""
    order = np.argsort(-scores, kind="stable")
    weights, positive = weights[:, order], positive[order]
    # The first point, and the last of equal scores.
    kept = np.append(True, np.diff(scores[order]) != 0)
    kept = np.append(kept, True)
    weights = weights[has_both(weights, positive)]
    both = np.zeros((2, len(weights), len(kept)))
    for sums, mask in zip(both, (positive, ~positive)):
        np.cumsum(weights * mask, axis=1, out=sums[:, 1:])
    return tuple(both if kept.all() else both[:, :, kept])


def mean_roc(
    curves: Sequence[Tuple[np.ndarray, np.ndarray]], n_positives: Sequence
) -> Tuple[np.ndarray, np.ndarray]:
    """Mean of the ROC curves of folds over their positives: the distribution
    of each positive's place among the negatives of its fold."""
    grid = np.unique(np.concatenate([x for x, _ in curves]))
    # A curve that rises at a place has two heights there.
    low, high = (
        np.average(heights, axis=0, weights=n_positives)
        for heights in (
            [-np.interp(-grid, -x[::-1], -y[::-1]) for x, y in curves],
            [np.interp(grid, x, y) for x, y in curves],
        )
    )
    return np.repeat(grid, 2), np.stack([low, high], axis=1).ravel()


def _curves_of_one(points, positive, scores, weights) -> Iterator:
    """Curve under each row of weights; None without one of the classes."""
    curves = zip(*points(positive, scores, weights))
    for known in has_both(weights, positive):
        yield next(curves) if known else None


def roc_curves(p: Predictions, k: int, weights: np.ndarray) -> Iterator:
    """ROC curve of class `k` under each row of weights, None where undefined;
    of folds, the mean of their curves over their positives."""
    positive, scores = p.labels == k, p.scores[:, k]
    if p.folds is None:
        yield from _curves_of_one(roc_points, positive, scores, weights)
        return
    parts = rows_of(p.folds)
    curves = [
        _curves_of_one(roc_points, positive[r], scores[r], weights[:, r])
        for r in parts
    ]
    for row, of_folds in zip(weights, zip(*curves)):
        known = [
            (curve, row[r] @ positive[r])
            for curve, r in zip(of_folds, parts)
            if curve is not None
        ]
        yield mean_roc(*zip(*known)) if known else None


def precision_recall_curves(
    p: Predictions, k: int, weights: np.ndarray
) -> Iterator:
    """Precision-recall curve of class `k` under each row of weights, None
    where undefined; of folds, from log-odds standardised within folds."""
    positive, scores = p.labels == k, p.scores[:, k]
    points = precision_recall_points
    if p.folds is None:
        yield from _curves_of_one(points, positive, scores, weights)
        return
    both = standardised(positive, p.log_odds[:, k], weights, p.folds)
    for row, weight in zip(*both):
        yield from _curves_of_one(points, positive, row, weight[None])


class CurveKind(NamedTuple):
    """ROC or precision-recall curve: how to compute, summarise and label it.

    ``curves`` computes x and y of a class under rows of weights, from
    predictions; ``at`` reads those of one curve at ``GRID``; ``measure`` is
    the metric that summarises it.
    """

    name: str
    title: str
    measure: str
    x: str
    y: str
    drawstyle: str
    curves: Callable
    at: Callable

    @property
    def words(self) -> str:
        """Name in reports of the metric that summarises the curve."""
        return METRICS[self.measure].words

    def value(self, p: Predictions) -> float:
        """Compute the metric that summarises the curve."""
        ones = np.ones((1, len(p.labels)))
        return METRICS[self.measure].function(p, Choices(), ones)[0]


ROC = CurveKind(
    "roc",
    "ROC curve",
    "auc",
    "false positive rate (1 - specificity)",
    "sensitivity",
    "default",
    roc_curves,
    # On the line between points.
    lambda x, y: np.interp(GRID, x, y),
)
PRECISION_RECALL = CurveKind(
    "precision_recall",
    "Precision and recall",
    "average_precision",
    "recall (sensitivity)",
    "precision (positive predictive value)",
    "steps-pre",
    precision_recall_curves,
    # At the highest score that reaches each recall.
    lambda x, y: y[np.searchsorted(x, GRID)],
)


def mean_and_band(
    kind: CurveKind, runs: Sequence[Predictions], n_draws: int, seed: int = 0
) -> Tuple[np.ndarray, Optional[np.ndarray]]:
    """Mean curve ``[201]`` and pointwise 95 % band over draws of patients
    ``[2, 201]``, of runs with the same test recordings.

    The mean is over runs and, with more than two classes, over the curves of
    each class against the rest. With too few patients, no band (None).
    """
    first = runs[0]
    mean = _heights(kind, runs, np.ones((1, len(first.labels))))[0]
    if why_no_interval(first.labels, first.patients, first.classes):
        return mean, None
    draws = [
        _heights(kind, runs, weights)
        for weights in patient_weights(first.patients, seed, n_draws)
    ]
    drawn = np.concatenate(draws or [np.empty((0, len(GRID)))])
    drawn = drawn[np.isfinite(drawn[:, 0])]
    if len(drawn) < max(1, n_draws / 2):
        return mean, None
    return mean, np.quantile(drawn, [0.025, 0.975], axis=0)


def _heights(kind, runs, weights) -> np.ndarray:
    """Mean over runs and classes ``[draws, 201]``; NaN where a draw lacks a
    class."""
    heights = []
    for run in runs:
        for k in ranked_in_folds(run.labels, len(run.classes), run.folds):
            height = np.full((len(weights), len(GRID)), np.nan)
            for row, curve in enumerate(kind.curves(run, k, weights)):
                if curve is not None:
                    height[row] = kind.at(*curve)
            heights.append(height)
    if not heights:
        return np.full((len(weights), len(GRID)), np.nan)
    return np.mean(heights, axis=0)


class ReliabilityBin(NamedTuple):
    """One bin of a reliability diagram: mean predicted probability, observed
    share of events, and the ends of that share's 95 % interval."""

    predicted: float
    observed: float
    low: float
    high: float


def reliability(runs: Sequence[Predictions]) -> List[ReliabilityBin]:
    """Bins of a reliability diagram, with the recordings of all runs joined."""
    both = [event_probabilities(run.labels, run.scores) for run in runs]
    predicted, right = (np.concatenate(part) for part in zip(*both))
    return equal_size_bins(
        predicted, right, sum((run.patients for run in runs), [])
    )


def equal_size_bins(
    predicted: np.ndarray, right: np.ndarray, patients: Sequence[str]
) -> List[ReliabilityBin]:
    """Bins of a reliability diagram: up to ten of equally many recordings.

    For a rare class nearly all probabilities are low, so that bins of equal
    width would show one point. Recordings of one patient are alike, so the
    interval is that of as many observations as there are patients.
    """
    n_groups = int(np.clip(len(predicted) // _SMALLEST_GROUP, 1, N_BINS))
    edges = np.quantile(predicted, np.arange(1, n_groups) / n_groups)
    which = np.searchsorted(edges, predicted, side="right")
    result, patients = [], np.asarray(patients)
    for k in np.unique(which):
        inside = which == k
        share = float(right[inside].mean())
        interval = wilson(share, len(set(patients[inside])))
        mean = float(predicted[inside].mean())
        result.append(ReliabilityBin(mean, share, *interval))
    return result


def wilson(share: float, n: int) -> Tuple[float, float]:
    """Wilson's 95 % interval of a share of `n` observations."""
    z2 = _Z95**2 / n
    centre = (share + z2 / 2) / (1 + z2)
    half = np.sqrt(z2 * (share * (1 - share) + z2 / 4)) / (1 + z2)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))
