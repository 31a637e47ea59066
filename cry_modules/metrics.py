"""What a classifier's scores are worth, by recording and by patient.

Intervals come from a bootstrap over *patients*: recordings of one patient
are not independent, and an interval over recordings is too narrow.

Authors
 * The contributors of cry-ssl 2026
"""

from typing import Dict, List, Optional, Tuple

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from cry_modules.predictions import Predictions

N_DRAWS = 2000
LEAST_PATIENTS = 5
CALIBRATION_BINS = 10
SPECIFICITY = 0.8

_DRAWS_AT_ONCE = 100


def auc(labels: np.ndarray, scores: np.ndarray) -> Optional[float]:
    """Area under the ROC curve: of the last class where there are two, else
    the macro average of one against the rest over the classes present.

    Arguments
    ---------
    labels : numpy.ndarray
        ``[n]``.
    scores : numpy.ndarray
        ``[n, n_classes]``.

    Returns
    -------
    float or None
        None where all are of one class.

    Example
    -------
    >>> scores = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    >>> auc(np.array([0, 0, 1]), scores)
    1.0
    """
    return _macro(roc_auc_score, labels, scores)


def _macro(metric, labels, scores) -> Optional[float]:
    """Mean over the ranked classes; None where there is none."""
    values = [
        metric(labels == k, scores[:, k]) for k in _ranked(labels, scores)
    ]
    return float(np.mean(values)) if values else None


def _ranked(labels, scores) -> List[int]:
    """Classes that can be ranked against the rest; of two, the last."""
    n_classes = scores.shape[1]
    first = 1 if n_classes == 2 else 0
    return [k for k in range(first, n_classes) if 0 < np.mean(labels == k) < 1]


def bootstrap_auc(
    predictions: Predictions, seed: int = 0, n_draws: int = N_DRAWS
) -> Tuple[Optional[List[float]], int]:
    """95 % percentile interval of the AUC over draws of patients.

    Arguments
    ---------
    predictions : Predictions
        By recording or by patient.
    seed : int
        Of the draws.
    n_draws : int
        How many.

    Returns
    -------
    interval : list of float or None
        None where a class has fewer than five patients, whose spread no
        bootstrap can know, or hardly a draw holds every class.
    n_degenerate : int
        Draws without a recording of some class; left out.

    Example
    -------
    >>> scores = np.linspace(0, 1, 40)
    >>> p = Predictions(
    ...     [""] * 40,
    ...     [str(i) for i in range(40)],
    ...     np.arange(40) // 20,
    ...     np.stack([1 - scores, scores], axis=1),
    ...     ["healthy", "injury"],
    ... )
    >>> bootstrap_auc(p)
    ([1.0, 1.0], 0)
    """
    patients, owner = np.unique(predictions.patients, return_inverse=True)
    rng = np.random.default_rng(seed)
    ranked = _ranked(predictions.labels, predictions.scores)
    if not ranked:
        return None, n_draws
    draws = []
    for first in range(0, n_draws, _DRAWS_AT_ONCE):
        size = min(_DRAWS_AT_ONCE, n_draws - first)
        times = rng.multinomial(
            len(patients), np.full(len(patients), 1 / len(patients)), size
        )
        weights = times[:, owner].astype(np.float64)  # [draws, n]
        draws.append(
            np.mean(
                [
                    weighted_auc(
                        predictions.labels == k,
                        predictions.scores[:, k],
                        weights,
                    )
                    for k in ranked
                ],
                axis=0,
            )
        )
    draws = np.concatenate(draws)
    valid = draws[np.isfinite(draws)]
    n_degenerate = n_draws - len(valid)
    fewest = min(
        len(np.unique(owner[predictions.labels == k]))
        for k in np.unique(predictions.labels)
    )
    if fewest < LEAST_PATIENTS or len(valid) < n_draws / 2:
        return None, n_degenerate
    low, high = np.quantile(valid, [0.025, 0.975])
    return [float(low), float(high)], n_degenerate


