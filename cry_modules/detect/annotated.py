"""Annotated recordings with their scores, to choose a threshold on."""

import sys
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence

import numpy as np
from tqdm import tqdm

from cry_modules.detect.events import cell_edges
from cry_modules.detect.scoring import Scorer
from cry_modules.detect.threshold import Scored
from cry_modules.metrics.sound_events.intervals import merged
from cry_modules.metrics.sound_events.lists import read_lists
from data_prep.annotations.event import Event
from data_prep.annotations.recording_names import RecordingNames
from data_prep.files.errors import require
from data_prep.files.identifiers import spelling
from data_prep.files.words import count

#: An event may begin so much past the end: programs round; seconds.
_PAST_S = 0.1


def annotated_recordings(
    names: Mapping[str, str], annotations: str, wanted: Sequence[str]
) -> Dict[str, List[Event]]:
    """Events with one of the labels `wanted`, by recording, of the recordings
    that are annotated; `names` are those of their files."""
    lists = read_lists(Path(annotations), None, "--annotations")
    _check_labels(lists, wanted, annotations)
    where = f"--annotations {annotations}"
    entries = RecordingNames(lists, names)
    pairs = [(path, entries.unique(path, where)) for path in names]
    found = {path: lists[name] for path, name in pairs if name is not None}
    require(
        bool(found),
        f"--annotations {annotations} has none of the recordings, but "
        f"{', '.join(list(lists)[:3]) or 'nothing'}",
        "let an annotation have the name of its recording",
    )
    others = [*lists.keys() - {name for _, name in pairs}]
    print(
        f"annotations: {len(found)} of {len(names)} recordings have some"
        + f"; not used: those of {count(len(others), 'recording')} that are not "
        f"among them, such as {min(others, default='')!r}" * bool(others),
        file=sys.stderr,
    )
    labels = {spelling(name) for name in wanted}
    chosen = {
        path: [e for e in events if spelling(e.label) in labels]
        for path, events in found.items()
    }
    points = [
        (path, event.onset_s)
        for path, events in chosen.items()
        for event in events
        if not event.duration_s
    ]
    if points:
        print(
            f"warning: {count(len(points), 'annotated event')} of zero length "
            f"cannot be found (the first: {points[0][0]} at {points[0][1]:g} s), "
            "so that detections there are false alarms; annotate its end",
            file=sys.stderr,
        )
    return chosen


def score_annotated(
    scorer: Scorer,
    names: Mapping[str, str],
    annotated: Mapping[str, List[Event]],
    label: str,
    floor: float,
) -> List[Scored]:
    """Score annotated recordings, by channel, finely around windows in which
    the class `label` reaches `floor`."""
    k = scorer.classifier.hparams.classes.index(label)
    result = []
    for path, events in tqdm(
        annotated.items(), desc="annotated", unit="file", dynamic_ncols=True
    ):
        with scorer.journal(names[path]) as journal:
            tracks, _ = scorer.tracks(path, journal, {k: floor})
        for track in tracks:
            end = track.audit.duration
            spans = _spans(events, track.channel, path, end)
            edges = cell_edges(track.starts, track.stops, end)
            scores = track.scores[:, k]
            result.append(Scored(path, edges, scores, spans, track.first_pass))
    require(
        bool(result),
        f"none of the {len(annotated)} annotated recordings can be read",
        "pass others, or see failures.csv of a run without --annotations",
    )
    return result


def _check_labels(
    lists: Dict[str, List[Event]], wanted: Sequence[str], annotations: str
) -> None:
    """Refuse labels that nobody has annotated: a misspelt one would make every
    event a false alarm."""
    known = {
        spelling(e.label): e.label for events in lists.values() for e in events
    }
    for name in wanted:
        require(
            not known or spelling(name) in known,
            f"--annotations {annotations} has no label {name}, but "
            f"{', '.join(sorted(known.values())[:10])}",
            "name those of what is detected by --annotated_label",
        )


def _spans(
    events: Sequence[Event], channel: Optional[int], path: str, end: float
) -> np.ndarray:
    """Onset and offset of the events of a channel, ``[m, 2]``, merged where
    they overlap and cut off at the end of the recording."""
    rows = []
    for event in events:
        if None not in (channel, event.channel) and channel != event.channel:
            continue
        require(
            event.onset_s <= end + _PAST_S,
            f"{path} has {end:.1f} s, and an event of its annotation begins at "
            f"{event.onset_s:.1f} s",
            "check that both are of one recording",
        )
        if event.onset_s < min(event.offset_s, end):
            rows.append((event.onset_s, min(event.offset_s, end)))
    return merged(np.array(sorted(rows)).reshape(-1, 2))
