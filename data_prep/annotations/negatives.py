"""Negatives: parts of recordings between the annotated events."""

from typing import List, Sequence, Tuple

import numpy as np

from data_prep.annotations.event import Event
from data_prep.annotations.segments import HARD, NEGATIVE, Segment

Spans = List[Tuple[float, float]]


def free_spans(
    events: Sequence[Event], duration_s: float, margin_s: float
) -> Spans:
    """Parts of a recording that are a margin away from every event.

    Example
    -------
    >>> free_spans([Event(2, 3, "cry"), Event(2.5, 5, "cat")], 10, 1)
    [(0.0, 1), (6, 10)]
    """
    spans, done = [], 0.0
    for event in sorted(events, key=lambda event: event.onset_s):
        if event.onset_s - margin_s > done:
            spans.append((done, min(event.onset_s - margin_s, duration_s)))
        done = max(done, event.offset_s + margin_s)
    if done < duration_s:
        spans.append((done, duration_s))
    return [(begin, end) for begin, end in spans if end > begin]


def without(spans: Spans, start: float, stop: float) -> Spans:
    """Spans without what is between start and stop."""
    parts = []
    for begin, end in spans:
        parts += [(begin, min(end, start)), (max(begin, stop), end)]
    return [(begin, end) for begin, end in parts if end > begin]


def hard_negatives(
    marks: Sequence[Event],
    lengths: Sequence[float],
    most: int,
    spans: Spans,
    label: str,
    channels: Sequence,
    rng: np.random.Generator,
) -> List[Segment]:
    """Detections that no annotated event is near, those of the highest scores
    first. Each has its detection in the middle, as far as there is room, and a
    length drawn from those of the events, which else would tell the classes
    apart; they do not overlap."""
    segments: List[Segment] = []
    for mark in sorted(marks, key=lambda m: (-(m.score or 0.0), m.onset_s)):
        start, stop = mark.onset_s, mark.offset_s
        span = next((s for s in spans if s[0] <= start and stop <= s[1]), None)
        if span is None or len(segments) == most:
            continue
        fitting = [x for x in lengths if x <= span[1] - span[0]]
        if not fitting:
            continue
        length = float(rng.choice(fitting))
        begin = (start + stop - length) / 2
        begin = min(max(begin, span[0]), span[1] - length)
        channel = mark.channel if mark.channel in channels else channels[0]
        segments.append(Segment(begin, begin + length, label, channel, HARD))
        spans = without(spans, begin, begin + length)
    return segments


def drawn_negatives(
    lengths: Sequence[float],
    n: int,
    spans: Spans,
    label: str,
    channels: Sequence,
    rng: np.random.Generator,
) -> List[Segment]:
    """Up to `n` parts of the spans, whose lengths are drawn from those of the
    events, and whose places are equally likely; they do not overlap."""
    segments: List[Segment] = []
    # The longest first: afterwards, they would find no place.
    for length in sorted(rng.choice(lengths, n), reverse=True):
        room = np.array(
            [max(0.0, end - begin - length) for begin, end in spans]
        )
        total = room.sum()
        draw, channel = rng.random(), channels[rng.integers(len(channels))]
        if total <= 0:
            continue
        edges = np.cumsum(room)
        i = min(int(np.searchsorted(edges, draw * total)), len(spans) - 1)
        start = spans[i][0] + draw * total - (edges[i] - room[i])
        start = float(np.clip(start, spans[i][0], spans[i][1] - length))
        stop = start + float(length)
        segments.append(Segment(start, stop, label, channel, NEGATIVE))
        spans = without(spans, start, stop)
    return segments
