"""Segment-based figures: labels that are active in the same seconds.

Mesaros, Heittola and Virtanen, "Metrics for polyphonic sound event detection",
Applied Sciences 6(6):162, 2016.
"""

import math

import numpy as np

from cry_modules.metrics.sound_events.intervals import ROUNDING_S


def activity(
    intervals: np.ndarray, duration_s: float, segment_s: float
) -> np.ndarray:
    """Flag the segments of a recording that hold a part of an event, ``[n]``.

    Segments begin at 0; the last one may reach past the end.

    Example
    -------
    >>> activity(np.array([[0.9, 2.0]]), 4.0, 1.0).tolist()
    [True, True, False, False]
    """
    n = max(1, math.ceil(duration_s / segment_s - ROUNDING_S))
    first = np.floor(intervals[:, 0] / segment_s + ROUNDING_S).astype(int)
    end = np.ceil(intervals[:, 1] / segment_s - ROUNDING_S).astype(int)
    change = np.zeros(n + 1, dtype=int)
    np.add.at(change, first.clip(0, n), 1)
    np.add.at(change, end.clip(0, n), -1)
    return np.cumsum(change[:-1]) > 0


def segment_counts(annotated: np.ndarray, detected: np.ndarray) -> np.ndarray:
    """Count the active segments of a recording.

    In a segment with ``N`` annotated and ``M`` detected labels, ``T`` of them
    in agreement, ``min(N, M) - T`` are substitutions S, ``max(0, N - M)``
    deletions D and ``max(0, M - N)`` insertions I. The error rate of all labels is
    ``(S + D + I) / N``, with sums over all segments; that of one label has no
    substitutions. As ``sed_eval``, except where nothing is detected: precision
    is not defined there, and F1 is 0, since ``F1 = 2 TP / (N + M)``; sed_eval
    gives NaN.

    `annotated` and `detected` are activity by label and segment, ``[n_labels,
    n_segments]``. Returns ``[n_labels + 1, 3]``: for each label the segments in
    which both, the annotation, and the detection are active; then S, D and I.

    Example
    -------
    >>> one = np.array([[True, True, False]])
    >>> segment_counts(one, np.array([[False, True, True]])).tolist()
    [[1, 2, 2], [0, 1, 1]]
    """
    both = annotated & detected
    by_label = [x.sum(axis=1) for x in (both, annotated, detected)]
    n_both, n, m = (x.sum(axis=0) for x in (both, annotated, detected))
    errors = [
        (np.minimum(n, m) - n_both).sum(),
        np.maximum(0, n - m).sum(),
        np.maximum(0, m - n).sum(),
    ]
    return np.concatenate([np.stack(by_label, axis=1), [errors]])
