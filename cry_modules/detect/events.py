"""Events from the scores of overlapping windows: rules on arrays.

A window says that a sound is in it, not where. Its score stands for the time
around its middle, half-way to the middles of its neighbours (``cell_edges``):
edges of events lie on a grid of one hop, and each can be off by half a window,
since a window reaches so far beyond its middle.
"""

from typing import List, NamedTuple

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


def find_events(
    edges: np.ndarray, scores: np.ndarray, rule: Rule
) -> np.ndarray:
    """Events ``[m, 3]``: onset and offset in seconds, and the largest score.

    `scores` ``[n]`` are of the cells between `edges` ``[n + 1]``. Hysteresis,
    then bridging, then the least duration.
    """
    return long_enough(_open_events(edges, scores, rule), rule.least_s)


def _open_events(edges, scores, rule: Rule) -> np.ndarray:
    """Events of any duration."""
    found = hysteresis(scores, rule.high, rule.low)
    times = edges[found].reshape(-1, 2)
    events = np.column_stack([times, _largest(scores, found)])
    return bridged(events, rule.bridge_s)


class EventStream:
    """Find the events of scores that come in blocks of any size.

    Only the scores since the last event that later ones can change are kept.

    Example
    -------
    >>> stream = EventStream(Rule(0.5, 0.5))
    >>> stream.add(np.array([0.0, 1.0, 2.0]), np.array([0.9, 0.8])).tolist()
    []
    >>> stream.add(np.array([2.0, 3.0]), np.array([0.1])).tolist()
    [[0.0, 2.0, 0.9]]
    """

    def __init__(self, rule: Rule):
        self._rule = rule
        self._edges = np.empty(0)
        self._scores = np.empty(0)

    def add(self, edges: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """Add cells that begin where the last ones ended; return the events
        that are complete, ``[m, 3]``."""
        self._edges = np.concatenate([self._edges[:-1], edges])
        self._scores = np.concatenate([self._scores, scores])
        rule, n = self._rule, len(self._scores)
        events = _open_events(self._edges, self._scores, rule)
        # A run of lower scores up to the end may become part of an event.
        candidates: List = runs(self._scores >= rule.low).tolist()
        is_open = bool(candidates) and candidates[-1][1] == n
        begin = self._edges[candidates[-1][0] if is_open else n]
        done = events[:, 1] + rule.bridge_s + ROUNDING_S < begin
        begin = min([begin, *events[~done, 0]])
        keep = np.searchsorted(self._edges, begin)
        self._edges, self._scores = self._edges[keep:], self._scores[keep:]
        return long_enough(events[done], rule.least_s)

    def end(self) -> np.ndarray:
        """Return the last events, ``[m, 3]``."""
        if not len(self._scores):
            return np.empty((0, 3))
        return find_events(self._edges, self._scores, self._rule)
