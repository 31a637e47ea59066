"""Event-based figures: detected events whose onset and offset are right.

Mesaros, Heittola and Virtanen, "Metrics for polyphonic sound event detection",
Applied Sciences 6(6):162, 2016.
"""

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from cry_modules.metrics.sound_events.intervals import ROUNDING_S


class Collar(NamedTuple):
    """Tolerance of onset and offset; the limits themselves are tolerated."""

    onset_s: float = 0.2
    offset_s: float = 0.2
    offset_share: float = 0.2  #: of the annotated event's duration, if longer


def matched(
    annotated: np.ndarray, detected: np.ndarray, collar: Collar = Collar()
) -> int:
    """Count the annotated events of a label that are detected.

    A pair may match if the onsets differ by at most ``collar.onset_s`` and the
    offsets by at most ``max(collar.offset_s, collar.offset_share * duration)``
    of the annotated event. Each event is in one pair at most, and as many pairs
    as possible are formed: a maximum bipartite matching, as ``sed_eval`` does
    by default (``event_matching_type="optimal"``). Its older "greedy" matching
    takes the first event that fits and depends on the order of the list.

    Events are onsets and offsets in seconds ``[n, 2]``, sorted by onset. Of
    true positives TP, precision is TP / n_detected, recall TP / n_annotated and
    F1 ``2 TP / (n_detected + n_annotated)``.

    Example
    -------
    >>> matched(np.array([[1.0, 2.0]]), np.array([[1.2, 1.8], [1.3, 2.0]]))
    1
    """
    if not len(annotated) or not len(detected):
        return 0
    reach = collar.onset_s + ROUNDING_S
    first = np.searchsorted(detected[:, 0], annotated[:, 0] - reach, "left")
    last = np.searchsorted(detected[:, 0], annotated[:, 0] + reach, "right")
    n = last - first
    rows = np.repeat(np.arange(len(annotated)), n)
    columns = np.arange(n.sum()) + np.repeat(first - np.cumsum(n) + n, n)
    durations = annotated[:, 1] - annotated[:, 0]
    allowed = np.maximum(collar.offset_s, collar.offset_share * durations)
    late = np.abs(detected[columns, 1] - annotated[rows, 1])
    fits = late <= allowed[rows] + ROUNDING_S
    pairs = csr_array(
        (np.ones(fits.sum(), np.int8), (rows[fits], columns[fits])),
        (len(annotated), len(detected)),
    )
    return int((maximum_bipartite_matching(pairs, "column") >= 0).sum())
