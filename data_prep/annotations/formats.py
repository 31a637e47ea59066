"""Formats of annotations: which a file has, reading and writing it."""

from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence

from data_prep.annotations.audacity import (
    is_audacity,
    read_audacity,
    write_audacity,
)
from data_prep.annotations.elan import (
    SUFFIX as EAF,
    read_elan,
    write_elan,
)
from data_prep.annotations.elan_text import is_elan_text
from data_prep.annotations.event import Event
from data_prep.annotations.event_table import (
    is_event_table,
    read_event_table,
    write_event_table,
)
from data_prep.annotations.raven import is_raven, read_raven, write_raven
from data_prep.annotations.rttm import is_rttm, read_rttm, write_rttm
from data_prep.annotations.text import read_rows
from data_prep.annotations.textgrid import (
    is_textgrid,
    read_textgrid,
    write_textgrid,
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
    "audacity": Format(".txt", read_audacity, write_audacity),
    "raven": Format(".selections.txt", read_raven, write_raven),
    "textgrid": Format(".TextGrid", read_textgrid, write_textgrid),
    "rttm": Format(".rttm", read_rttm, write_rttm),
    "elan": Format(EAF, read_elan, write_elan),
    "csv": Format(".csv", read_event_table, write_event_table),
}
#: Suffixes of one format, in lower case.
_BY_SUFFIX = {
    **{".textgrid": "textgrid", ".rttm": "rttm", EAF: "elan"},
    **{".xlsx": "csv", ".xlsm": "csv"},
}
_TABLES = (".csv", ".tsv")
#: Suffixes of annotation files, in lower case.
SUFFIXES = (*_BY_SUFFIX, ".txt", *_TABLES)


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

    Example
    -------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "night.TextGrid")
    ...     write_events(path, [Event(1.5, 2.0, "cry")], duration_s=60.0)
    ...     read_events(path)
    [Event(onset_s=1.5, offset_s=2.0, label='cry', score=None, recording='',
    tier='events', channel=None)]
    """
    path = Path(path)
    format = format or _written_format(path)
    writer = require_format(format).writer
    writer(path, sorted(events, key=_in_time), recording, duration_s)


def _written_format(path: Path) -> str:
    """Format of a file to write by its suffix; the longest one counts."""
    name = path.name.lower()
    fits = [
        (len(kind.suffix), format)
        for format, kind in FORMATS.items()
        if name.endswith(kind.suffix.lower())
    ]
    require(
        bool(fits),
        f"{path} has no suffix of a format of annotations",
        f"name it {', '.join(kind.suffix for kind in FORMATS.values())}",
    )
    return max(fits)[1]


def _in_time(event: Event):
    return event.recording, event.onset_s, event.offset_s


def format_of(path: Path, encoding: Optional[str] = None) -> str:
    """Name of the format of an existing file, by its suffix and content."""
    by_suffix = _BY_SUFFIX.get(Path(path).suffix.lower())
    if by_suffix is not None:
        return by_suffix
    lines = [line for line in read_rows(path, encoding) if line.strip()][:20]
    if not lines:
        # The export of a label track without labels.
        return "csv" if Path(path).suffix.lower() in _TABLES else "audacity"
    if is_textgrid(lines[0]):
        return "textgrid"
    if lines[0].lstrip().startswith("<"):
        return "elan"
    for name, fits in (
        ("raven", is_raven),
        ("rttm", is_rttm),
        ("elan", is_elan_text),
        ("audacity", is_audacity),
    ):
        if fits(lines):
            return name
    is_table = Path(path).suffix.lower() in _TABLES or is_event_table(lines)
    require(
        is_table,
        f"{path} is in none of the formats {', '.join(FORMATS)}",
        "export the annotations again, pass --format, or move it away",
    )
    return "csv"
