"""A sound event in a recording, and events from the cells of a file."""

import math
import re
from dataclasses import dataclass, field
from typing import Mapping, NamedTuple, Optional, Sequence

from data_prep.files.errors import InputError, require
from data_prep.files.missing import is_missing

#: Times are rounded by the programs that write them; seconds.
TOLERANCE_S = 1e-3
#: 1:02.5 is a minute, 2.5 seconds; 1:00:02,5 an hour and those.
_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d{1,2}(?:[.,]\d*)?)", re.ASCII)


@dataclass(frozen=True)
class Event:
    """A sound event: times in seconds from the beginning of the recording.

    Example
    -------
    >>> Event(1.5, 2.25, "cry").duration_s
    0.75
    """

    onset_s: float
    offset_s: float  #: equal to the onset for a point in time
    label: str
    score: Optional[float] = None  #: of a detector
    recording: str = ""  #: path or name of the audio, as the format gives it
    tier: str = ""  #: annotator or tier
    channel: Optional[int] = None  #: the first is 1
    #: why a review gives no label; empty: it is not the reason
    unreviewed: str = field(default="", repr=False)

    @property
    def duration_s(self) -> float:
        """Length of the event."""
        return self.offset_s - self.onset_s


class Annotation(NamedTuple):
    """Events of a recording, to be written to a file."""

    events: Sequence[Event]  #: in the order of time
    recording: str = ""  #: file name of the audio, for events that name none
    duration_s: Optional[float] = None  #: length of the recording, if known


def event_of(
    source: str, cells: Mapping[str, str], names: Mapping[str, str] = {}
) -> Event:
    """Make an event of cells by our names: onset, offset or duration, and
    perhaps the other fields; `names` are those of the file, for messages.

    Example
    -------
    >>> event_of("row 2", {"onset": "1:02,5", "duration": "1", "label": "cry"})
    Event(onset_s=62.5, offset_s=63.5, label='cry', score=None, recording='',
    tier='', channel=None)
    """

    def number(name, read=as_seconds):
        return read(source, names.get(name, name), cells[name])

    onset = number("onset")
    if cells.get("offset") or "duration" not in cells:
        offset = number("offset")
    else:
        offset = onset + number("duration")
    is_scored = not is_missing(cells.get("score", ""))
    channel = cells.get("channel", "")
    return checked_event(
        source,
        onset,
        offset,
        cells.get("label", ""),
        score=number("score", as_number) if is_scored else None,
        recording=cells.get("recording", ""),
        tier=cells.get("tier", ""),
        channel=None if is_missing(channel) else as_channel(source, channel),
    )


def checked_event(
    source: str, onset_s: float, offset_s: float, label: str, **others
) -> Event:
    """Make the event of a row; refuse times that cannot be right.

    Example
    -------
    >>> checked_event("a.csv row 2", 3.0, 1.0, "cry")
    Traceback (most recent call last):
    ...
    data_prep.files.errors.InputError: a.csv row 2: the event ends at 1 s, \
before it begins at 3 s; correct the times
    """
    require(
        onset_s >= -TOLERANCE_S,
        f"{source}: the event begins at {onset_s:g} s",
        "times count from the beginning of the recording; correct it",
    )
    require(
        offset_s >= onset_s - TOLERANCE_S,
        f"{source}: the event ends at {offset_s:g} s, before it begins at "
        f"{onset_s:g} s",
        "correct the times",
    )
    onset_s = max(0.0, onset_s)
    return Event(onset_s, max(onset_s, offset_s), label.strip(), **others)


def as_number(source: str, name: str, cell: str) -> float:
    """Number in a cell, with a decimal point or comma; refuses other text."""
    try:
        number = float(cell.strip().replace(",", "."))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(
            f"{source}: {name} is {cell.strip()!r}; expected a number, such as "
            "12.5"
        )
    return number


def as_seconds(source: str, name: str, cell: str) -> float:
    """Seconds in a cell: a number, or hours, minutes and seconds.

    Example
    -------
    >>> [as_seconds("", "onset", text) for text in ("1,5", "1:02.5", "1:00:00")]
    [1.5, 62.5, 3600.0]
    """
    clock = _CLOCK.fullmatch(cell.strip())
    if clock is None:
        return as_number(source, name, cell)
    seconds = float(clock[3].replace(",", "."))
    return 3600 * int(clock[1] or 0) + 60 * int(clock[2]) + seconds


def as_channel(source: str, cell: str) -> int:
    """Channel in a cell; the first is 1."""
    number = as_number(source, "the channel", cell)
    require(
        number.is_integer() and 1 <= number <= 1000,
        f"{source}: the channel is {cell.strip()}",
        "channels are 1, 2 and so on",
    )
    return int(number)


def time_text(seconds: float) -> str:
    """Seconds to the microsecond, without zeros at the end."""
    return repr(round(float(seconds), 6))
