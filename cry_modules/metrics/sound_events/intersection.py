"""Intersection criteria of PSDS: detections that share time with annotations.

Bilen, Ferroni, Tuveri, Azcarreta and Krstulovic, "A framework for the robust
evaluation of sound event detection", ICASSP 2020, arXiv:1910.08440.
"""

from typing import NamedTuple, Sequence

import numpy as np

from cry_modules.metrics.sound_events.intervals import covered_s

_ROUNDING = 1e-9


class Criteria(NamedTuple):
    """Shares of time from which on an event counts."""

    dtc: float = 0.5  #: detection tolerance: of a detection, within its label
    gtc: float = 0.5  #: ground truth intersection: of an annotated event
    cttc: float = 0.3  #: cross-trigger tolerance: of a detection, within others


def intersection_counts(
    annotated: Sequence[np.ndarray],
    detected: Sequence[np.ndarray],
    criteria: Criteria = Criteria(),
) -> np.ndarray:
    """Count true and false positives of a recording by their shared time.

    A detection passes DTC if at least this share of it lies within annotated
    events of its label. An annotated event is a true positive if at least the
    share GTC of it is covered by detections that pass DTC. A detection that
    does not pass is a false positive, and a cross-trigger of each other label
    within whose events at least the share CTTC of it lies. One long detection
    may find several events, and several detections one.

    As ``psds_eval``: a detection that passes DTC, but whose annotated event
    fails GTC, is neither a true nor a false positive.

    Events are onsets and offsets in seconds ``[n, 2]`` by label; those of a
    label have a duration and do not overlap (see ``intervals.merged``). Returns
    ``[n_labels, 2 + n_labels]``: true positives, false positives, and
    cross-triggers of each label. The intersection-based F1 of a label is ``2 TP
    / (2 TP + FP + FN)`` with ``FN = n_annotated - TP``.

    Example
    -------
    >>> cry, speech = np.array([[0.0, 2.0]]), np.array([[4.0, 6.0]])
    >>> found = np.array([[0.5, 2.0], [4.0, 5.0]])
    >>> intersection_counts([cry, speech], [found, speech]).tolist()
    [[1, 1, 0, 1], [1, 0, 0, 0]]
    """
    n_labels = len(annotated)
    counts = np.zeros((n_labels, 2 + n_labels), dtype=int)
    for k, events in enumerate(detected):
        durations = events[:, 1] - events[:, 0]
        shares = [covered_s(others, events) / durations for others in annotated]
        passes = _reaches(shares[k], criteria.dtc)
        covered = covered_s(events[passes], annotated[k])
        share = covered / (annotated[k][:, 1] - annotated[k][:, 0])
        counts[k, 0] = _reaches(share, criteria.gtc).sum()
        counts[k, 1] = (~passes).sum()
        for j in range(n_labels):
            if j != k:
                triggers = _reaches(shares[j], criteria.cttc) & ~passes
                counts[k, 2 + j] = triggers.sum()
    return counts


def _reaches(shares: np.ndarray, least: float) -> np.ndarray:
    """Flag shares from a least one on. As psds_eval: not without any shared
    time, even if that is 0."""
    return (shares >= least - _ROUNDING) & (shares > 0)
