"""Formats of annotations: which a file has, reading and writing it."""

from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence

from data_prep.annotations.event import Event
from data_prep.annotations.event_table import (
    read_event_table,
    write_event_table,
)
from data_prep.files.errors import require


class Format(NamedTuple):
    """A format of annotations.

    The reader takes a path and an encoding (None: recognised) and returns
    events. The writer takes a path, events, the name of their recording and
    its length in seconds (None: unknown).
    """

    suffix: str  #: of files that are written, with its point
    reader: Callable[[Path, Optional[str]], List[Event]]
    writer: Callable[[Path, Sequence[Event], str, Optional[float]], None]


FORMATS: Dict[str, Format] = {
    "csv": Format(".csv", read_event_table, write_event_table),
}


def require_format(format: str, option: str = "--format") -> Format:
    """The format of a name, which errors call by its option."""
    require(
        format in FORMATS,
        f"{option} is {format!r}",
        f"pass one of {', '.join(FORMATS)}",
    )
    return FORMATS[format]


def read_events(
    path: Path, format: Optional[str] = None, encoding: Optional[str] = None
) -> List[Event]:
    """Read the events of an annotation file, in the order of time.

    Parameters
    ----------
    path : Path
        The file. What its events lack stays empty: the recording in formats
        that hold events of one recording, the score, the tier, the channel.
    format : str, optional
        A key of ``FORMATS``; by default recognised by suffix and content.
    encoding : str, optional
        Encoding of the text; by default Unicode as marked, else CP1252.

    Raises
    ------
    InputError
        For a file that is missing, of no known format, or holds a row that
        cannot be right, with file and row.
    """
    path = Path(path)
    reader = require_format(format or format_of(path, encoding)).reader
    return sorted(reader(path, encoding), key=_in_time)


def write_events(
    path: Path,
    events: Sequence[Event],
    format: Optional[str] = None,
    recording: str = "",
    duration_s: Optional[float] = None,
) -> None:
    """Write the events of a recording to an annotation file, atomically.

    Parameters
    ----------
    path : Path
        The file, complete or absent whatever interrupts.
    events : list of Event
        In any order.
    format : str, optional
        A key of ``FORMATS``; by default that of the suffix.
    recording : str
        File name of the audio, for events that name none.
    duration_s : float, optional
        Length of the recording in seconds, which some formats state.
    """
    path = Path(path)
    writer = require_format(format or format_of(path)).writer
    writer(path, sorted(events, key=_in_time), recording, duration_s)


def _in_time(event: Event):
    return event.recording, event.onset_s, event.offset_s


def format_of(path: Path, encoding: Optional[str] = None) -> str:
    """Name of a file's format, by its suffix and its content."""
    return "csv"
