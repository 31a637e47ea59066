"""What a classifier's scores are worth, by recording and by patient.

> python -m cry_modules.metrics A/predictions_test.csv B/predictions_test.csv

Every figure is a function of a weight for each recording: of ones it is the
figure itself, of a draw of patients it is one value of its bootstrap.
Thresholds are chosen on validation. The command compares runs (see
``cry_modules.metrics.compare``).
"""

from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple, Union

import numpy as np

from cry_modules.metrics import calibration
from cry_modules.metrics.bootstrap import (
    N_DRAWS,
    fewest_patients,
    interval,
    interval_of_all_or_none,
    logit_interval,
    patient_weights,
    why_no_interval,
)
from cry_modules.metrics.predictions import Predictions
from cry_modules.metrics.ranking import (
    best_threshold,
    macro,
    threshold_at_sensitivity,
    threshold_at_specificity,
    weighted_auc,
    weighted_average_precision,
)

UNITS = ("recording", "patient")
#: The patient score that is a probability if the recordings' are.
PROBABILITY = "mean_log_odds"

_OF_THE_RAREST = (
    "auc",
    "average_precision",
    "balanced_accuracy",
)
#: Of draws it is always larger than of the recordings themselves.
_NO_INTERVAL = ("ece",)
#: What is a share of the recordings of a class.
_SHARE_OF = {
    "sensitivity_at_spec80": [1],
    "sensitivity_at_threshold_sens80": [1],
    "specificity_at_threshold": [0],
    "specificity_at_sens80": [0],
}


@dataclass
class Choices:
    """What is settled before the test split is looked at.

    Arguments
    ---------
    prevalence : numpy.ndarray or None
        Share of each class in training, ``[n_classes]``, or for each
        recording ``[n, n_classes]``; None: as frequent as each other.
    at_specificity : float, numpy.ndarray or None
        Score from which a recording is called positive, with at least 80 %
        specificity on validation; one, or one for each recording ``[n]``.
        None where there are no two classes to choose it by.
    at_sensitivity : float, numpy.ndarray or None
        The same with at least 80 % sensitivity.
    """

    prevalence: Optional[np.ndarray] = None
    at_specificity: Union[float, np.ndarray, None] = None
    at_sensitivity: Union[float, np.ndarray, None] = None

    def balanced_calls(self, scores: np.ndarray) -> np.ndarray:
        """The class whose probability exceeds its prevalence most.

        Shapes: scores ``[n, n_classes]``, returns ``[n]``.

        Example
        -------
        >>> choices = Choices(prevalence=np.array([0.9, 0.1]))
        >>> choices.balanced_calls(np.array([[0.8, 0.2], [0.95, 0.05]]))
        array([1, 0])
        """
        if self.prevalence is None:
            return scores.argmax(axis=1)
        return (scores / self.prevalence).argmax(axis=1)


def choose(
    valid: Predictions,
    prevalence: Optional[np.ndarray] = None,
    patient_score: str = PROBABILITY,
) -> Choices:
    """Operating points from the validation split.

    A maximum, or a noisy or, of the recordings of a patient grows with their
    number and is no probability: its balanced calls are made from the score
    that has the best balanced accuracy on validation.

    Shapes: prevalence ``[n_classes]``.

    Example
    -------
    >>> scores = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    >>> p = Predictions(
    ...     list("abc"), list("abc"), np.array([0, 0, 1]), scores, ["x", "y"]
    ... )
    >>> choose(p).at_specificity
    0.8
    """
    labels, scores = valid.labels, valid.scores
    if len(valid.classes) > 2 or len(set(labels.tolist())) < 2:
        return Choices(prevalence)
    if patient_score != PROBABILITY:
        cut = best_threshold(labels, scores[:, 1])
        prevalence = np.array([1 - cut, cut])
    return Choices(
        prevalence,
        threshold_at_specificity(labels, scores[:, 1]),
        threshold_at_sensitivity(labels, scores[:, 1]),
    )


