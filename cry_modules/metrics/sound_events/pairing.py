"""Recordings of an annotation, each with its length, group and detections."""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Dict, Generic, List, Mapping, Optional, Tuple, TypeVar

from cry_modules.metrics.sound_events.comparison import HOUR_S, Recording
from cry_modules.metrics.sound_events.lists import Lists
from data_prep.annotations.recording_names import RecordingNames, parts_of
from data_prep.audio.folder import audio_files
from data_prep.audio.measure import header_facts
from data_prep.files.arguments import nearest
from data_prep.files.errors import InputError, not_a_file, require
from data_prep.files.identifiers import Spellings
from data_prep.files.missing import is_missing, refuse_damaged
from data_prep.files.option_values import Number, convert
from data_prep.files.tables import read_table

T = TypeVar("T", float, str)
#: Columns that name a recording or an infant, the first one found is taken.
_RECORDINGS = ("recording", "path", "recording_id", "file")
_INFANTS = ("patient", "patient_id", "infant")
DURATION = "duration_s"
#: An event may end so much past its recording: programs round.
_PAST_S = 0.1
_LONGEST_S = 8.64e6


@dataclass
class Table(Generic[T]):
    """Lengths of recordings, or their infants, by name."""

    where: str  #: file or folder
    entries: Dict[str, T] = field(default_factory=dict)
    tolerance: float = 0.0  #: of differences

    def lookup(self, recordings: Mapping[str, Recording]) -> Dict[str, T]:
        """Entry of each recording, by its key; refuse a recording without one
        or with several that differ."""
        theirs = [recording.name for recording in recordings.values()]
        names, result = RecordingNames(self.entries, theirs), {}
        for key, recording in recordings.items():
            matching = names.find(recording.name)
            if not matching:
                raise unknown_recording(
                    recording.name, self.where, names.keys(),
                    "add it, or correct the name of the recording",
                )  # fmt: skip
            result[key], *others = (self.entries[n] for n in matching)
            require(
                result[key] != 0,
                f"{self.where}: {matching[0]} cannot be opened, so its length "
                "is unknown",
                "try data_prep.convert, or pass --durations",
            )
            for name, other in zip(matching[1:], others):
                is_same = other == result[key]
                if self.tolerance:
                    is_same = abs(other - result[key]) <= self.tolerance
                require(
                    is_same,
                    f"{self.where} has {matching[0]} ({result[key]}) and {name} "
                    f"({other}) for {recording.name}",
                    "name recordings with their folder, or remove one",
                )
        return result


def unknown_recording(
    text: str, where: str, keys: List[str], cure: str
) -> InputError:
    """Make the ``InputError`` for a recording that a list does not have."""
    near = nearest("/".join(parts_of(text)), keys)
    return InputError(f"{where} does not have {text}{near}; {cure}")


def read_recordings(
    path: str, required: str
) -> Tuple[Table[float], Table[str]]:
    """Lengths and infants of a user's table of the recordings that were
    annotated, empty without the column; `required` is the one it must have."""
    rows = read_table(Path(path), [DURATION] if required == DURATION else [])
    columns = rows[0][1]
    named = next((name for name in _RECORDINGS if name in columns), None)
    infant = next((name for name in _INFANTS if name in columns), None)
    for name, is_there in (
        ("recording", named),
        (required, infant or DURATION in columns),
    ):
        require(
            bool(is_there),
            f"{path} has no column {name}, only {', '.join(columns)}",
            "add or rename it",
        )
    lengths, infants = Table(path, tolerance=_PAST_S), Table(path)
    spell, seen = Spellings("patient"), set()
    for source, cells in rows:
        name = cells[named]
        is_new = name not in seen
        require(is_new, f"{source}: {name} is listed twice", "keep one row")
        seen.add(name)
        if DURATION in columns:
            number = Number(0, 1e9, above=True)
            seconds = convert(f"{source}: {DURATION}", number, cells[DURATION])
            lengths.entries[name] = float(seconds)
        if infant:
            state = f"is {cells[infant]!r}" if cells[infant] else "is empty"
            is_there = not is_missing(cells[infant])
            require(is_there, f"{source}: {infant} {state}", "fill it in")
            refuse_damaged(source, infant, cells[infant], is_id=True)
            infants.entries[name] = spell(source, cells[infant])
    spell.report()
    return lengths, infants


