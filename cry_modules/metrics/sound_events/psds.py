"""Polyphonic sound detection score (PSDS): one number over all thresholds.

Bilen et al., ICASSP 2020, arXiv:1910.08440; its two scenarios: Turpault et
al., DCASE Challenge 2021, task 4.
"""

from typing import Dict, NamedTuple, Tuple

import numpy as np

from cry_modules.metrics.sound_events.intersection import Criteria


class Scenario(NamedTuple):
    """How PSDS weighs what goes wrong."""

    criteria: Criteria
    alpha_ct: float = 0.0  #: weight of cross-triggers
    alpha_st: float = 0.0  #: weight of the spread between labels
    max_efpr: float = 100.0  #: effective false positives an hour


#: The paper's setting; fast reaction; no confusion of labels.
SCENARIOS: Dict[str, Scenario] = {
    "paper": Scenario(Criteria(0.5, 0.5, 0.3)),
    "dcase_1": Scenario(Criteria(0.7, 0.7, 0.3), alpha_st=1.0),
    "dcase_2": Scenario(Criteria(0.1, 0.1, 0.3), alpha_ct=0.5, alpha_st=1.0),
}


def rates(
    counts: np.ndarray, n_annotated: np.ndarray, hours: np.ndarray
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True positive ratio, false positives and mean cross-triggers an hour.

    `counts` ``[n_thresholds, n_labels, 2 + n_labels]`` are those of
    ``intersection_counts``, summed over recordings; `n_annotated`
    ``[n_labels]``; `hours` those of annotated events of each label, then of all
    recordings. Returns three times ``[n_thresholds, n_labels]``. The ratio is
    NaN for a label without events. Cross-triggers of a label count by hour of
    that label; their mean is over the other labels, 0 without any.
    """
    n_labels = len(n_annotated)
    with np.errstate(divide="ignore", invalid="ignore"):
        tpr = counts[..., 0] / n_annotated
        fpr = counts[..., 1] / hours[-1]
        ctr = np.where(hours[:-1] > 0, counts[..., 2:] / hours[:-1], 0.0)
    n_others = max(1, n_labels - 1)  # a label does not trigger itself: 0
    return np.where(n_annotated > 0, tpr, np.nan), fpr, ctr.sum(-1) / n_others


def psd_roc(
    tpr: np.ndarray, efpr: np.ndarray, alpha_st: float
) -> Tuple[np.ndarray, np.ndarray]:
    """PSD-ROC: effective false positive rates and true positive ratio there.

    Each label's curve is a staircase of the best ratio up to a rate. The
    effective ratio is the mean over labels less ``alpha_st`` times their
    standard deviation, not below 0.
    """
    rates_of_all = np.unique(np.append(efpr, 0.0))
    curves = []
    for ratio, rate in zip(tpr.T, efpr.T):
        if np.isnan(ratio).any():
            continue
        order = np.argsort(rate, kind="stable")
        best = np.append(0.0, np.maximum.accumulate(ratio[order]))
        n_up_to = np.searchsorted(rate[order], rates_of_all, "right")
        curves.append(best[n_up_to])
    if not curves:
        return rates_of_all, np.full(len(rates_of_all), np.nan)
    effective = np.mean(curves, 0) - alpha_st * np.std(curves, 0)
    return rates_of_all, np.maximum(0.0, effective)


def psds(
    counts: np.ndarray,
    n_annotated: np.ndarray,
    hours: np.ndarray,
    scenario: Scenario,
) -> float:
    """Polyphonic sound detection score: normalised area below the PSD-ROC.

    ``1 / e_max`` times the integral, from 0 to ``e_max = scenario.max_efpr``,
    of the effective true positive ratio over the effective false positive rate
    ``eFPR = FPR + alpha_ct * mean cross-trigger rate``. After the last
    threshold the curve stays at its height, as in ``psds_eval``.

    The arguments are those of ``rates``, and a scenario whose criteria are those
    of the counts. NaN without any annotated event.

    Example
    -------
    >>> counts = np.array(
    ...     [[[3, 10, 0]], [[4, 50, 0]]]
    ... )  # two thresholds, one label
    >>> hours = np.array([0.1, 1.0])
    >>> value = psds(counts, np.array([4]), hours, SCENARIOS["paper"])
    >>> value == (0.75 * 40 + 1.0 * 50) / 100
    True
    """
    tpr, fpr, ctr = rates(counts, n_annotated, hours)
    efpr = fpr + scenario.alpha_ct * ctr
    x, y = psd_roc(tpr, efpr, scenario.alpha_st)
    ends = np.append(x[1:], max(x[-1], scenario.max_efpr))
    widths = np.minimum(ends, scenario.max_efpr) - np.minimum(
        x, scenario.max_efpr
    )
    return float((widths * y).sum() / scenario.max_efpr)
