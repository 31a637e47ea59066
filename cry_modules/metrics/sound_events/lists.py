"""Event lists of recordings, from a file or a folder of any format."""

from pathlib import Path
from typing import Dict, List, Mapping, Optional

from data_prep.annotations.event import Event
from data_prep.annotations.formats import SUFFIXES, format_of, read_events
from data_prep.audio.folder import files_below
from data_prep.files.errors import not_a_file, require

Lists = Mapping[str, List[Event]]
#: What a folder of detections holds if one table has them all.
TABLE = "events.csv"
#: Formats whose events name their recording: no events, no recording.
_NAMING = ("csv", "rttm")


def read_lists(
    source: Path, format: Optional[str], option: str
) -> Dict[str, List[Event]]:
    """Events by the name of their recording as it is written there.

    A folder is read at any depth, or its ``events.csv`` alone where it has one.
    A file without events, in a format of one recording, is a recording without
    events.
    """
    source = Path(source)
    require(
        source.exists(), not_a_file(source), "pass a file or folder of events"
    )
    files = {source: format or ""}
    if source.is_dir():
        files = _files(source, format, option)
    lists: Dict[str, List[Event]] = {}
    for file, kind in files.items():
        kind = kind or format_of(file)
        events = read_events(file, kind)
        name = (
            file.relative_to(source) if source.is_dir() else file
        ).as_posix()
        if not events and kind not in _NAMING:
            lists.setdefault(name, [])
        for event in events:
            lists.setdefault(event.recording or name, []).append(event)
    return lists


def _files(folder: Path, format: Optional[str], option: str) -> Dict[Path, str]:
    """Files of events in a folder and their format, which must be one."""
    if format in (None, "csv") and (folder / TABLE).is_file():
        return {folder / TABLE: "csv"}
    files = {
        folder / name: format_of(folder / name)
        for name in sorted(files_below(folder))
        if name.lower().endswith(SUFFIXES)
    }
    formats = sorted({*files.values()})
    if format is not None:
        files = {file: kind for file, kind in files.items() if kind == format}
    require(
        bool(files),
        f"{folder} holds no file of events ({', '.join(formats) or 'none'})",
        "pass the folder or file that does",
    )
    require(
        len({*files.values()}) == 1,
        f"{folder} holds files of several formats ({', '.join(formats)}), "
        "perhaps of the same events",
        f"name one with {option}, or pass one file",
    )
    return files


def of_channel(lists: Lists, channel: Optional[int], source: str) -> Lists:
    """Events of one channel, and those that name none. Without a channel,
    events of several in one recording are refused: each sound would count
    twice."""
    result = {}
    for name, events in lists.items():
        channels = sorted({e.channel for e in events} - {None})
        require(
            channel is not None or len(channels) < 2,
            f"{source} has events of channels {', '.join(map(str, channels))} "
            f"of {name}",
            "judge one at a time with --channel",
        )
        kept = (None, channel) if channel else (None, *channels)
        result[name] = [event for event in events if event.channel in kept]
    return result
