"""Segments of annotated recordings, as a database to train on."""

import zlib
from collections import Counter
from functools import partial
from pathlib import Path
from statistics import median
from typing import List

import numpy as np

from data_prep.annotations.clips import is_audible
from data_prep.annotations.labels import in_tiers
from data_prep.annotations.negatives import Negatives, free_spans
from data_prep.annotations.options import Options
from data_prep.annotations.segments import (
    ANNOTATED,
    HARD,
    PAST_END,
    Recording,
    Tally,
    annotated_segments,
    each_once,
)
from data_prep.corpora.preparation import shortened_list
from data_prep.files.errors import require
from data_prep.files.identifiers import identity
from data_prep.files.words import count, duration_in_words

#: A larger share of events past the end is a mistake of the user.
MOST_PAST_END = 0.5


def add_segments(
    recordings: List[Recording], root: Path, options: Options, tally: Tally
) -> None:
    """Add segments of the annotated events and of the negatives between them to
    the recordings below `root`."""
    for recording in recordings:
        recording.segments = annotated_segments(recording, options, tally)
    _require_inside(recordings, tally)
    require(
        any(recording.segments for recording in recordings),
        f"no event is left ({tally.words()})",
        "correct --labels, --tiers or --least_s",
    )
    if options.negatives:
        _add_negatives(recordings, root, options, tally)
    for recording in recordings:
        recording.segments = each_once(recording, options, tally)


def _require_inside(recordings: List[Recording], tally: Tally) -> None:
    """Refuse annotations that are mostly past the end of their audio."""
    n_events = sum(len(recording.events) for recording in recordings)
    n_past = tally.counts[PAST_END]
    path, onset, *_ = next(
        (row for row in tally.rows if row[-1] == PAST_END), ("", 0.0)
    )
    seconds = sum(r.seconds for r in recordings if r.path == path)
    require(
        n_past <= MOST_PAST_END * n_events,
        f"{n_past} of {n_events} events are past the end of their audio, such "
        f"as one at {onset:g} s of {path}, which lasts {seconds:g} s",
        "check that times are in seconds, and that annotations and audio "
        "belong together",
    )


def _add_negatives(
    recordings: List[Recording], root: Path, options: Options, tally: Tally
) -> None:
    """Add hard negatives and drawn ones to the segments of each recording, by
    its events that are not negatives themselves."""
    label = options.negative_label
    positives = [
        [s for s in recording.segments if s.label != label]
        for recording in recordings
    ]
    require(
        any(positives),
        f"all events have the label of the negatives, {label!r}",
        "pass another --negative_label, or --negatives 0",
    )
    lengths = [s.seconds for segments in positives for s in segments]
    usual = median(len(segments) for segments in positives if segments)
    for recording, segments in zip(recordings, positives):
        n = round(options.negatives * (len(segments) or usual))
        # Away from all events of the chosen tiers, whatever their label.
        near = [event for event in recording.events if in_tiers(event, options)]
        negatives = Negatives(
            free_spans(near, recording.seconds, options.margin_s),
            [segment.seconds for segment in segments] or lengths,
            sorted({s.channel for s in segments}, key=str) or [None],
            label,
            np.random.default_rng(
                [options.seed, zlib.crc32(recording.path.encode())]
            ),
            partial(is_audible, root / recording.path),
        )
        negatives.add_hard(recording.marks, n)
        negatives.add_drawn(n - len(negatives.segments))
        n_missing = n - len(negatives.segments)
        tally.n_without_place += n_missing
        tally.is_rest_silent |= n_missing > 0 and negatives.found_silence
        drawn = sorted(negatives.segments, key=lambda s: s.start)
        recording.segments += drawn


def summary(recordings: List[Recording], tally: Tally) -> str:
    """One line on a database: recordings, their length, segments by label, and
    what was left out."""
    total = sum(recording.seconds for recording in recordings)
    patients = {identity(r.cells["patient_id"]) for r in recordings}
    segments = [s for recording in recordings for s in recording.segments]
    segments.sort(key=lambda segment: segment.kind != ANNOTATED)
    labels = Counter(segment.label for segment in segments)
    seconds = sum(segment.seconds for segment in segments)
    line = (
        f"{count(len(recordings), 'recording')} of "
        f"{count(len(patients), 'patient')}, {duration_in_words(total)}; "
        f"{duration_in_words(seconds)} of clips: "
        + shortened_list([f"{n} {label}" for label, n in labels.items()])
    )
    n_hard = sum(segment.kind == HARD for segment in segments)
    if n_hard:
        line += f" ({count(n_hard, 'hard negative')})"
    if tally.n_without_place:
        line += f", {count(tally.n_without_place, 'negative')} found no place"
        line += " (the rest is silent)" * tally.is_rest_silent
    line += f"; events: {tally.words()}"
    n_rates = len({recording.rate for recording in recordings})
    if n_rates > 1:
        line += f"; {n_rates} sample rates, which clips keep"
    files = [f"{reason}: {n}" for reason, n in tally.files.items()]
    return "; ".join([line, *files])
