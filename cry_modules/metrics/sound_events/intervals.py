"""Event lists as arrays of onset and offset, and the time that they cover.

Times are seconds. Differences below a nanosecond are rounding: an event that
is exactly a collar late is in time, wherever in the recording it is.
"""

from typing import Iterable

import numpy as np

from data_prep.annotations.event import Event

ROUNDING_S = 1e-9


def spans(events: Iterable[Event], label: str) -> np.ndarray:
    """Onset and offset of the events of a label, ``[n, 2]``, by onset."""
    pairs = [(e.onset_s, e.offset_s) for e in events if e.label == label]
    return np.array(sorted(pairs), dtype=np.float64).reshape(-1, 2)


def merged(intervals: np.ndarray) -> np.ndarray:
    """Merge intervals that overlap; those that only touch stay apart.

    Example
    -------
    >>> merged(np.array([[0.0, 2.0], [1.0, 3.0], [3.0, 4.0]])).tolist()
    [[0.0, 3.0], [3.0, 4.0]]
    """
    if not len(intervals):
        return intervals
    intervals = intervals[np.argsort(intervals[:, 0], kind="stable")]
    reached = np.maximum.accumulate(intervals[:, 1])
    begins = np.append(True, intervals[1:, 0] >= reached[:-1] - ROUNDING_S)
    first = np.flatnonzero(begins)
    last = np.append(first[1:], len(intervals)) - 1
    return np.stack([intervals[first, 0], reached[last]], axis=1)


def covered_s(disjoint: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Seconds of each window that disjoint intervals cover, ``[n]``.

    Example
    -------
    >>> covered_s(np.array([[0.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 3.5]]))
    array([1.5])
    """
    if not len(disjoint) or not len(windows):
        return np.zeros(len(windows))
    lengths = disjoint[:, 1] - disjoint[:, 0]
    before = np.cumsum(lengths) - lengths
    until = np.stack([before, before + lengths], axis=1).ravel()
    times = disjoint.ravel()
    return np.interp(windows[:, 1], times, until) - np.interp(
        windows[:, 0], times, until
    )


def seconds(disjoint: np.ndarray) -> float:
    """Seconds that disjoint intervals cover."""
    return float((disjoint[:, 1] - disjoint[:, 0]).sum())
