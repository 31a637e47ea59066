"""Parts of long recordings that become the rows of a database."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Tuple

from data_prep.annotations.event import TOLERANCE_S, Event
from data_prep.annotations.labels import chosen
from data_prep.annotations.options import Options
from data_prep.files.errors import require
from data_prep.files.identifiers import cleaned
from data_prep.files.missing import is_missing

#: Origins of segments.
ANNOTATED, NEGATIVE, HARD = "annotated", "negative", "hard negative"
#: Reasons, in the words of the report.
PAST_END = "past the end of the audio"
TOO_SHORT = "shorter than --least_s"
NOT_CHOSEN = "of other labels or tiers"
UNLABELLED = "without a label"
CUT_OFF, MERGED = "cut off at the end of the audio", "merged with another"
OVERLAP, TWICE = "kept that overlap another", "with the times of another"


@dataclass(frozen=True)
class Segment:
    """A part of a recording, in seconds."""

    start: float
    stop: float
    label: str
    channel: Optional[int] = None  #: the first is 1; None: the mean of all
    kind: str = ANNOTATED

    @property
    def seconds(self) -> float:
        """Length of the segment."""
        return self.stop - self.start


@dataclass
class Recording:
    """A long recording, its annotation, and what becomes of it."""

    path: str  #: below the folder of the audio
    cells: Dict[str, str]  #: of its row: the patient, and the user's columns
    seconds: float
    n_channels: int
    rate: int  #: Hz
    events: List[Event]
    marks: List[Event] = field(default_factory=list)  #: detections
    segments: List[Segment] = field(default_factory=list)


@dataclass
class Tally:
    """Numbers of events and files that were changed or left out."""

    counts: Counter = field(default_factory=Counter)
    files: Counter = field(default_factory=Counter)  #: of whole files
    #: recording, onset, offset, label, reason
    rows: List[Tuple] = field(default_factory=list)
    n_without_place: int = 0  #: negatives
    is_rest_silent: bool = False  #: why some have none

    def leave_out_file(self, name: str, reason: str) -> None:
        """Count a recording, or an annotation file, that is left out."""
        self.files[reason] += 1
        self.rows.append((name, "", "", "", reason))

    def leave_out(self, name: str, times: Tuple, label, reason: str) -> None:
        """Count an event of a recording that is left out."""
        self.counts[reason] += 1
        self.rows.append((name, *times, label, reason))

    def words(self) -> str:
        """Numbers of events by what became of them."""
        words = []
        for reason, n in self.counts.most_common():
            labels = Counter(row[3] for row in self.rows if row[-1] == reason)
            some = ", ".join(label for label, _ in labels.most_common(3))
            is_shown = reason == NOT_CHOSEN and some
            if n:
                words.append(f"{n} {reason}" + f" ({some})" * bool(is_shown))
        return ", ".join(words) or "none left out"


def annotated_segments(
    recording: Recording, options: Options, tally: Tally
) -> List[Segment]:
    """Segments of the chosen events of a recording, in order of time."""
    segments = []
    for event in recording.events:
        require(
            event.channel is None or event.channel <= recording.n_channels,
            f"{recording.path} has {recording.n_channels} channels, and the "
            f"event at {event.onset_s:g} s names channel {event.channel}",
            "correct it",
        )
        kept = chosen(event, options)
        times, reason = (event.onset_s, event.offset_s), None
        if event.onset_s >= recording.seconds - TOLERANCE_S:
            reason = PAST_END
        elif kept is None:
            is_empty = is_missing(cleaned(event.label))
            reason = UNLABELLED if is_empty else NOT_CHOSEN
            reason = event.unreviewed or reason
        if reason:
            tally.leave_out(recording.path, times, event.label, reason)
            continue
        stop = min(event.offset_s, recording.seconds)
        tally.counts[CUT_OFF] += stop < event.offset_s - TOLERANCE_S
        channel = event.channel if recording.n_channels > 1 else None
        segments.append(Segment(event.onset_s, stop, kept.label, channel))
    segments.sort(key=lambda s: (s.start, s.stop, s.label))
    segments = _merged(segments, options.overlaps == "merge", tally)
    for segment in segments:
        if segment.seconds < options.least_s:
            times = segment.start, segment.stop
            tally.leave_out(recording.path, times, segment.label, TOO_SHORT)
    return [s for s in segments if s.seconds >= options.least_s]


def _merged(
    segments: List[Segment], merge: bool, tally: Tally
) -> List[Segment]:
    """Merge segments that overlap with the same label and channel; count other
    overlaps."""
    last: Dict[Tuple, int] = {}
    kept: List[Segment] = []
    reach = -1.0
    for segment in segments:
        key = segment.label, segment.channel
        i = last.get(key)
        if i is not None and segment.start < kept[i].stop and merge:
            stop = max(kept[i].stop, segment.stop)
            kept[i] = Segment(kept[i].start, stop, *key)
            tally.counts[MERGED] += 1
        else:
            tally.counts[OVERLAP] += segment.start < reach - TOLERANCE_S
            last[key] = len(kept)
            kept.append(segment)
        reach = max(reach, segment.stop)
    return kept


def each_once(
    recording: Recording, options: Options, tally: Tally
) -> List[Segment]:
    """Keep one of the segments with the same times and channel: a sound cannot
    have two labels. The label that --labels names first is kept."""
    order = [*dict.fromkeys(options.labels.values())]
    rank = {label: i for i, label in enumerate(order)}
    kept: Dict[Tuple, Segment] = {}
    for segment in sorted(
        recording.segments, key=lambda s: rank.get(s.label, 0)
    ):
        times = segment.start, segment.stop
        key = round(times[0], 3), round(times[1], 3), segment.channel
        if kept.setdefault(key, segment) is not segment:
            tally.leave_out(recording.path, times, segment.label, TWICE)
    return sorted(kept.values(), key=lambda s: (s.start, s.stop))
