"""The table of metrics: a row each, from which everything else derives.

A metric added here appears in ``metrics.json`` with its interval, and in the
reports, tables, comparisons and model cards that its row names.
"""

from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Sequence, Union

import numpy as np

from cry_modules.metrics import calibration
from cry_modules.metrics.bootstrap import (
    LEAST_PATIENTS,
    fewest_patients,
    interval,
    interval_of_all_or_none,
    logit_interval,
    rarest_and_pairs,
)
from cry_modules.metrics.choices import Choices
from cry_modules.metrics.predictions import Predictions
from cry_modules.metrics.ranking import ratio
from cry_modules.metrics.within_folds import (
    auc_within,
    average_precision_within,
    ranked_in_folds,
)


@dataclass(frozen=True)
class Metric:
    """Definition of a metric: how to compute, bound and show it.

    Arguments
    ---------
    words : str
        Name in reports and pictures.
    function : callable
        From predictions, choices and weights ``[draws, n]`` to values
        ``[draws]``; NaN where it is not defined.
    better : str or float
        ``higher``, ``lower``, or the ideal value.
    interval : callable or None
        From the value, its draws and the predictions to the 95 % interval;
        None: the metric has no interval.
    shown : sequence of str
        Places, besides ``metrics.json``: ``report`` (table of results of
        report and model card), ``controls`` (table of controls, and mean over
        folds), ``folds`` (table of folds), ``subgroups``, ``compare``
        (``python -m cry_modules.metrics --metric``), ``study`` (tables of a
        study), ``card`` (numbers of an exported model).
    """

    words: str
    function: Callable[[Predictions, Choices, np.ndarray], np.ndarray]
    better: Union[str, float]
    interval: Optional[Callable]
    shown: Sequence[str]

    @property
    def label(self) -> str:
        """Name with a hint at good values, unless higher is better.

        Example
        -------
        >>> METRICS["brier"].label
        'Brier score (lower is better)'
        """
        if self.better == "higher":
            return self.words
        if self.better == "lower":
            return f"{self.words} (lower is better)"
        return f"{self.words} ({self.better:g} is right)"


def shown_in(place: str) -> List[str]:
    """Names of the metrics that a report or table shows; `place` as in
    ``Metric.shown``.

    Example
    -------
    >>> shown_in("compare")
    ['auc', 'average_precision']
    """
    return [name for name, metric in METRICS.items() if place in metric.shown]


def rarest_class_interval(value, draws, p) -> Optional[List[float]]:
    """95 % interval of a metric whose precision depends on the rarest class."""
    counts = rarest_and_pairs(p.labels, p.patients, p.folds)
    return logit_interval(value, draws, *counts)


def interval_of_pairs(value, draws, p) -> Optional[List[float]]:
    """95 % interval of a metric of pairs, whose precision depends on the
    rarest class in folds that have two classes."""
    p = p.with_pairs()
    if fewest_patients(p.labels, p.patients) < LEAST_PATIENTS:
        return None
    return rarest_class_interval(value, draws, p)


def class_interval(k: int) -> Callable:
    """Make the interval function of a share of the recordings of class `k`."""

    def of_class_k(value, draws, p):
        patients, is_class_k = np.array(p.patients), p.labels == k
        n = len(set(patients[is_class_k]))
        if value in (0, 1):
            return interval_of_all_or_none(value, n)
        others = len(set(patients[~is_class_k]))
        return logit_interval(value, draws, n, n * others)

    return of_class_k


def percentile_interval(value, draws, p) -> Optional[List[float]]:
    """Interval function of a metric: percentiles of its draws."""
    return interval(draws)


def share(hits, among, weights):
    """Weighted share of the recordings of the mask `among` that are in the
    mask `hits`, ``[draws]``; NaN where `among` has no weight."""
    total = weights @ among.astype(np.float64)
    return ratio(weights @ (hits & among).astype(np.float64), total)


def class_auc(p, k, weights):
    """AUC of class `k` against the rest, in pairs within folds."""
    return auc_within(p.labels == k, p.scores[:, k], weights, p.folds)


def class_average_precision(p, k, weights):
    """Average precision of class `k` against the rest; of folds, from
    log-odds standardised within folds."""
    scores = p.scores if p.folds is None else p.log_odds
    return average_precision_within(
        p.labels == k, scores[:, k], weights, p.folds
    )


