"""Figures of summed counts, with bootstrap intervals over groups.

Every figure of this package is a function of sums over recordings, so that a
draw of recordings is a weighted sum, and no event is matched again.
"""

from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from cry_modules.metrics.bootstrap import (
    LEAST_PATIENTS,
    N_DRAWS,
    interval,
    interval_of_all_or_none,
    patient_weights,
)
from cry_modules.metrics.words import count

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
    """Compute figures of counts, and their 95 % intervals.

    Parameters
    ----------
    figures : callable
        Takes sums of counts ``[draws, ...]`` and returns an array ``[draws]``
        for each figure.
    counts : numpy.ndarray
        ``[n_recordings, ...]``.
    resampling : Resampling
        Groups that are drawn with replacement.

    Returns
    -------
    dict
        Nested by place: value and ``<figure>_ci95``, the 2.5 and 97.5 %
        quantiles of the draws; Clopper and Pearson's for a share that is 0 or
        1 in all groups. None where a figure is not defined, or where fewer than
        five groups, or draws that are all equal, give no interval.
    """
    values = figures(counts.sum(axis=0)[None])
    draws: Dict[Tuple, List] = {place: [] for place in values}
    if resampling.no_interval is None:
        drawn = (resampling.groups, resampling.seed, resampling.n_draws)
        for weights in patient_weights(*drawn):
            of_draws = figures(np.tensordot(weights, counts, 1))
            for place, column in of_draws.items():
                draws[place].append(column)
    result: Dict = {}
    for place, (value,) in values.items():
        *groups, name = place
        block = result
        for group in groups:
            block = block.setdefault(group, {})
        block[name] = float(value) if np.isfinite(value) else None
        columns = draws[place]
        block[f"{name}_ci95"] = None
        if columns and block[name] is not None:
            ends = interval(np.concatenate(columns))
            if ends is None and name in _SHARES and block[name] in (0, 1):
                n_groups = len(set(resampling.groups))
                ends = interval_of_all_or_none(block[name], n_groups)
            block[f"{name}_ci95"] = ends
    return result


def divide(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Divide; NaN where the divisor is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below > 0, above / below, np.nan)


def shares(
    place: Tuple[str, ...], right: np.ndarray, n_annotated, n_detected
) -> Figures:
    """Precision, recall and F1 of so many right ones."""
    return {
        (*place, "precision"): divide(right, n_detected),
        (*place, "recall"): divide(right, n_annotated),
        (*place, "f1"): divide(2 * right, n_annotated + n_detected),
    }