def weighted_auc(
    positive: np.ndarray, scores: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """AUC under each row of weights, by sorting: quick for many recordings.

    Arguments
    ---------
    positive : numpy.ndarray
        Truth, ``[n]``.
    scores : numpy.ndarray
        ``[n]``.
    weights : numpy.ndarray
        ``[draws, n]``.

    Returns
    -------
    numpy.ndarray
        NaN where one of both has no weight, ``[draws]``.

    Example
    -------
    >>> positive, scores = np.array([0, 1, 1, 0]) > 0, np.array([1, 1, 2, 3])
    >>> weighted_auc(positive, scores, np.array([[1, 1, 1, 1], [1, 1, 2, 0]]))
    array([0.375     , 0.83333333])
    """
    order = np.argsort(scores, kind="stable")
    weights, positive = weights[:, order], positive[order]
    # Equal scores count half: sum the weights of each run of them first.
    starts = np.unique(scores[order], return_index=True)[1]
    pos = np.add.reduceat(weights * positive, starts, axis=1)
    neg = np.add.reduceat(weights * ~positive, starts, axis=1)
    won = (pos * (np.cumsum(neg, axis=1) - 0.5 * neg)).sum(axis=1)
    pairs = pos.sum(axis=1) * neg.sum(axis=1)
    return np.divide(
        won, pairs, out=np.full(len(weights), np.nan), where=pairs > 0
    )


def threshold_at_specificity(
    labels: np.ndarray, scores: np.ndarray, specificity: float = SPECIFICITY
) -> float:
    """Score from which a recording is called positive so that at least this
    share of the negatives is not; of those, the most sensitive one.

    Arguments
    ---------
    labels : numpy.ndarray
        1 for positive, ``[n]``.
    scores : numpy.ndarray
        Of the positive class, ``[n]``.
    specificity : float
        At least.

    Returns
    -------
    float

    Example
    -------
    >>> scores = np.array([0.1, 0.2, 0.3, 0.4, 0.9, 0.8])
    >>> threshold_at_specificity(np.array([0, 0, 0, 0, 0, 1]), scores)
    0.8
    """
    false, true, thresholds = roc_curve(labels, scores, drop_intermediate=False)
    allowed = np.flatnonzero(false <= 1 - specificity + 1e-12)
    best = allowed[np.argmax(true[allowed])]
    return float(min(thresholds[best], 1.0))  # the first one is infinite


def evaluate(
    predictions: Predictions,
    threshold: Optional[float] = None,
    seed: int = 0,
    n_draws: int = N_DRAWS,
) -> Dict:
    """One block of ``metrics.json``.

    Arguments
    ---------
    predictions : Predictions
        By recording or by patient.
    threshold : float or None
        Operating point, chosen on validation. None: chosen on these (for the
        validation block itself).
    seed : int
        Of the bootstrap.
    n_draws : int
        Bootstrap draws.

    Returns
    -------
    dict
        Numbers, no NaN: what is not defined (an AUC of one class; threshold,
        sensitivity and specificity of three) is None.
    """
    labels, scores = predictions.labels, predictions.scores
    n_of = np.bincount(labels, minlength=len(predictions.classes))
    interval, n_degenerate = bootstrap_auc(predictions, seed, n_draws)
    called = scores.argmax(axis=1)
    per_class = _per_class(predictions, called)
    recalls = [c["recall"] for c in per_class.values() if c["n"]]
    binary = len(predictions.classes) == 2
    return {
        "n": len(labels),
        "n_patients": len(set(predictions.patients)),
        "auc": auc(labels, scores),
        "auc_ci95": interval,
        "bootstrap_draws": n_draws,
        "bootstrap_degenerate": n_degenerate,
        "average_precision": _macro(average_precision_score, labels, scores),
        "balanced_accuracy": float(np.mean(recalls)),
        "accuracy": float(np.mean(called == labels)),
        "majority_accuracy": float(n_of.max() / len(labels)),
        **_operating_point(labels, scores, threshold, binary),
        "brier": _brier(labels, scores, binary),
        "ece": _calibration_error(labels, scores, binary),
        "per_class": per_class,
    }


def _operating_point(labels, scores, threshold, binary):
    names = ("threshold", "sensitivity_at_spec80", "specificity_at_threshold")
    if not binary or len(set(labels.tolist())) < 2:
        return dict.fromkeys(names)
    if threshold is None:
        threshold = threshold_at_specificity(labels, scores[:, 1])
    positive = scores[:, 1] >= threshold
    return {
        "threshold": threshold,
        "sensitivity_at_spec80": float(positive[labels == 1].mean()),
        "specificity_at_threshold": float((~positive)[labels == 0].mean()),
    }


def _brier(labels, scores, binary):
    """Mean squared error of the probability; summed over three classes."""
    if binary:
        return float(np.mean((scores[:, 1] - labels) ** 2))
    truth = np.eye(scores.shape[1])[labels]
    return float(np.mean(((scores - truth) ** 2).sum(axis=1)))


def _calibration_error(labels, scores, binary):
    """Expected calibration error in ten bins: of the positive class's
    probability, or of the called class's where there are three."""
    if binary:
        claimed, happened = scores[:, 1], labels == 1
    else:
        claimed = scores.max(axis=1)
        happened = scores.argmax(axis=1) == labels
    bins = np.minimum(
        (claimed * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1
    )
    error = 0.0
    for b in np.unique(bins):
        inside = bins == b
        gap = claimed[inside].mean() - happened[inside].mean()
        error += inside.mean() * abs(gap)
    return float(error)


def _per_class(predictions, called):
    patients = np.array(predictions.patients)
    result = {}
    for k, name in enumerate(predictions.classes):
        true = predictions.labels == k
        result[name] = {
            "n": int(true.sum()),
            "n_patients": len(set(patients[true])),
            "recall": float((called[true] == k).mean()) if any(true) else None,
            "auc": _one_auc(true, predictions.scores[:, k]),
        }
    return result


def _one_auc(true, scores) -> Optional[float]:
    return float(roc_auc_score(true, scores)) if 0 < true.mean() < 1 else None


def summarise(valid: Predictions, test: Predictions, seed: int = 0) -> Dict:
    """The blocks ``valid`` and ``test`` of ``metrics.json``, by recording and
    by patient; operating points are chosen on validation.

    Arguments
    ---------
    valid : Predictions
        Of the validation recordings.
    test : Predictions
        Of the test recordings.
    seed : int
        Of the bootstrap.

    Returns
    -------
    dict
    """
    blocks = {"valid": {}, "test": {}}
    for unit in ("recording", "patient"):
        by = (lambda p: p) if unit == "recording" else Predictions.by_patient
        chosen = evaluate(by(valid), seed=seed)
        blocks["valid"][unit] = chosen
        blocks["test"][unit] = evaluate(by(test), chosen["threshold"], seed)
    return blocks
