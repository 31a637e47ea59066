"""Recordings to embed: files, folders, a manifest, a table of recordings, or
the events in them."""

import hashlib
import json
import os
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from cry_modules.inference.command import list_recordings
from data_prep import manifest
from data_prep.annotations.columns import columns_of, plain
from data_prep.annotations.event_table import read as read_events
from data_prep.annotations.recording_names import RecordingNames
from data_prep.audio.folder import AUDIO, TABLES, files_below, find_files
from data_prep.audio.measure import header_facts
from data_prep.audio.packs import pack_at
from data_prep.corpora.database import TABLE, read_database
from data_prep.corpora.listing import prepared_from
from data_prep.files.errors import not_a_file, require
from data_prep.files.identifiers import identity
from data_prep.files.tables import Named, read_lines


class Item(NamedTuple):
    """A recording, or a part of one."""

    ID: str
    path: str  #: of its file; empty if that is missing
    start: float = 0.0  #: seconds
    stop: Optional[float] = None  #: seconds; None: its end
    patient: str = ""
    kind: str = "recording"  #: or event


def list_items(
    names: Sequence[str],
    data_folder: Optional[str] = None,
    named: Optional[Named] = None,
) -> List[Item]:
    """Recordings of a table, or audio files and those of folders."""
    tables = [n for n in names if n.lower().endswith(TABLES)]
    if not tables:
        require(
            data_folder is None,
            f"--data_folder {data_folder} is for the paths in a table",
            "pass a manifest or a recordings.csv, or leave it out",
        )
        for name in names:
            known = os.path.join(name, TABLE)
            require(os.path.exists(name), not_a_file(name), "correct the path")
            require(
                not os.path.isfile(known),
                f"{name} holds {TABLE}, whose patients would be left out",
                f"pass {known}, or its sub-folder of audio",
            )
        return [Item(path, path) for path in list_recordings(names)]
    require(
        len(names) == 1,
        f"{tables[0]} is a table, and {len(names)} names are given",
        "pass one table, or audio files and folders",
    )
    return _of_table(Path(tables[0]), data_folder, named)


def _of_table(
    table: Path, data_folder: Optional[str], named: Optional[Named]
) -> List[Item]:
    # The header may stand below a title.
    lines = list(map(set, read_lines(table)[:20]))
    if any(map(_is_of_events, lines)):
        return _of_events(table, data_folder)
    is_manifest = any({"ID", "wav", "start", "stop"} <= line for line in lines)
    if is_manifest:
        recordings = manifest.read(table)
    else:
        recordings = [rec for rec, _ in read_database(table, [], named)]
    root = data_folder or prepared_from(table.parent) or str(table.parent)
    require(
        os.path.isdir(root),
        f"{root}, at which the paths in {table} begin, is not a folder",
        "pass --data_folder",
    )
    require(
        pack_at(Path(root)) is None,
        f"{root} is a pack, which only training reads",
        "pass the folder that was packed with --data_folder",
    )
    spelt = find_files(Path(root), [rec.wav for rec in recordings])
    require(
        any(spelt.values()),
        f"none of the {len(spelt)} files in {table} is in {root}",
        "pass the folder that their paths begin at with --data_folder",
    )
    return [
        Item(
            rec.ID,
            os.path.join(root, spelt[rec.wav]) if spelt[rec.wav] else "",
            rec.start,
            rec.stop if is_manifest else None,
            rec.patient_id,
        )
        for rec in recordings
    ]


def _is_of_events(line: Iterable[str]) -> bool:
    """Check for the header of a table of events in recordings, as
    ``cry_modules.detect`` and ``cry_modules.review`` write it."""
    named = {"onset", "offset"} <= set(map(plain, line))
    return named and "recording" in columns_of(list(line))


def _of_events(table: Path, data_folder: Optional[str]) -> List[Item]:
    """Events of a table, in the recordings of a folder, which are found by
    their names, as in a review."""
    root = Path(data_folder or table.parent)
    cure = "pass the folder of the recordings with --data_folder"
    require(root.is_dir(), f"{root} is not a folder", cure)
    names = [name for name in files_below(root) if name.lower().endswith(AUDIO)]
    files, events = RecordingNames(names), read_events(table)
    require(bool(events), f"{table} has no events", "pass another table")
    path_of = {
        name: files.unique(name, str(root)) if name else None
        for name in {event.recording for event in events}
    }
    require(
        any(path_of.values()),
        f"{table} is a table of events, and none of its recordings, such as "
        f"{events[0].recording}, is in {root}",
        cure,
    )
    for event in events:
        path = path_of[event.recording]
        facts = path and event.channel and header_facts(root / path)
        require(
            not facts or facts[1] == 1,
            f"{table} has an event of channel {event.channel} of "
            f"{event.recording}, and channels are mixed here",
            "cut the events with data_prep.annotations, and pass its "
            "recordings.csv",
        )
    return [
        Item(
            event.recording,
            os.path.join(root, path) if path else "",
            event.onset_s,
            event.offset_s,
            kind="event",
        )
        for event in events
        for path in [path_of[event.recording]]
    ]


def pseudonyms(items: Sequence[Item]) -> List[Tuple[str, str]]:
    """Names of recordings and infants that say nothing: ``recording 1``,
    ``infant 1``, in the order of the table.

    Example
    -------
    >>> items = [Item("a", "", 0, 1, "Ann"), Item("b", "", 0, 1, "ann")]
    >>> pseudonyms(items)
    [('recording 1', 'infant 1'), ('recording 2', 'infant 1')]
    """
    infants: Dict[str, str] = {}
    recordings: Dict[str, int] = {}  # several events are of one
    names = []
    for item in items:
        i = recordings.setdefault(item.ID, len(recordings) + 1)
        key, infant = identity(item.patient), ""
        if item.patient:
            infant = infants.setdefault(key, f"infant {len(infants) + 1}")
        names.append((f"recording {i}", infant))
    return names


def fingerprint(items: Sequence[Item]) -> str:
    """Identity of recordings: what is listed, and the sizes and times of the
    files."""
    digest = hashlib.blake2b(digest_size=16)
    for item in items:
        state: List = [*item]
        if os.path.exists(item.path):
            now = os.stat(item.path)
            state += [now.st_size, now.st_mtime_ns]
        digest.update(json.dumps(state).encode())
    return digest.hexdigest()
