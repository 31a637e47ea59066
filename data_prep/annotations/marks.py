"""Detections of a model, as candidates for hard negatives."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Container, List, Optional, Sequence

from data_prep.annotations.event import Event, as_number, as_seconds
from data_prep.annotations.formats import read_events
from data_prep.annotations.text import NOT_UNICODE
from data_prep.files.identifiers import identity
from data_prep.files.missing import is_missing
from data_prep.files.spreadsheets import csv_text, parsed_lines

#: First columns of a table of scores over time.
_TRACK = ["start", "stop"]
THRESHOLD = 0.5  #: of scores over time


def read_marks(
    path: Path, threshold: Optional[float], classes: Container[str]
) -> List[Event]:
    """Detections of the annotated classes (given by ``identity``), else of all.

    A file holds events in any format, or is a table of scores over time, whose
    windows are joined where they overlap. The threshold is the least score;
    None: all events, and ``THRESHOLD`` in scores over time.
    """
    track = _track(path, classes) if path.suffix.lower() == ".csv" else None
    events = read_events(path) if track is None else track
    if threshold is None:
        threshold = -math.inf if track is None else THRESHOLD
    kept = [e for e in events if e.score is None or e.score >= threshold]
    if track is not None:
        return _joined(kept)
    named = [e for e in kept if not e.label or identity(e.label) in classes]
    return named or kept


def _track(path: Path, classes: Container[str]) -> Optional[List[Event]]:
    """Windows of a table of scores over time, with the highest score of the
    annotated classes, else of the last; None for other tables."""
    text, separator = csv_text(path, None, NOT_UNICODE)
    header, *lines = parsed_lines(text, separator, path)
    if header[:2] != _TRACK or "label" in header or len(header) < 3:
        return None
    columns = [i for i, name in enumerate(header) if identity(name) in classes]
    events = []
    for n, line in enumerate(lines, start=2):
        source = f"{path} row {n}"
        cells = [line[i] for i in columns or [len(header) - 1] if i < len(line)]
        scores = [
            as_number(source, "score", c) for c in cells if not is_missing(c)
        ]
        if scores:  # none in silent windows
            times = [as_seconds(source, *pair) for pair in zip(_TRACK, line)]
            events.append(Event(*times, "", max(scores)))
    return events


def _joined(windows: Sequence[Event]) -> List[Event]:
    """Windows that overlap, or touch, as one, with the highest score."""
    joined: List[Event] = []
    for window in sorted(windows, key=lambda window: window.onset_s):
        last = joined[-1] if joined else None
        if last and window.onset_s <= last.offset_s:
            offset = max(last.offset_s, window.offset_s)
            score = max(last.score, window.score)
            joined[-1] = replace(last, offset_s=offset, score=score)
        else:
            joined.append(window)
    return joined
