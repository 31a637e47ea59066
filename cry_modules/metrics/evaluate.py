"""A block of ``metrics.json``: all metrics of one set of predictions."""

from typing import Dict, List, Optional

import numpy as np

from cry_modules.metrics.bootstrap import (
    N_DRAWS,
    patient_weights,
    why_no_interval,
)
from cry_modules.metrics.calibration import (
    calibration_intercept,
    calibration_slope,
)
from cry_modules.metrics.choices import Choices
from cry_modules.metrics.figures import METRICS, RANKING, share
from cry_modules.metrics.predictions import Predictions
from cry_modules.metrics.within_folds import with_pair

#: Calibration of one class against the rest.
_CALIBRATION = {
    "calibration_slope": calibration_slope,
    "calibration_intercept": calibration_intercept,
}


def evaluate(
    predictions: Predictions,
    choices: Choices,
    seed: int = 0,
    n_draws: int = N_DRAWS,
) -> Dict:
    """Compute all metrics and their intervals: one block of ``metrics.json``.

    Accuracy is that of the most probable class, which is what beats the
    majority if anything does; balanced accuracy, recalls and confusion matrix
    use ``Choices.balanced_predictions``.
    """
    labels = predictions.labels
    n_of = np.bincount(labels, minlength=len(predictions.classes))
    values = _values(predictions, choices, np.ones((1, len(labels))))
    why_not = why_no_interval(labels, predictions.patients, predictions.classes)
    draws = _draws(predictions, choices, seed, n_draws)
    block = {
        "n": len(labels),
        "n_patients": len(set(predictions.patients)),
        "bootstrap_draws": n_draws,
        "bootstrap_degenerate": int(np.isnan(draws["auc"]).sum()),
        "no_interval": why_not,
        "majority_accuracy": float(n_of.max() / len(labels)),
        "threshold": _one_for_all(choices.at_specificity),
        "threshold_sens80": _one_for_all(choices.at_sensitivity),
    }
    for name, metric in METRICS.items():
        value = block[name] = finite_or_none(values[name][0])
        has_interval = value is not None and why_not is None
        block[f"{name}_ci95"] = (
            metric.interval(value, draws[name], predictions)
            if has_interval and metric.interval
            else None
        )
    if predictions.folds is not None:
        block["n_folds"] = len(set(predictions.folds))
        compared = with_pair(labels, predictions.folds)
        block["n_without_pair"] = int((~compared).sum())
    block["per_class"] = _per_class(predictions, choices)
    block["confusion_matrix"] = _confusion(predictions, choices)
    return block


def _values(p, choices, weights) -> Dict[str, np.ndarray]:
    """Each metric under each row of weights, [draws]."""
    return {
        name: metric.function(p, choices, weights)
        for name, metric in METRICS.items()
    }


def _draws(p, choices, seed, n_draws) -> Dict[str, np.ndarray]:
    """Each metric in each draw of patients, [n_draws], which may be 0."""
    blocks = [_values(p, choices, np.empty((0, len(p.labels))))]
    for weights in patient_weights(p.patients, seed, n_draws):
        blocks.append(_values(p, choices, weights))
    return {name: np.concatenate([b[name] for b in blocks]) for name in METRICS}


def class_counts(p: Predictions) -> Dict[str, Dict[str, int]]:
    """Number of recordings and of patients of each class."""
    counts = {}
    for k, name in enumerate(p.classes):
        rows = np.flatnonzero(p.labels == k)
        n_patients = len({p.patients[row] for row in rows})
        counts[name] = {"n": len(rows), "n_patients": n_patients}
    return counts


def _per_class(p, choices) -> Dict[str, Dict]:
    """Counts of each class, and its metrics against the rest."""
    predicted = choices.balanced_predictions(p.scores)
    ones = np.ones((1, len(p.labels)))
    result = class_counts(p)
    for k, name in enumerate(p.classes):
        true = p.labels == k
        recall = share(predicted == k, true, ones)[0]
        result[name]["recall"] = finite_or_none(recall)
        for metric, function in RANKING.items():
            value = function(p, k, ones)[0]
            result[name][metric] = finite_or_none(value)
        for metric, function in _CALIBRATION.items():
            value = function(p.scores[:, k], true, ones)[0]
            result[name][metric] = finite_or_none(value)
    return result


def _confusion(p, choices) -> List[List[int]]:
    """Recordings by true class (rows) and predicted class (columns)."""
    n_classes = len(p.classes)
    cells = p.labels * n_classes + choices.balanced_predictions(p.scores)
    counts = np.bincount(cells, minlength=n_classes**2)
    return counts.reshape(n_classes, n_classes).tolist()


def finite_or_none(value) -> Optional[float]:
    """Number that JSON can hold: None instead of NaN or infinity."""
    return float(value) if np.isfinite(value) else None


def _one_for_all(threshold) -> Optional[float]:
    """None if each fold has its own."""
    return None if np.ndim(threshold) else threshold
