"""Net benefit of decisions by a probability (decision curve analysis).

Vickers & Elkin (2006, https://doi.org/10.1177/0272989X06295361): whoever
treats above a threshold probability t holds a false positive to be worth
t / (1 - t) of a true positive. So the net benefit of treating the recordings
with a probability of t or more is

    sensitivity * prevalence - (1 - specificity) * (1 - prevalence) * t / (1 - t)

per recording. A model is of use where it is above both treating all (of
sensitivity 1 and specificity 0) and treating none (0).
"""

from typing import Dict, List, Optional, Sequence

import numpy as np

from cry_modules.metrics.bootstrap import (
    N_DRAWS,
    interval,
    patient_weights,
    why_no_interval,
)
from cry_modules.metrics.predictions import Predictions
from cry_modules.metrics.ranking import ratio

#: Threshold probabilities in ``metrics.json``.
THRESHOLDS = (
    0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9,
)  # fmt: skip


def net_benefit(
    positive: np.ndarray,
    probability: np.ndarray,
    thresholds: Sequence[float],
    weights: np.ndarray,
    prevalence: Optional[float] = None,
) -> np.ndarray:
    """Net benefit of treating recordings from each threshold on.

    Arguments
    ---------
    positive : numpy.ndarray
        Whether each recording is positive, ``[n]``.
    probability : numpy.ndarray
        Predicted probability of the positive class, ``[n]``.
    thresholds : sequence of float
        Threshold probabilities, each below 1.
    weights : numpy.ndarray
        Weight of each recording, ``[draws, n]``.
    prevalence : float or None
        Share of positives where decisions are made, for samples such as
        case-control studies whose own share says nothing; None: their own.

    Returns
    -------
    numpy.ndarray
        ``[draws, thresholds]``; NaN where, at a stated prevalence, a class has
        no weight.

    Example
    -------
    >>> positive, probability = (
    ...     np.array([0, 0, 1, 1]) > 0,
    ...     np.array([1, 3, 2, 4]),
    ... )
    >>> net_benefit(positive, probability / 5, [0.5], np.ones((1, 4)))
    array([[0.]])
    >>> net_benefit(positive, probability / 5, [0.5], np.ones((1, 4)), 0.9)
    array([[0.4]])
    """
    thresholds = np.asarray(thresholds, dtype=np.float64)
    treated = (probability[:, None] >= thresholds).astype(np.float64)
    true, false = (
        (weights * mask) @ treated for mask in (positive, ~positive)
    )  # [draws, thresholds]
    n_of = [weights @ positive, weights @ ~positive]
    shares = [prevalence, 1 - prevalence] if prevalence else [1, 1]
    if prevalence is None:
        n_of = [sum(n_of)] * 2
    of_true, of_false = (
        ratio(np.full(len(weights), float(share)), n)[:, None]
        for share, n in zip(shares, n_of)
    )
    return of_true * true - of_false * false * thresholds / (1 - thresholds)


def treat_all(
    prevalence: np.ndarray, thresholds: Sequence[float]
) -> np.ndarray:
    """Net benefit of treating everyone, ``[draws, thresholds]``, where the
    share of positives is `prevalence`, ``[draws]``."""
    odds = np.asarray(thresholds) / (1 - np.asarray(thresholds))
    prevalence = np.asarray(prevalence)[:, None]
    return prevalence - (1 - prevalence) * odds


def decision_curve(
    p: Predictions,
    seed: int = 0,
    n_draws: int = N_DRAWS,
    thresholds: Sequence[float] = THRESHOLDS,
    prevalence: Optional[float] = None,
) -> Dict:
    """Net benefit of a model of two classes over thresholds, with 95 %
    intervals over draws of patients (percentiles, each threshold by itself).

    ``gain`` is the net benefit above the better one of treating all and none.
    """
    values = _curve(p, thresholds, prevalence, np.ones((1, len(p.labels))))
    result = {
        "prevalence": prevalence or float(np.mean(p.labels == 1)),
        "thresholds": list(thresholds),
        **{name: rows[0].tolist() for name, rows in values.items()},
    }
    draws: Dict[str, List] = {name: [] for name in values}
    if why_no_interval(p.labels, p.patients, p.classes) is None:
        for weights in patient_weights(p.patients, seed, n_draws):
            drawn = _curve(p, thresholds, prevalence, weights)
            for name, rows in drawn.items():
                draws[name].append(rows)
    for name in ("model", "gain"):
        columns = np.concatenate(draws[name]).T if draws[name] else []
        result[f"{name}_ci95"] = [interval(x) for x in columns] or None
    return result


def _curve(p, thresholds, prevalence, weights) -> Dict[str, np.ndarray]:
    """The lines of a decision curve, each ``[draws, thresholds]``."""
    positive = p.labels == 1
    model = net_benefit(
        positive, p.scores[:, 1], thresholds, weights, prevalence
    )
    share = weights @ positive / weights.sum(axis=1)
    if prevalence is not None:
        share = np.full(len(weights), prevalence)
    everyone = treat_all(share, thresholds)
    gain = model - np.maximum(everyone, 0)
    return {"model": model, "treat_all": everyone, "gain": gain}
