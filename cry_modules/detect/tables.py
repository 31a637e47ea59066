"""Tables of detection: events, recordings, hours of the day, failures."""

from collections import defaultdict
from datetime import datetime
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from cry_modules.detect.clock import hours_of_day, moment, written
from cry_modules.detect.scoring import Failure, Track
from data_prep.annotations.event import Event
from data_prep.files.tables import require_own, write_table

EVENTS, SUMMARY, FAILURES, HOURS = (
    "events.csv", "summary.csv", "failures.csv", "hours.csv",
)  # fmt: skip
EVENT_COLUMNS = (
    "recording", "channel", "onset_s", "offset_s", "label", "score",
    "onset_time", "offset_time",
)  # fmt: skip
SUMMARY_COLUMNS = (
    "recording", "channel", "label", "hours", "events", "minutes",
    "events_per_hour", "longest_s", "silent_hours", "start_time",
    "unlike_training", "training_distance", "note",
)  # fmt: skip


FAILURE_COLUMNS = "recording", "channel", "reason"
HOUR_COLUMNS = "date", "hour", "recorded_minutes"


class Found(NamedTuple):
    """Events of one class in a recording, or in one of its channels."""

    recording: str
    channel: Optional[int]
    label: str
    events: np.ndarray  #: ``[m, 3]``: onset and offset in seconds, score
    start: Optional[datetime]

    def as_events(self) -> List[Event]:
        """The events, as annotation files hold them."""
        tier = "" if self.channel is None else f"channel {self.channel}"
        return [
            Event(
                *row[:2], self.label, row[2], self.recording, tier, self.channel
            )
            for row in self.events.tolist()
        ]

    def rows(self) -> List[List]:
        """Rows of ``events.csv``."""
        rows = []
        for onset, offset, score in self.events.tolist():
            times = ["", ""]
            seconds = [f"{onset:.3f}", f"{offset:.3f}"]
            if self.start is not None:
                times = [written(moment(self.start, s)) for s in seconds]
            rows.append(
                [self.recording, _cell(self.channel), *seconds, self.label]
                + [f"{score:.7f}", *times]
            )
        return rows

    def summary(self, track: Track) -> List:
        """Row of ``summary.csv``."""
        hours = track.audit.duration / 3600
        lengths = self.events[:, 1] - self.events[:, 0]
        n = len(lengths)
        compared = track.compared
        is_silent = np.isnan(track.scores).any(axis=1)
        distance = compared.distance
        return [
            *(self.recording, _cell(self.channel), self.label, f"{hours:.4f}"),
            *(n, f"{lengths.sum() / 60:.3f}", f"{n / hours:.3f}"),
            f"{lengths.max():.3f}" if n else "",
            f"{hours * is_silent.mean():.4f}",
            written(self.start),
            "; ".join(compared.unlike),
            "" if distance is None else f"{distance:.3f}",
            track.note,
        ]


class Hours:
    """Seconds recorded, and of each class, by date and hour of the day."""

    def __init__(self, labels: List[str]):
        self.labels = labels
        self.recorded: Dict[Tuple[str, int], float] = defaultdict(float)
        self.found = {label: defaultdict(float) for label in labels}

    def add_recording(self, start: datetime, seconds: float) -> None:
        """Add the length of a recording, or of one of its channels."""
        for place, part in hours_of_day(start, 0.0, seconds).items():
            self.recorded[place] += part

    def add(self, found: Found) -> None:
        """Add the events of a recording whose start is known."""
        for onset, offset, _ in found.events.tolist():
            hours = hours_of_day(found.start, onset, offset)
            for place, part in hours.items():
                self.found[found.label][place] += part

    def of_day(self, seconds: Dict[Tuple[str, int], float]) -> Dict[int, float]:
        """Seconds by hour of the day, summed over dates."""
        total: Dict[int, float] = defaultdict(float)
        for (_, hour), part in seconds.items():
            total[hour] += part
        return total

    def write(self, path: Path) -> None:
        """Write minutes by date and hour."""
        rows = [
            [date, hour, f"{seconds / 60:.3f}"]
            + [f"{self.found[k][date, hour] / 60:.3f}" for k in self.labels]
            for (date, hour), seconds in sorted(self.recorded.items())
        ]
        names = [f"{label}_minutes" for label in self.labels]
        write_table(path, (*HOUR_COLUMNS, *names), rows)


def require_own_tables(out: Path) -> None:
    """Refuse to replace tables of a user."""
    require_own(out / EVENTS, EVENT_COLUMNS)
    require_own(out / SUMMARY, SUMMARY_COLUMNS)
    require_own(out / FAILURES, FAILURE_COLUMNS)
    require_own(out / HOURS, HOUR_COLUMNS)


def write_failures(failures: List[Failure], path: Path) -> None:
    """Write what could not be scored, and why; a header alone if all was."""
    rows = [[f.path, _cell(f.channel), f.reason] for f in failures]
    write_table(path, FAILURE_COLUMNS, rows)


def _cell(channel: Optional[int]):
    return "" if channel is None else channel
