"""Figures of summed counts, with bootstrap intervals over groups.

Every figure of this package is a function of sums over recordings, so that a
draw of recordings is a weighted sum, and no event is matched again.
"""

from typing import Callable, Dict, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from cry_modules.metrics.bootstrap import (
    LEAST_PATIENTS,
    N_DRAWS,
    interval,
    interval_of_all_or_none,
    patient_weights,
)
from data_prep.files.words import count

#: Figures by their place in the result, such as ("micro", "f1").
Figures = Dict[Tuple[str, ...], np.ndarray]
_SHARES = ("precision", "recall", "f1", "missed_share", "false_share")


class Resampling(NamedTuple):
    """Units that are drawn: recordings, or the infants that they are of."""

    groups: Sequence[str]  #: of each recording
    unit: str = "recording"
    seed: int = 0
    n_draws: int = N_DRAWS

    @property
    def no_interval(self) -> Optional[str]:
        """Reason why intervals are missing, or None."""
        n = len(set(self.groups))
        if n >= LEAST_PATIENTS:
            return None
        return f"{count(n, self.unit)}, and an interval needs {LEAST_PATIENTS}"


def with_intervals(
    figures: Callable[[np.ndarray], Figures],
    counts: np.ndarray,
    resampling: Resampling,
) -> Dict:
    """Figures of counts ``[n_recordings, ...]``, nested by place, each with
    ``<figure>_ci95``: the 2.5 and 97.5 % quantiles of the draws; Clopper and
    Pearson's interval for a share that is 0 or 1 in all groups.

    `figures` takes sums of counts ``[draws, ...]`` and returns an array
    ``[draws]`` for each figure. None is a figure that is not defined, and an
    interval of fewer than five groups, or of draws that are all equal.
    """
    values = figures(counts.sum(axis=0)[None])
    drawn = []
    if resampling.no_interval is None:
        groups, _, *how = resampling
        for weights in patient_weights(groups, *how):
            drawn.append(figures(np.tensordot(weights, counts, 1)))
    result: Dict = {}
    for place, (value,) in values.items():
        *parents, name = place
        block, ends = result, None
        for parent in parents:
            block = block.setdefault(parent, {})
        block[name] = known(value)
        if drawn and block[name] is not None:
            ends = interval(np.concatenate([draws[place] for draws in drawn]))
            if ends is None and name in _SHARES and value in (0, 1):
                n_groups = len(set(resampling.groups))
                ends = interval_of_all_or_none(block[name], n_groups)
        block[f"{name}_ci95"] = ends
    return result


def known(value: float) -> Optional[float]:
    """A number, None for one that is not defined."""
    return float(value) if np.isfinite(value) else None


def divide(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Divide; NaN where the divisor is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below > 0, above / below, np.nan)


def shares(place: Tuple[str, ...], columns: np.ndarray) -> Figures:
    """Precision, recall and F1 of so many right, annotated and detected ones
    ``[draws, 3]``."""
    right, n_annotated, n_detected = columns.T
    return {
        (*place, "precision"): divide(right, n_detected),
        (*place, "recall"): divide(right, n_annotated),
        (*place, "f1"): divide(2 * right, n_annotated + n_detected),
    }


def by_class(labels: Sequence[str], columns: np.ndarray) -> Figures:
    """Precision, recall and F1, micro, macro and by class, of right, annotated
    and detected ones ``[draws, n_labels, 3]``. The mean is over the labels that
    are annotated."""
    figures = shares(("micro",), columns.sum(axis=1))
    of_labels: Figures = {}
    for k, label in enumerate(labels):
        of_labels |= shares(("per_class", label), columns[:, k])
    f1 = np.array([of_labels["per_class", label, "f1"] for label in labels])
    is_annotated = columns[..., 1].T > 0
    total = np.where(is_annotated, f1, 0).sum(axis=0)
    figures["macro", "f1"] = divide(total, is_annotated.sum(axis=0))
    return figures | of_labels
