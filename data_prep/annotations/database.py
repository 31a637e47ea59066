"""A clinical database out of annotations of long recordings."""

import logging
import zlib
from collections import Counter
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from data_prep.annotations.event import Event
from data_prep.annotations.labels import Choice, in_tiers
from data_prep.annotations.negatives import (
    Spans,
    drawn_negatives,
    free_spans,
    hard_negatives,
    without,
)
from data_prep.annotations.segments import (
    ANNOTATED,
    HARD,
    NOT_CHOSEN,
    PAST_END,
    Segment,
    Tally,
    segments_of,
)
from data_prep.corpora.preparation import shortened_list
from data_prep.files.errors import InputError, require
from data_prep.files.identifiers import identity

logger = logging.getLogger(__name__)

#: A larger share of events past the end is a mistake of the user.
MOST_PAST_END = 0.5


class Facts(NamedTuple):
    """Facts of a recording's header."""

    seconds: float
    channels: int
    rate: int  #: Hz


@dataclass
class Options:
    """Options that decide which segments a recording gives."""

    choice: Choice = Choice({})
    least_s: float = 0.2  #: shorter events are left out
    merge: bool = True  #: overlapping events of one label and channel
    mix: bool = False  #: cut the mean of all channels, whatever events name
    negatives: float = 1.0  #: number for each annotated event
    negative_label: str = "other"
    margin_s: float = 1.0  #: between an event and a negative
    seed: int = 0
    positive: Optional[str] = None  #: class of the manifests; None: the last


@dataclass
class Segments:
    """Segments of all recordings, and what was left out."""

    tally: Tally
    of: Dict[str, List[Segment]] = field(default_factory=dict)  #: by recording
    n_missing: int = 0  #: negatives that found no place


def all_segments(
    events_of: Dict[str, List[Event]],
    marks_of: Dict[str, List[Event]],
    facts_of: Dict[str, Facts],
    options: Options,
    tally: Tally,
) -> Segments:
    """Segments of the annotated events and of the negatives between them."""
    result = Segments(tally)
    for path, events in events_of.items():
        facts = facts_of[path]
        if not options.mix:
            _require_channels(path, events, facts.channels)
        if options.mix or facts.channels == 1:
            events = [replace(event, channel=None) for event in events]
        result.of[path] = segments_of(
            path,
            events,
            facts.seconds,
            options.choice,
            options.least_s,
            options.merge,
            tally,
        )
    _require_inside(events_of, facts_of, tally)
    require(
        any(result.of.values()),
        f"no event is left ({words_of(tally)})",
        "correct --labels, --tiers or --least_s",
    )
    if options.negatives:
        _add_negatives(events_of, marks_of, facts_of, options, result)
    for path, segments in result.of.items():
        result.of[path] = _each_once(path, segments, options, tally)
    return result


def _require_channels(path: str, events: Sequence[Event], n: int) -> None:
    """Refuse a channel that the recording does not have."""
    for event in events:
        require(
            event.channel is None or event.channel <= n,
            f"{path} has {n} channels, and the event at {event.onset_s:g} s "
            f"names channel {event.channel}",
            "correct it, or pass --channels mix",
        )


def _require_inside(events_of, facts_of, tally: Tally) -> None:
    """Refuse annotations that are mostly past the end of their audio."""
    n_events = sum(map(len, events_of.values()))
    if tally.counts[PAST_END] <= MOST_PAST_END * n_events:
        return
    path, onset = next(row[:2] for row in tally.rows if row[-1] == PAST_END)
    raise InputError(
        f"{tally.counts[PAST_END]} of {n_events} events are past the end of "
        f"their audio, such as one at {onset:g} s of {path}, which lasts "
        f"{facts_of[path].seconds:g} s; check that times are in seconds, and "
        "that annotations and audio belong together"
    )


