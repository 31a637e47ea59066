"""Recordings of an annotation, each with its length, group and detections."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from cry_modules.metrics.sound_events.comparison import HOUR_S, Recording
from cry_modules.metrics.sound_events.lists import (
    Lookup,
    Names,
    unknown_recording,
)
from data_prep.annotations.event import Event
from data_prep.audio.decode import open_audio
from data_prep.audio.folder import audio_files
from data_prep.files.errors import InputError, not_a_file, require
from data_prep.files.identifiers import Spellings
from data_prep.files.option_values import Number, Unfit
from data_prep.files.tables import read_table

Lists = Mapping[str, List[Event]]
#: Columns that name a recording, the first one found is taken.
_NAMED = ("recording", "path", "recording_id", "file")
_GROUPS = ("patient", "patient_id", "infant")
DURATION = "duration_s"
#: An event may end so much past its recording: programs round.
_PAST_S = 0.1
_LONGEST_S = 8.64e6
_MOST_FRAMES = 1 << 40


class Table(NamedTuple):
    """A user's table of the recordings that were annotated."""

    path: Path
    durations: Dict[str, float]  #: by name, empty without the column
    groups: Dict[str, str]  #: the same of infants


def read_recordings(path: str, required: str = "") -> Table:
    """Read a table of recordings; `required` names a column it must have."""
    rows = read_table(Path(path), [DURATION] if required == DURATION else [])
    columns = rows[0][1].keys()
    named = next((name for name in _NAMED if name in columns), None)
    require(
        named is not None,
        f"{path} has no column recording, only {', '.join(columns)}",
        "add or rename it",
    )
    group = next((name for name in _GROUPS if name in columns), None)
    require(
        required != "patient" or group is not None or DURATION in columns,
        f"{path} has no column patient, only {', '.join(columns)}",
        "add or rename it",
    )
    table = Table(Path(path), {}, {})
    number, spell = Number(0, 1e9, above=True), Spellings("patient")
    for source, cells in rows:
        name = cells[named]
        require(
            name not in table.durations and name not in table.groups,
            f"{source}: {name} is listed twice",
            "keep the correct row",
        )
        if DURATION in columns:
            try:
                table.durations[name] = float(number(cells[DURATION]))
            except Unfit as error:
                raise InputError(f"{source}: {DURATION} {error}")
        if group:
            require(
                bool(cells[group]), f"{source}: {group} is empty", "fill it in"
            )
            table.groups[name] = spell(source, cells[group])
    spell.report()
    return table


def audio_durations(folder: str) -> Dict[str, float]:
    """Length in seconds of each audio file of a folder, by its header."""
    require(Path(folder).is_dir(), not_a_file(folder), "pass a folder of audio")
    durations = {}
    for name in audio_files(Path(folder)):
        try:
            with open_audio(str(Path(folder, name))) as file:
                if 0 < file.frames < _MOST_FRAMES:
                    durations[name] = file.frames / file.samplerate
        except RuntimeError:  # soundfile's: said if an annotation needs it
            continue
    return durations


class Sources(NamedTuple):
    """Tables in which lengths and infants of recordings are looked up."""

    durations: Optional[Lookup] = None  #: None: end of the last event
    groups: Optional[Lookup] = None  #: None: each recording alone
    listed: Sequence[str] = ()  #: recordings that were annotated


def paired(
    annotated: Lists, detected: Lists, sources: Sources, where: str
) -> Tuple[List[Recording], List[str]]:
    """Recordings with both lists, and notes for the user.

    Every recording that is annotated (in the file or folder `where`), or listed
    by the user as such, is judged: one without detections has all its events
    missed. Detections in another recording are refused: nobody can say whether
    they are false.
    """
    key = Names([*annotated, *sources.listed], detected).key
    by_key: Dict[str, Recording] = {}
    for text in [*annotated, *sources.listed]:
        by_key.setdefault(key(text), Recording(text, math.nan))
    for text, events in annotated.items():
        by_key[key(text)].annotated += events
    for text, events in detected.items():
        if events and key(text) not in by_key:
            raise unknown_recording(
                text, where, by_key,
                "rename it, or, if it was annotated and has no event, list it "
                "in a table with --durations or --recordings",
            )  # fmt: skip
        if events:
            by_key[key(text)].detected += events
    require(bool(by_key), f"{where} has no events", "pass annotations")
    recordings = list(by_key.values())
    notes = _add_lengths(recordings, sources.durations)
    for k, recording in by_key.items():
        recording.group = k
        if sources.groups is not None:
            recording.group = _agreed(sources.groups, recording.name)
    silent = [r.name for r in recordings if not r.detected]
    if silent:
        notes.append(
            f"{len(silent)} of {len(recordings)} recordings have no "
            f"detections, such as {silent[0]}: all their events count as missed"
        )
    return recordings, notes


def _agreed(lookup: Lookup, name: str, tolerance: float = 0):
    """The value of a recording, on which all its entries must agree."""
    (text, value), *others = lookup(name).items()
    for other, another in others:
        same = another == value
        if tolerance:
            same = abs(another - value) <= tolerance
        require(
            same,
            f"{lookup.where} has {text} ({value}) and {other} ({another}) for "
            f"{name}",
            "name recordings with their folder, or remove one",
        )
    return value


def _add_lengths(recordings, durations: Optional[Lookup]) -> List[str]:
    """Add the length of each recording; cut off what ends past it."""
    notes, n_cut = [], 0
    if durations is None:
        notes.append(
            "the end of the last event is taken as the length of each "
            "recording, which overstates false alarms an hour; pass --audio or "
            "--durations"
        )
    for recording in recordings:
        if durations is None:
            events = recording.annotated + recording.detected
            ends = [event.offset_s for event in events]
            recording.duration_s = max(ends, default=0.0)
        else:
            recording.duration_s = _agreed(durations, recording.name, _PAST_S)
            n_cut += _cut(recording)
        require(
            recording.duration_s > 0,
            f"{recording.name} has no event with a duration, so its length is "
            "unknown",
            "pass --audio or --durations",
        )
        require(
            recording.duration_s <= _LONGEST_S,
            f"{recording.name} is {recording.duration_s:.0f} s long, more than "
            "100 days",
            "check that times are in seconds",
        )
    if n_cut:
        notes.append(f"{n_cut} events end past their recording, and are cut")
    return notes


def _cut(recording: Recording) -> int:
    """Cut off what events have past the end; return their number. Refuse
    events that begin there."""
    n_cut, end = 0, recording.duration_s
    for side in ("annotated", "detected"):
        kept = []
        for event in getattr(recording, side):
            require(
                event.onset_s <= end + _PAST_S,
                f"{recording.name} is {end:.1f} s long ({end / HOUR_S:.2f} h), "
                f"and an event of it is {side} at {event.onset_s:.1f} s",
                "check that both are of one recording, and lengths in seconds",
            )
            n_cut += event.offset_s > end + _PAST_S
            onset, offset = min(event.onset_s, end), min(event.offset_s, end)
            kept.append(replace(event, onset_s=onset, offset_s=offset))
        setattr(recording, side, kept)
    return n_cut