def audio_durations(folder: str) -> Table[float]:
    """Length in seconds of each audio file of a folder, by its header."""
    require(Path(folder).is_dir(), not_a_file(folder), "pass a folder of audio")
    lengths = Table(folder, tolerance=_PAST_S)
    for name in audio_files(Path(folder)):
        facts = header_facts(Path(folder, name))
        lengths.entries[name] = 0.0 if facts is None else facts[0]
    return lengths


@dataclass
class Sources:
    """Tables in which lengths and infants of recordings are looked up."""

    lengths: Optional[Table[float]] = None  #: None: end of the last event
    infants: Optional[Table[str]] = None  #: None: each recording alone
    #: recordings that were annotated, with or without events
    listed: Dict[str, None] = field(default_factory=dict)


def paired(
    annotated: Lists, detected: Lists, sources: Sources, where: str
) -> Tuple[List[Recording], List[str]]:
    """Recordings with both lists, and notes for the user.

    Every recording that is annotated (in the file or folder `where`), or listed
    by the user as such, is judged: one without detections has all its events
    missed. Detections in another recording are refused: nobody can say whether
    they are false.
    """
    judged = {**annotated, **sources.listed}
    key = RecordingNames(judged, detected).key
    by_key: Dict[str, Recording] = {}
    for text in judged:
        recording = Recording(text, math.nan, group=key(text))
        by_key.setdefault(key(text), recording)
        by_key[key(text)].annotated += annotated.get(text, [])
    for text, events in detected.items():
        if events and key(text) not in by_key:
            raise unknown_recording(
                text, where, list(by_key),
                "rename it, or, if it was annotated and has no event, list it "
                "in a table with --durations or --recordings",
            )  # fmt: skip
        if events:
            by_key[key(text)].detected += events
    require(bool(by_key), f"{where} has no events", "pass annotations")
    notes = _add_lengths(by_key, sources.lengths)
    if sources.infants is not None:
        for k, infant in sources.infants.lookup(by_key).items():
            by_key[k].group = infant
    return [*by_key.values()], notes


def _add_lengths(
    by_key: Dict[str, Recording], lengths: Optional[Table[float]]
) -> List[str]:
    """Add the length of each recording; cut off what ends past it."""
    notes, n_cut = [], 0
    if lengths is None:
        notes.append(
            "the end of the last event is taken as the length of each "
            "recording, which overstates false alarms an hour; pass --audio or "
            "--durations"
        )
    seconds_of = lengths.lookup(by_key) if lengths is not None else {}
    for k, recording in by_key.items():
        events = recording.annotated + recording.detected
        end = max((event.offset_s for event in events), default=0.0)
        recording.duration_s = seconds_of.get(k, end)
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
        n_cut += _cut(recording)
    if n_cut:
        notes.append(f"{n_cut} events end past their recording, and are cut")
    return notes


def _cut(recording: Recording) -> int:
    """Cut off what events have past the end; return their number. Refuse
    events that begin there."""
    n_cut, end = 0, recording.duration_s
    for side in ("annotated", "detected"):
        events = getattr(recording, side)
        for i, event in enumerate(events):
            require(
                event.onset_s <= end + _PAST_S,
                f"{recording.name} is {end:.1f} s long ({end / HOUR_S:.2f} h), "
                f"and an event of it is {side} at {event.onset_s:.1f} s",
                "check that both are of one recording, and lengths in seconds",
            )
            n_cut += event.offset_s > end + _PAST_S
            onset, offset = min(event.onset_s, end), min(event.offset_s, end)
            events[i] = replace(event, onset_s=onset, offset_s=offset)
    return n_cut