def evaluate(
    predictions: Predictions,
    choices: Choices,
    seed: int = 0,
    n_draws: int = N_DRAWS,
) -> Dict:
    """One block of ``metrics.json``.

    Accuracy is that of calling the most probable class, which is what beats
    the majority if anything does; balanced accuracy, recalls and confusion
    matrix are those of ``Choices.balanced_calls``.
    """
    labels = predictions.labels
    n_of = np.bincount(labels, minlength=len(predictions.classes))
    values = _figures(predictions, choices, np.ones((1, len(labels))))
    why_not = why_no_interval(labels, predictions.patients, predictions.classes)
    draws = _draw(predictions, choices, seed, n_draws)
    block = {
        "n": len(labels),
        "n_patients": len(set(predictions.patients)),
        "bootstrap_draws": n_draws,
        "bootstrap_degenerate": int(np.isnan(draws["auc"]).sum()),
        "no_interval": why_not,
        "majority_accuracy": float(n_of.max() / len(labels)),
        "threshold": _plain(choices.at_specificity),
        "threshold_sens80": _plain(choices.at_sensitivity),
    }
    for name, value in values.items():
        block[name] = _defined(value[0])
        block[f"{name}_ci95"] = None
        if block[name] is not None and why_not is None:
            block[f"{name}_ci95"] = _interval(
                name, block[name], draws[name], predictions
            )
    block["per_class"] = _per_class(predictions, choices)
    block["confusion_matrix"] = _confusion(predictions, choices)
    return block


def _interval(name, value, draws, predictions):
    """Of shares that hang on the rarest class by its patients."""
    labels, patients = predictions.labels, np.array(predictions.patients)
    if name in _SHARE_OF and value in (0, 1):
        own = patients[np.isin(labels, _SHARE_OF[name])]
        return interval_of_all_or_none(value, len(set(own)))
    if name in _NO_INTERVAL:
        return None
    if name not in _OF_THE_RAREST and name not in _SHARE_OF:
        return interval(draws)
    few = fewest_patients(labels, patients)
    if name in _SHARE_OF:
        few = len(set(patients[np.isin(labels, _SHARE_OF[name])]))
    return logit_interval(value, draws, few, len(set(patients)))


def _draw(predictions, choices, seed, n_draws):
    """Each figure for each draw of patients."""
    drawn = [
        _figures(predictions, choices, weights)
        for weights in patient_weights(predictions.patients, seed, n_draws)
    ]
    if not drawn:
        no_draws = np.empty((0, len(predictions.labels)))
        drawn = [_figures(predictions, choices, no_draws)]
    return {name: np.concatenate([d[name] for d in drawn]) for name in drawn[0]}


def _figures(p, choices, weights) -> Dict[str, np.ndarray]:
    """Each figure under each row of weights, [draws]; NaN where undefined."""
    called = choices.balanced_calls(p.scores)
    right = p.scores.argmax(axis=1) == p.labels
    claimed, happened = calibration.claims(p.labels, p.scores)
    nothing = np.full(len(weights), np.nan)
    slope, intercept = nothing, nothing
    if len(p.classes) == 2:
        slope, intercept = calibration.slope_and_intercept(
            claimed, happened, weights
        )
    return {
        "auc": macro(weighted_auc, p.labels, p.scores, weights),
        "average_precision": macro(
            weighted_average_precision, p.labels, p.scores, weights
        ),
        "balanced_accuracy": np.mean(
            [_share(called == k, p.labels == k, weights) for k in
             np.unique(p.labels)] or [nothing],
            axis=0,
        ),
        "accuracy": _share(right, np.ones_like(right), weights),
        **_operating_points(p, choices, weights),
        "brier": _mean(calibration.squared_error(p.labels, p.scores), weights),
        "ece": calibration.calibration_error(claimed, happened, weights),
        "calibration_slope": slope,
        "calibration_intercept": intercept,
    }  # fmt: skip


def _operating_points(p, choices, weights):
    """Sensitivity and specificity at both thresholds."""
    found = {}
    for threshold, of_positives, of_negatives in (
        (
            choices.at_specificity,
            "sensitivity_at_spec80",
            "specificity_at_threshold",
        ),
        (
            choices.at_sensitivity,
            "sensitivity_at_threshold_sens80",
            "specificity_at_sens80",
        ),
    ):
        if threshold is None:
            nothing = np.full(len(weights), np.nan)
            found.update({of_positives: nothing, of_negatives: nothing})
            continue
        positive = p.scores[:, 1] >= threshold
        found[of_positives] = _share(positive, p.labels == 1, weights)
        found[of_negatives] = _share(~positive, p.labels == 0, weights)
    return found


