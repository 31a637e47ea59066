"""Formats of annotations: which a file has, reading and writing it."""

from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence

from data_prep.annotations import (
    audacity,
    elan,
    elan_text,
    event_table,
    raven,
    rttm,
    textgrid,
)
from data_prep.annotations.event import Annotation, Event
from data_prep.annotations.text import read_rows
from data_prep.files.errors import require


class Format(NamedTuple):
    """A format of annotations."""

    suffix: str  #: of files that are written, with its point
    fits: Callable[[Sequence[str]], bool]  #: by lines that are not empty
    read: Callable[[Path, Optional[str]], List[Event]]  #: path and encoding
    write: Callable[[Path, Annotation], None]


FORMATS: Dict[str, Format] = {
    "audacity": Format(".txt", audacity.fits, audacity.read, audacity.write),
    "raven": Format(".selections.txt", raven.fits, raven.read, raven.write),
    "textgrid": Format(
        ".TextGrid", textgrid.fits, textgrid.read, textgrid.write
    ),
    "rttm": Format(".rttm", rttm.fits, rttm.read, rttm.write),
    "elan": Format(elan.SUFFIX, elan_text.fits, elan.read, elan.write),
    # The last: a label track is a table without a header, too.
    "csv": Format(
        ".csv", event_table.fits, event_table.read, event_table.write
    ),
}
#: Formats of suffixes that only they have, in lower case.
_BY_SUFFIX = {
    **{".textgrid": "textgrid", ".rttm": "rttm", elan.SUFFIX: "elan"},
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
    kind = require_format(format or format_of(path, encoding))
    return sorted(kind.read(path, encoding), key=_in_time)


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
    events = sorted(events, key=_in_time)
    kind = require_format(format or _written_format(path))
    kind.write(path, Annotation(events, recording, duration_s))


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
    suffix = Path(path).suffix.lower()
    if suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix]
    lines = [line for _, line in read_rows(path, encoding)][:20]
    # A label track without labels is exported as an empty file.
    otherwise = "csv" if suffix in _TABLES else "" if lines else "audacity"
    fitting = (
        name for name, kind in FORMATS.items() if lines and kind.fits(lines)
    )
    format = next(fitting, otherwise)
    require(
        bool(format),
        f"{path} is in none of the formats {', '.join(FORMATS)}",
        "export the annotations again, pass --format, or move it away",
    )
    return format
