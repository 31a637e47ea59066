"""Events from the scores of overlapping windows: rules on arrays.

A window says that a sound is in it, not where. Its score stands for the time
around its middle, half-way to the middles of its neighbours (``cell_edges``):
edges of events lie on this grid, and each can be off by half a window, since a
window reaches so far beyond its middle. A first pass scores windows that are
far apart; the windows between them are scored where an event may begin or end
(``open_gaps``).
"""

from typing import NamedTuple

import numpy as np

#: Differences of times below this are rounding, seconds.
ROUNDING_S = 1e-6


class Rule(NamedTuple):
    """Parameters that turn scores into events."""

    high: float  #: score that opens an event
    low: float  #: score that keeps it open, at most `high`
    least_s: float = 0.0  #: shorter events are dropped, after bridging
    bridge_s: float = 0.0  #: gaps between events up to this are bridged


def low_of(high: float) -> float:
    """Lower threshold by default: half the odds of the upper one.

    Example
    -------
    >>> low_of(0.5), low_of(1.0)
    (0.3333333333333333, 1.0)
    """
    return high / (2 - high) if high < 1 else high


def cell_edges(starts: np.ndarray, stops: np.ndarray, end: float) -> np.ndarray:
    """Edges ``[n + 1]`` of the time that each of `n` windows stands for, from 0
    to the end of the recording.

    Example
    -------
    >>> cell_edges(np.array([0.0, 2.0, 3.0]), np.array([4.0, 6.0, 7.0]), 7.0)
    array([0. , 3. , 4.5, 7. ])
    """
    middles = (starts + stops) / 2
    return np.concatenate([[0.0], (middles[1:] + middles[:-1]) / 2, [end]])


def runs(mask: np.ndarray) -> np.ndarray:
    """First index, and index after the last, of each run of True, ``[m, 2]``.

    Example
    -------
    >>> runs(np.array([True, True, False, True])).tolist()
    [[0, 2], [3, 4]]
    """
    padded = np.concatenate([[False], mask, [False]])
    return np.flatnonzero(padded[1:] != padded[:-1]).reshape(-1, 2)


def hysteresis(scores: np.ndarray, high: float, low: float) -> np.ndarray:
    """Runs ``[m, 2]`` of scores of at least `low`, one of them at least
    `high`; silent windows (NaN) end a run.

    Example
    -------
    >>> scores = np.array([0.4, 0.6, np.nan, 0.4, 0.1])
    >>> hysteresis(scores, 0.5, 0.3).tolist()
    [[0, 2]]
    """
    found = runs(scores >= low)
    return found[_largest(scores, found) >= high]


def _largest(scores: np.ndarray, spans: np.ndarray) -> np.ndarray:
    """Largest score in each of these disjoint spans of indices, ``[m]``."""
    if not len(spans):
        return np.empty(0)
    padded = np.append(np.nan_to_num(scores, nan=-np.inf), -np.inf)
    return np.maximum.reduceat(padded, spans.ravel())[::2]


def bridged(events: np.ndarray, bridge_s: float) -> np.ndarray:
    """Join events ``[m, 3]`` (onset, offset, score) over gaps of at most
    `bridge_s`; a joined event has the largest score of its parts.

    Example
    -------
    >>> events = np.array([[0.0, 1.0, 0.7], [3.0, 4.0, 0.9]])
    >>> bridged(events, 2.0).tolist(), len(bridged(events, 1.9))
    ([[0.0, 4.0, 0.9]], 2)
    """
    if not len(events):
        return events
    gaps = events[1:, 0] - events[:-1, 1]
    first = np.flatnonzero(np.append(True, gaps > bridge_s + ROUNDING_S))
    last = np.append(first[1:], len(events)) - 1
    scores = np.maximum.reduceat(events[:, 2], first)
    return np.stack([events[first, 0], events[last, 1], scores], axis=1)


def long_enough(events: np.ndarray, least_s: float) -> np.ndarray:
    """Events ``[m, 3]`` that last at least so long.

    Example
    -------
    >>> long_enough(np.array([[0.0, 1.0, 0.7], [3.0, 5.0, 0.9]]), 2.0).tolist()
    [[3.0, 5.0, 0.9]]
    """
    return events[events[:, 1] - events[:, 0] >= least_s - ROUNDING_S]


def open_gaps(scores: np.ndarray, low: float) -> np.ndarray:
    """Mask ``[n]`` of the gaps after each of `n` windows of the first pass in
    which an event may begin or end: one of the two windows has at least `low`.

    Example
    -------
    >>> open_gaps(np.array([0.1, 0.1, 0.6, 0.1, np.nan]), 0.5).tolist()
    [False, True, True, False, False]
    """
    is_hit = scores >= low
    return is_hit | np.append(is_hit[1:], False)


def searched(
    scores: np.ndarray, first_pass: np.ndarray, low: float
) -> np.ndarray:
    """Scores ``[n]`` of the fine grid, in whose other gaps the score of the
    window before is held; `first_pass` are the indices of that pass's windows.

    An event with a window of the first pass lies between two of them that are
    below `low`, so that its edges are those of the whole fine grid.
    """
    sizes = np.diff(np.append(first_pass, len(scores)))
    held = np.repeat(scores[first_pass], sizes)
    is_open = np.repeat(open_gaps(scores[first_pass], low), sizes)
    return np.where(is_open, scores, held)


def find_events(
    edges: np.ndarray, scores: np.ndarray, rule: Rule
) -> np.ndarray:
    """Events ``[m, 3]``: onset and offset in seconds, and the largest score.

    `scores` ``[n]`` are of the cells between `edges` ``[n + 1]``. Hysteresis,
    then bridging, then the least duration.
    """
    found = hysteresis(scores, rule.high, rule.low)
    times = edges[found].reshape(-1, 2)
    events = np.column_stack([times, _largest(scores, found)])
    return long_enough(bridged(events, rule.bridge_s), rule.least_s)
