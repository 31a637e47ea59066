"""Rules of events, each against a slow plain loop, and their invariants."""

import numpy as np
import pytest
from hypothesis import (
    given,
    strategies as st,
)

from cry_modules.detect.events import (
    Rule,
    bridged,
    cell_edges,
    find_events,
    hysteresis,
    long_enough,
    low_of,
    open_gaps,
    searched,
)

SCORE = st.one_of(
    st.sampled_from([0.0, 0.3, 0.5, 0.7, 1.0, float("nan")]),
    st.floats(0, 1),
)
SCORES = st.lists(SCORE, max_size=40).map(np.array)
RULES = st.builds(
    lambda a, b, least, bridge: Rule(max(a, b), min(a, b), least, bridge),
    st.sampled_from([0.3, 0.5, 0.7, 1.0]),
    st.sampled_from([0.0, 0.3, 0.5]),
    st.sampled_from([0.0, 0.5, 2.0, 3.0]),
    st.sampled_from([0.0, 0.5, 1.0, 2.5]),
)


@st.composite
def cells(draw):
    """Scores and the edges of their cells, of uneven lengths."""
    scores = draw(SCORES)
    lengths = draw(
        st.lists(
            st.sampled_from([0.5, 1.0, 1.5]),
            min_size=len(scores),
            max_size=len(scores),
        )
    )
    return np.append(0.0, np.cumsum(lengths)), scores


def slow_hysteresis(scores, high, low):
    """A state machine: a run is open while scores stay at `low` or above."""
    found, first, is_event = [], None, False
    for i, score in enumerate([*scores, -1.0]):
        if score >= low and i < len(scores):
            first = i if first is None else first
            is_event = is_event or score >= high
            continue
        if first is not None and is_event:
            found.append([first, i])
        first, is_event = None, False
    return found


def slow_bridged(events, bridge_s):
    joined = []
    for onset, offset, score in events:
        if joined and onset - joined[-1][1] <= bridge_s + 1e-6:
            joined[-1][1] = offset
            joined[-1][2] = max(joined[-1][2], score)
        else:
            joined.append([onset, offset, score])
    return joined


@given(SCORES, st.sampled_from([0.5, 0.7]), st.sampled_from([0.3, 0.5]))
def test_hysteresis_is_a_state_machine(scores, high, low):
    expected = slow_hysteresis(scores, high, low)
    assert hysteresis(scores, high, low).tolist() == expected


@given(cells(), RULES)
def test_events_are_those_of_plain_loops(cells, rule):
    edges, scores = cells
    events = [
        [edges[a], edges[b], max(s for s in scores[a:b] if s == s)]
        for a, b in slow_hysteresis(scores, rule.high, rule.low)
    ]
    events = slow_bridged(events, rule.bridge_s)
    expected = [e for e in events if e[1] - e[0] >= rule.least_s - 1e-6]
    assert find_events(edges, scores, rule).tolist() == expected


@given(cells(), RULES)
def test_events_are_ordered_disjoint_and_inside(cells, rule):
    edges, scores = cells
    events = find_events(edges, scores, rule)
    times = events[:, :2].ravel()
    assert (np.diff(times) > 0).all()
    assert (times >= 0).all() and (times <= edges[-1]).all()
    assert (events[:, 2] >= rule.high).all()
    assert (events[:, 1] - events[:, 0] >= rule.least_s - 1e-6).all()
    assert (events[1:, 0] - events[:-1, 1] > rule.bridge_s).all()
    # Rules are idempotent.
    again = long_enough(bridged(events, rule.bridge_s), rule.least_s)
    assert again.tolist() == events.tolist()


@given(cells(), RULES, st.integers(1, 9))
def test_events_of_two_passes_are_those_of_the_fine_grid(cells, rule, step):
    """All of those that the first pass finds, and nothing that is not there."""
    edges, scores = cells
    if not len(scores):
        return
    first_pass = np.array([*range(0, len(scores) - 1, step), len(scores) - 1])
    rule = rule._replace(least_s=0.0, bridge_s=0.0)
    kept = searched(scores, first_pass, rule.low)
    # Whatever the windows of closed gaps hold, if anything.
    is_open = np.repeat(
        open_gaps(scores[first_pass], rule.low),
        np.diff(np.append(first_pass, len(scores))),
    )
    unknown = np.where(is_open, scores, np.nan)
    unknown[first_pass] = scores[first_pass]
    np.testing.assert_array_equal(searched(unknown, first_pass, rule.low), kept)
    found = find_events(edges, kept, rule).tolist()
    whole = find_events(edges, scores, rule).tolist()
    hits = edges[first_pass[scores[first_pass] >= rule.low]]
    for event in whole:
        if ((event[0] <= hits) & (hits < event[1])).any():
            assert event in found
    assert all(event in whole for event in found)


def test_cells_share_the_recording_among_windows():
    edges = cell_edges(np.array([0.0]), np.array([3.0]), 3.0)
    assert edges.tolist() == [0.0, 3.0]
    starts = np.array([0.0, 4.0, 6.5])  # the last ends with the recording
    edges = cell_edges(starts, starts + 4, 10.5)
    assert edges.tolist() == [0.0, 4.0, 7.25, 10.5]


@pytest.mark.parametrize("high", [0.01, 0.3, 0.5, 0.99])
def test_the_lower_threshold_has_half_the_odds(high):
    low = low_of(high)
    assert low / (1 - low) == pytest.approx(high / (1 - high) / 2)
