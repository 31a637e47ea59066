"""Files that a detection leaves behind."""

import sys
from pathlib import Path
from typing import Dict, List

import numpy as np

from cry_modules.detect.command import Plan
from cry_modules.detect.events import cell_edges, find_events, searched
from cry_modules.detect.scoring import Failure, Track
from cry_modules.detect.tables import (
    EVENT_COLUMNS,
    EVENTS,
    FAILURES,
    HOURS,
    SUMMARY,
    SUMMARY_COLUMNS,
    Found,
    Hours,
    write_failures,
)
from cry_modules.inference.command import warn_of_comparison
from cry_modules.inference.detector import Detector
from cry_modules.inference.scores import FileScore
from data_prep.annotations.event import Event
from data_prep.annotations.formats import FORMATS, write_events
from data_prep.files.atomic import make_folder
from data_prep.files.journal import Journal
from data_prep.files.tables import write_table
from data_prep.files.words import count

HOURS_PICTURE = "hours.png"
#: Events that cover more of the audio than this are doubtful.
_MOST_SHARE = 0.5
_PICTURE = 4  # increment when pictures change


class Results:
    """Events of all recordings, and the files that hold them."""

    def __init__(self, plan: Plan, out: Path, has_pictures: bool):
        self.plan, self.out, self.has_pictures = plan, out, has_pictures
        self.classes = plan.scorer.classifier.hparams.classes
        self.failures: List[Failure] = []
        self._events: List[List] = []
        self._summary: List[List] = []
        self._compared: List[FileScore] = []
        self._hours = Hours(plan.labels)
        self._seconds = 0.0
        self._highest: Dict[str, float] = {}  # score of each class
        self._n_recordings = self._n_dated = 0

    def add(self, path: str, name: str) -> None:
        """Score a recording and write its files; `name` is that of these."""
        with self.plan.scorer.journal(name) as journal:
            rules = self.plan.rules.items()
            lows = {self.classes.index(name): rule.low for name, rule in rules}
            tracks, failures = self.plan.scorer.tracks(path, journal, lows)
            self.failures += failures
            if not tracks:
                return
            start = self.plan.starts(path)
            self._n_recordings += 1
            self._n_dated += start is not None
            events: List[Event] = []
            for track in tracks:
                found = self._found(track, start)
                self._keep(track, found)
                events += [e for part in found for e in part.as_events()]
                if self.has_pictures:
                    self._draw(name, track, found, journal)
        duration_s = max(track.audit.duration for track in tracks)
        for format in self.plan.formats:
            suffix = FORMATS[format].suffix
            file = make_folder(self.out / format) / f"{name}{suffix}"
            recording = Path(path).name
            write_events(file, events, format, recording, duration_s)

    def _found(self, track: Track, start) -> List[Found]:
        """Events of each class."""
        edges = cell_edges(track.starts, track.stops, track.audit.duration)
        found = []
        for label, rule in self.plan.rules.items():
            scores = track.scores[:, self.classes.index(label)]
            scores = searched(scores, track.first_pass, rule.low)
            events = find_events(edges, scores, rule)
            path, channel = track.audit.path, track.channel
            found.append(Found(path, channel, label, events, start))
        return found

    def _keep(self, track: Track, found: List[Found]) -> None:
        """Keep the rows of a track."""
        self._seconds += track.audit.duration
        self._compared.append(track.compared)
        for part in found:
            scores = track.scores[:, self.classes.index(part.label)]
            highest = np.nanmax(scores, initial=0.0)
            self._highest[part.label] = max(
                float(highest), self._highest.get(part.label, 0.0)
            )
            self._events += part.rows()
            self._summary.append(part.summary(track))
        start = found[0].start
        if start is not None:
            self._hours.add_recording(start, track.audit.duration)
            for part in found:
                self._hours.add(part)

    def _draw(self, name: str, track: Track, found, journal: Journal) -> None:
        """Draw a track, unless its picture is there."""
        # Imported here: tables alone do not need matplotlib.
        from cry_modules.detect.picture import Shown, draw_events, size_of
        from cry_modules.figures.style import picture, shortened

        channel = "" if track.channel is None else f".channel{track.channel}"
        path = self.out / "pictures" / f"{name}{channel}.png"
        key, source = f"picture {channel}", Path(track.audit.path)
        rules, start = list(self.plan.rules.items()), found[0].start
        drawn = repr((_PICTURE, rules, str(start), track.audit.duration))
        if path.is_file() and journal.get(key, source, True) == {
            "drawn": drawn
        }:
            return
        make_folder(path.parent)
        edges = cell_edges(track.starts, track.stops, track.audit.duration)
        shown = [
            Shown(
                part.label,
                track.scores[:, self.classes.index(part.label)],
                part.events,
                self.plan.rules[part.label],
            )
            for part in found
        ]
        title = shortened(source.name, 60)
        if track.channel is not None:
            title += f", channel {track.channel}"
        with picture(path, size_of(track.audit.duration)) as figure:
            draw_events(figure, edges, shown, title, start)
        journal.add(key, source, {"drawn": drawn})

    def write(self) -> None:
        """Write the tables, and warn of what is doubtful."""
        write_table(self.out / EVENTS, EVENT_COLUMNS, self._events)
        write_table(self.out / SUMMARY, SUMMARY_COLUMNS, self._summary)
        write_failures(self.failures, self.out / FAILURES)
        for name in (HOURS, HOURS_PICTURE):  # of an earlier run
            (self.out / name).unlink(missing_ok=True)
        if self._n_dated:
            self._write_hours()
        self._warn()

    def _write_hours(self) -> None:
        from cry_modules.detect.picture import HOURS_SIZE, draw_hours
        from cry_modules.figures.style import picture

        hours = self._hours
        hours.write(self.out / HOURS)
        recorded = hours.of_day(hours.recorded)
        found = {k: hours.of_day(part) for k, part in hours.found.items()}
        with picture(self.out / HOURS_PICTURE, HOURS_SIZE) as figure:
            draw_hours(figure, recorded, found)

    def _warn(self) -> None:
        """Print what is doubtful about starts and recordings."""
        starts, lines = self.plan.starts, []
        if starts.from_names:
            path, time = starts.from_names[0]
            zone = starts.clock.recorder
            n = len(starts.from_names)
            lines.append(
                f"starts: {n} of {self._n_recordings} from names, such as "
                f"{Path(path).name}: {time} "
                + (f"in {zone}" if zone else "in a zone that is not stated")
            )
        if self._n_dated < self._n_recordings and self._n_dated:
            n = self._n_recordings - self._n_dated
            lines.append(f"starts: {count(n, 'recording')} without one")
        if starts.doubtful:
            n = count(len(starts.doubtful), "start")
            lines.append(f"warning: {n} in doubt: {starts.doubtful[0]}")
        lines += [
            f"warning: events of {label} cover {share:.0%} of the audio; if that "
            "is too much, pass a higher --threshold, or choose it by "
            "--target_false_alarms_per_hour"
            for label in self.plan.labels
            if self._seconds
            and (share := self._seconds_of(label) / self._seconds) > _MOST_SHARE
        ]
        lines += [
            f"no event of {label}: the highest score is {highest:.3g}, and an "
            f"event opens at {self.plan.rules[label].high:.3g}; look at the "
            "scores in pictures/, and pass a lower --threshold if they rise "
            "where you hear one"
            for label, highest in self._highest.items()
            if not any(row[4] == label for row in self._events)
        ]
        for line in lines:
            print(line, file=sys.stderr)
        classifier = self.plan.scorer.classifier
        known = classifier.reference
        warn_of_comparison(
            self._compared,
            self.classes,
            known and known.training,
            Detector(classifier, self.plan.labels[0]),
        )

    def _seconds_of(self, label: str) -> float:
        """Length of all events of a class."""
        rows = [row for row in self._events if row[4] == label]
        return sum(float(row[3]) - float(row[2]) for row in rows)

    def summary_line(self) -> str:
        """Line on what was done."""
        parts = []
        for label in self.plan.labels:
            n = sum(row[4] == label for row in self._events)
            minutes = self._seconds_of(label) / 60
            parts.append(
                f"{count(n, 'event')} of {label}, {minutes:.1f} minutes"
            )
        line = (
            f"done: {count(self._n_recordings, 'recording')} of "
            f"{self._seconds / 3600:.2f} hours, {'; '.join(parts)}"
        )
        if self.failures:
            path, _, reason = self.failures[0]
            line += f"; {len(self.failures)} failed, such as {path} ({reason})"
        return f"{line}; tables in {self.out}"
