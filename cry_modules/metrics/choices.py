"""Operating points and class frequencies, fixed before the test split is
used."""

from dataclasses import dataclass
from typing import Optional, Sequence, Tuple, Union

import numpy as np

from cry_modules.metrics.predictions import MEAN_LOG_ODDS, Predictions
from cry_modules.metrics.ranking import (
    best_threshold,
    threshold_at_sensitivity,
    threshold_at_specificity,
)


@dataclass
class Choices:
    """Class frequencies of training and operating points from validation.

    Arguments
    ---------
    prevalence : numpy.ndarray or None
        Share of each class in training, ``[n_classes]``, or for each
        recording ``[n, n_classes]``; None: equal shares.
    at_specificity : float, numpy.ndarray or None
        Threshold with at least 80 % specificity on validation; one, or one
        for each recording ``[n]``. None if there are more than two classes,
        or validation has one class.
    at_sensitivity : float, numpy.ndarray or None
        The same with at least 80 % sensitivity.
    """

    prevalence: Optional[np.ndarray] = None
    at_specificity: Union[float, np.ndarray, None] = None
    at_sensitivity: Union[float, np.ndarray, None] = None

    def balanced_predictions(self, scores: np.ndarray) -> np.ndarray:
        """Predict the class whose probability exceeds its prevalence most."""
        if self.prevalence is None:
            return scores.argmax(axis=1)
        return (scores / self.prevalence).argmax(axis=1)


def choose(
    valid: Predictions,
    prevalence: Optional[np.ndarray] = None,
    patient_score: str = MEAN_LOG_ODDS,
) -> Choices:
    """Choose the thresholds of two classes on the validation split.

    The maximum, or noisy-or, of a patient's recordings grows with their
    number and is not a probability: its balanced predictions use the threshold
    of the best balanced accuracy on validation.
    """
    labels, scores = valid.labels, valid.scores
    if len(valid.classes) > 2 or len(set(labels.tolist())) < 2:
        return Choices(prevalence)
    if patient_score != MEAN_LOG_ODDS:
        cut = best_threshold(labels, scores[:, 1])
        prevalence = np.array([1 - cut, cut])
    return Choices(
        prevalence,
        threshold_at_specificity(labels, scores[:, 1]),
        threshold_at_sensitivity(labels, scores[:, 1]),
    )


def pooled(
    folds: Sequence[Tuple[Predictions, Choices]],
    names: Optional[Sequence[str]] = None,
) -> Tuple[Predictions, Choices]:
    """Pool the test predictions of folds, which are numbered unless they have
    names; each recording keeps the choices of its fold."""
    names = names or [str(i) for i in range(len(folds))]
    n_classes = len(folds[0][0].classes)
    uniform = np.full(n_classes, 1 / n_classes)
    sizes = [len(p.ids) for p, _ in folds]

    def per_recording(thresholds):
        if any(threshold is None for threshold in thresholds):
            return None
        return np.repeat(thresholds, sizes)

    shares = [
        uniform if c.prevalence is None else c.prevalence for _, c in folds
    ]
    return Predictions.joined([p for p, _ in folds], names), Choices(
        np.concatenate([np.tile(s, (n, 1)) for s, n in zip(shares, sizes)]),
        per_recording([c.at_specificity for _, c in folds]),
        per_recording([c.at_sensitivity for _, c in folds]),
    )