def _add_negatives(events_of, marks_of, facts_of, options, result) -> None:
    """Add hard negatives and drawn ones to the segments of each recording."""
    numbers = [len(part) for part in result.of.values() if part]
    lengths = [s.seconds for part in result.of.values() for s in part]
    usual = round(options.negatives * median(numbers))
    for path, segments in result.of.items():
        n = round(options.negatives * len(segments)) if segments else usual
        similar = [segment.seconds for segment in segments] or lengths
        spans = _free(events_of[path], facts_of[path], options)
        channels = sorted({s.channel for s in segments}, key=str) or [None]
        rng = np.random.default_rng([options.seed, zlib.crc32(path.encode())])
        added = hard_negatives(
            marks_of.get(path, []),
            similar,
            n,
            spans,
            options.negative_label,
            channels,
            rng,
        )
        for segment in added:
            spans = without(spans, segment.start, segment.stop)
        added += drawn_negatives(
            similar,
            n - len(added),
            spans,
            options.negative_label,
            channels,
            rng,
        )
        result.n_missing += n - len(added)
        segments += sorted(added, key=lambda segment: segment.start)


def _free(events: Sequence[Event], facts: Facts, options: Options) -> Spans:
    """Parts of a recording that are away from all events of the chosen tiers,
    whatever their label."""
    near = [event for event in events if in_tiers(event, options.choice)]
    return free_spans(near, facts.seconds, options.margin_s)


def _each_once(
    path: str, segments: List[Segment], options: Options, tally: Tally
) -> List[Segment]:
    """Keep one of the segments with the same times and channel: a sound cannot
    have two labels. The label that --labels names first is kept."""
    order = list(dict.fromkeys(options.choice.labels.values()))
    rank = {label: i for i, label in enumerate(order)}
    kept: Dict[Tuple, Segment] = {}
    for segment in sorted(segments, key=lambda s: rank.get(s.label, 0)):
        key = round(segment.start, 3), round(segment.stop, 3), segment.channel
        if key in kept:
            event = Event(segment.start, segment.stop, segment.label)
            tally.leave_out(path, event, "with the times of another")
        kept.setdefault(key, segment)
    return sorted(kept.values(), key=lambda s: (s.start, s.stop))


def words_of(tally: Tally) -> str:
    """Numbers of events by what became of them."""
    words = []
    for reason, n in tally.counts.most_common():
        labels = Counter(row[3] for row in tally.rows if row[-1] == reason)
        some = ", ".join(label for label, _ in labels.most_common(3))
        shown = reason == NOT_CHOSEN and some
        words += [f"{n} {reason}" + (f" ({some})" if shown else "")] * (n > 0)
    return ", ".join(words) or "none left out"


def summary(
    result: Segments,
    facts_of: Dict[str, Facts],
    patient_of: Dict[str, str],
) -> str:
    """One line on a database: recordings, hours, segments by label, and what
    was left out."""
    hours = sum(facts_of[path].seconds for path in result.of) / 3600
    patients = {identity(patient_of[path]) for path in result.of}
    segments = [s for part in result.of.values() for s in part]
    segments.sort(key=lambda segment: segment.kind != ANNOTATED)
    labels = Counter(segment.label for segment in segments)
    seconds = sum(segment.seconds for segment in segments)
    line = (
        f"{len(result.of)} recordings of {len(patients)} patients, "
        f"{hours:.2f} hours; {seconds / 3600:.2f} hours are cut: "
        + shortened_list([f"{n} {label}" for label, n in labels.items()])
    )
    n_hard = sum(segment.kind == HARD for segment in segments)
    if n_hard:
        line += f" ({n_hard} hard negatives)"
    if result.n_missing:
        line += f", {result.n_missing} negatives found no place"
    line += f"; events: {words_of(result.tally)}"
    rates = Counter(facts_of[path].rate for path in result.of)
    if len(rates) > 1:
        line += f"; {len(rates)} sample rates, which clips keep"
    files = [f"{reason}: {n}" for reason, n in result.tally.files.items()]
    return "; ".join([line, *files])