def _share(hits, of, weights):
    """Weighted share of the hits; NaN where there is nothing to hit."""
    total = weights @ of.astype(np.float64)
    return np.divide(
        weights @ (hits & of).astype(np.float64),
        total,
        out=np.full(len(weights), np.nan),
        where=total > 0,
    )


def _mean(values, weights):
    return weights @ values / weights.sum(axis=1)


def _per_class(p, choices) -> Dict[str, Dict]:
    """Counts of each class, and how it is told from the rest."""
    patients, called = np.array(p.patients), choices.balanced_calls(p.scores)
    one = np.ones((1, len(p.labels)))
    result = {}
    for k, name in enumerate(p.classes):
        true, scores = p.labels == k, p.scores[:, k]
        slope, intercept = calibration.slope_and_intercept(scores, true, one)
        precision = weighted_average_precision(true, scores, one)
        result[name] = {
            "n": int(true.sum()),
            "n_patients": len(set(patients[true])),
            "recall": _defined(_share(called == k, true, one)[0]),
            "auc": _defined(weighted_auc(true, scores, one)[0]),
            "average_precision": _defined(precision[0]),
            "calibration_slope": _defined(slope[0]),
            "calibration_intercept": _defined(intercept[0]),
        }
    return result


def _confusion(p, choices) -> List[List[int]]:
    """Recordings by true class (rows) and class called (columns)."""
    n_classes = len(p.classes)
    cells = p.labels * n_classes + choices.balanced_calls(p.scores)
    counts = np.bincount(cells, minlength=n_classes**2)
    return counts.reshape(n_classes, n_classes).tolist()


def _defined(value) -> Optional[float]:
    return float(value) if np.isfinite(value) else None


def _plain(threshold) -> Optional[float]:
    """None where each fold has its own."""
    return None if np.ndim(threshold) else threshold


def by_unit(
    predictions: Predictions, unit: str, patient_score: str = "mean_log_odds"
) -> Predictions:
    """Predictions by recording, or by patient.

    Example
    -------
    >>> p = Predictions(
    ...     ["a", "b"], ["p", "p"], np.ones(2, int), np.eye(2), ["x", "y"]
    ... )
    >>> len(by_unit(p, "recording").ids), len(by_unit(p, "patient").ids)
    (2, 1)
    """
    if unit == "recording":
        return predictions
    return predictions.by_patient(patient_score)


def pooled(
    folds: Sequence[Tuple[Predictions, Choices]],
) -> Tuple[Predictions, Choices]:
    """Out-of-fold predictions as one, each with what its fold chose.

    Example
    -------
    >>> p = Predictions(
    ...     ["a", "b"], ["p", "q"], np.arange(2), np.eye(2), ["x", "y"]
    ... )
    >>> pooled([(p, Choices(at_specificity=0.2)), (p, Choices(None, 0.7))])[
    ...     1
    ... ].at_specificity
    array([0.2, 0.2, 0.7, 0.7])
    """
    n_classes = len(folds[0][0].classes)
    uniform = np.full(n_classes, 1 / n_classes)

    def each(values):
        if any(value is None for value in values):
            return None
        sizes = [len(p.ids) for p, _ in folds]
        return np.concatenate(
            [np.tile(v, (n, 1)) for v, n in zip(values, sizes)]
        )

    prevalence = each(
        [uniform if c.prevalence is None else c.prevalence for _, c in folds]
    )
    at_specificity = each([c.at_specificity for _, c in folds])
    at_sensitivity = each([c.at_sensitivity for _, c in folds])
    return Predictions.joined([p for p, _ in folds]), Choices(
        prevalence,
        None if at_specificity is None else at_specificity[:, 0],
        None if at_sensitivity is None else at_sensitivity[:, 0],
    )