def macro(metric: Callable) -> Callable:
    """Make the mean of a metric of a class over the classes that can be
    ranked."""

    def over_classes(p, choices, weights):
        ranked = ranked_in_folds(p.labels, len(p.classes), p.folds)
        if not ranked:
            return _undefined(weights)
        return np.mean([metric(p, k, weights) for k in ranked], axis=0)

    return over_classes


def _balanced_accuracy(p, choices, weights):
    calls = choices.balanced_predictions(p.scores)
    recalls = [
        share(calls == k, p.labels == k, weights) for k in np.unique(p.labels)
    ]
    return np.mean(recalls or [_undefined(weights)], axis=0)


def _accuracy(p, choices, weights):
    correct = p.scores.argmax(axis=1) == p.labels
    return share(correct, np.ones_like(correct), weights)


def _recall_at(threshold_name, k) -> Callable:
    """Recall of class `k` at a threshold: specificity or sensitivity."""

    def recall(p, choices, weights):
        threshold = getattr(choices, threshold_name)
        if threshold is None:
            return _undefined(weights)
        calls = p.scores[:, 1] >= threshold
        return share(calls == k, p.labels == k, weights)

    return recall


def _brier(p, choices, weights):
    errors = calibration.squared_error(p.labels, p.scores)
    return weights @ errors / weights.sum(axis=1)


def _ece(p, choices, weights):
    events = calibration.event_probabilities(p.labels, p.scores)
    return calibration.calibration_error(*events, weights)


def _of_two_classes(function) -> Callable:
    """Calibration of the positive class; not defined for more classes."""

    def of_positive(p, choices, weights):
        if len(p.classes) != 2:
            return _undefined(weights)
        events = calibration.event_probabilities(p.labels, p.scores)
        return function(*events, weights)

    return of_positive


def _undefined(weights):
    return np.full(len(weights), np.nan)


_EVERYWHERE = (
    "report", "controls", "folds", "subgroups", "compare", "study", "card",
)  # fmt: skip
_AT_POINT = ("report", "subgroups", "card")

#: Metrics of the ranking of one class against the rest: function of
#: predictions, class and weights.
RANKING = {
    "auc": class_auc,
    "average_precision": class_average_precision,
}

METRICS: Dict[str, Metric] = {
    "auc": Metric(
        "AUC", macro(class_auc), "higher", interval_of_pairs, _EVERYWHERE
    ),
    "average_precision": Metric(
        "average precision",
        macro(class_average_precision),
        "higher",
        interval_of_pairs,
        _EVERYWHERE,
    ),
    "balanced_accuracy": Metric(
        "balanced accuracy",
        _balanced_accuracy,
        "higher",
        rarest_class_interval,
        ("report", "controls", "card"),
    ),
    "accuracy": Metric(
        "accuracy",
        _accuracy,
        "higher",
        percentile_interval,
        ("report", "controls", "card"),
    ),
    "sensitivity_at_spec80": Metric(
        "sensitivity at the threshold for 80 % specificity",
        _recall_at("at_specificity", 1),
        "higher",
        class_interval(1),
        _AT_POINT,
    ),
    "specificity_at_threshold": Metric(
        "specificity there",
        _recall_at("at_specificity", 0),
        "higher",
        class_interval(0),
        _AT_POINT,
    ),
    "specificity_at_sens80": Metric(
        "specificity at the threshold for 80 % sensitivity",
        _recall_at("at_sensitivity", 0),
        "higher",
        class_interval(0),
        ("report",),
    ),
    "sensitivity_at_threshold_sens80": Metric(
        "sensitivity there",
        _recall_at("at_sensitivity", 1),
        "higher",
        class_interval(1),
        ("report",),
    ),
    "brier": Metric(
        "Brier score", _brier, "lower", percentile_interval, ("report", "card")
    ),
    # No interval: draws of patients have a larger error than the recordings.
    "ece": Metric(
        "expected calibration error", _ece, "lower", None, ("report", "card")
    ),
    "calibration_slope": Metric(
        "calibration slope",
        _of_two_classes(calibration.calibration_slope),
        1.0,
        percentile_interval,
        ("report", "card"),
    ),
    "calibration_intercept": Metric(
        "calibration intercept",
        _of_two_classes(calibration.calibration_intercept),
        0.0,
        percentile_interval,
        ("report", "card"),
    ),
}
