"""Negatives: parts of recordings between the annotated events."""

from typing import Callable, List, Optional, Sequence, Tuple

import numpy as np

from data_prep.annotations.event import Event
from data_prep.annotations.segments import HARD, NEGATIVE, Segment

Spans = List[Tuple[float, float]]
_TRIES = 20  # places that are drawn for a negative, where they are silent


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
        spans.append((done, min(event.onset_s - margin_s, duration_s)))
        done = max(done, event.offset_s + margin_s)
    spans.append((done, duration_s))
    return [(begin, end) for begin, end in spans if end > begin]


def _without(spans: Spans, start: float, stop: float) -> Spans:
    parts = []
    for begin, end in spans:
        parts += [(begin, min(end, start)), (max(begin, stop), end)]
    return [(begin, end) for begin, end in parts if end > begin]


class Negatives:
    """Segments in the free spans of a recording, which do not overlap.

    Their lengths are drawn from those of events, which else would tell the
    classes apart, and their channels from those of events. Silent ones, which
    no one can train on, are drawn again.
    """

    def __init__(
        self,
        spans: Spans,
        lengths: Sequence[float],
        channels: Sequence[Optional[int]],
        label: str,
        rng: np.random.Generator,
        is_audible: Callable[[Segment], bool] = lambda _: True,
    ):
        self.segments: List[Segment] = []
        self.found_silence = False
        self._is_audible = is_audible
        self._spans, self._lengths, self._channels = spans, lengths, channels
        self._label, self._rng = label, rng

    def _add(self, start: float, length: float, *channel_and_kind) -> bool:
        """Add a segment unless it is silent; its place is taken in any case."""
        start, stop = float(start), float(start + length)
        segment = Segment(start, stop, self._label, *channel_and_kind)
        self._spans = _without(self._spans, start, stop)
        is_audible = self._is_audible(segment)
        if is_audible:
            self.segments.append(segment)
        self.found_silence |= not is_audible
        return is_audible

    def add_hard(self, marks: Sequence[Event], most: int) -> None:
        """Add detections that no annotated event is near, those of the highest
        scores first, each in the middle of its segment as far as there is
        room."""
        for mark in sorted(marks, key=lambda m: (-(m.score or 0.0), m.onset_s)):
            start, stop = mark.onset_s, mark.offset_s
            around = [s for s in self._spans if s[0] <= start and stop <= s[1]]
            if not around or len(self.segments) == most:
                continue
            begin, end = around[0]
            fitting = [x for x in self._lengths if x <= end - begin]
            if not fitting:
                continue
            length = float(self._rng.choice(fitting))
            at = min(max((start + stop - length) / 2, begin), end - length)
            is_known = mark.channel in self._channels
            channel = mark.channel if is_known else self._channels[0]
            self._add(at, length, channel, HARD)

    def add_drawn(self, n: int) -> None:
        """Add up to `n` parts of the spans, whose places are equally likely."""
        # The longest first: afterwards, they would find no place.
        for length in sorted(self._rng.choice(self._lengths, n), reverse=True):
            for _ in range(_TRIES):
                if self._draw(length):
                    break

    def _draw(self, length: float) -> bool:
        """Draw a place and add it; return False where it is silent, True where
        none is left too."""
        room = np.array([max(0.0, b - a - length) for a, b in self._spans])
        draw = self._rng.random() * room.sum()
        channel = self._channels[self._rng.integers(len(self._channels))]
        if room.sum() <= 0:
            return True
        edges = np.cumsum(room)
        i = min(int(np.searchsorted(edges, draw)), len(room) - 1)
        begin, end = self._spans[i]
        start = begin + draw - (edges[i] - room[i])
        start = np.clip(start, begin, end - length)
        return self._add(start, length, channel, NEGATIVE)
