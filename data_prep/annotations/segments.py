"""Parts of long recordings that become the rows of a database."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Sequence, Tuple

from data_prep.annotations.event import TOLERANCE_S, Event
from data_prep.annotations.labels import Choice, chosen
from data_prep.files.identifiers import cleaned
from data_prep.files.missing import is_missing

#: Origins of segments.
ANNOTATED, NEGATIVE, HARD = "annotated", "negative", "hard negative"


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
class Tally:
    """Numbers of events and files that were changed or left out."""

    counts: Counter = field(default_factory=Counter)
    files: Counter = field(default_factory=Counter)  #: of whole files
    #: recording, onset, offset, label, reason
    rows: List[Tuple] = field(default_factory=list)

    def leave_out_file(self, name: str, reason: str) -> None:
        """Count a recording, or an annotation file, that is left out."""
        self.files[reason] += 1
        self.rows.append((name, "", "", "", reason))

    def leave_out(self, recording: str, event: Event, reason: str) -> None:
        """Count an event that is left out."""
        self.counts[reason] += 1
        times = event.onset_s, event.offset_s
        self.rows.append((recording, *times, event.label, reason))


#: Reasons, in the words of the report.
PAST_END = "past the end of the audio"
TOO_SHORT = "shorter than --least_s"
NOT_CHOSEN = "of other labels or tiers"
UNLABELLED = "without a label"
CUT_OFF, MERGED = "cut off at the end of the audio", "merged with another"
OVERLAP = "kept that overlap another"


def segments_of(
    recording: str,
    events: Sequence[Event],
    duration_s: float,
    choice: Choice,
    least_s: float,
    merge: bool,
    tally: Tally,
) -> List[Segment]:
    """Segments of the chosen events of a recording, in order of time."""
    segments = []
    for event in events:
        kept = chosen(event, choice)
        if event.onset_s >= duration_s - TOLERANCE_S:
            tally.leave_out(recording, event, PAST_END)
        elif kept is None:
            is_empty = is_missing(cleaned(event.label))
            reason = UNLABELLED if is_empty else NOT_CHOSEN
            tally.leave_out(recording, event, reason)
        else:
            stop = min(event.offset_s, duration_s)
            tally.counts[CUT_OFF] += stop < event.offset_s - TOLERANCE_S
            segment = Segment(event.onset_s, stop, kept.label, event.channel)
            segments.append(segment)
    segments.sort(key=lambda s: (s.start, s.stop, s.label))
    segments = _merged(segments, merge, tally)
    long_enough = []
    for segment in segments:
        if segment.seconds >= least_s:
            long_enough.append(segment)
        else:
            event = Event(segment.start, segment.stop, segment.label)
            tally.leave_out(recording, event, TOO_SHORT)
    return long_enough


def _merged(
    segments: Sequence[Segment], merge: bool, tally: Tally
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
