"""When recordings began, and the hours of the day that they span.

Time is counted from the start as it elapses: where clocks change at summer
time, a night has seven or nine hours of eight, and 02:30 may come twice or not
at all.
"""

import re
from datetime import datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from zoneinfo import ZoneInfo

from data_prep.annotations.recording_names import RecordingNames
from data_prep.files.errors import InputError, require
from data_prep.files.tables import read_table

#: Names that recorders give: 20260312_231500 (AudioMoth, Song Meter, LENA),
#: 2026-03-12 23.15.00 (telephones); 260312-231500 (Zoom). A time without
#: seconds needs a separator: 20260312_0001 is a date and a number.
_NAMES = (
    re.compile(
        r"(?<!\d)((?:19|20)\d\d)([-_.]?)(\d\d)\2(\d\d)[-_. T]{0,3}(?:at )?"
        r"(\d\d)(?:[-_.:h](\d\d)(?:[-_.:m](\d\d))?|(\d\d)(\d\d))(?!\d)"
    ),
    re.compile(r"(?<!\d)(\d\d)()(\d\d)(\d\d)[-_](\d\d)()()(\d\d)(\d\d)(?!\d)"),
)
_HOUR_S = 3600.0


class Clock(NamedTuple):
    """Zones of the recorder's clock and of the times that are written; both
    None if unknown."""

    recorder: Optional[tzinfo] = None
    shown: Optional[tzinfo] = None

    def start(self, local: datetime) -> datetime:
        """Start in the zone that is shown, from the recorder's clock. A time
        that comes twice is the first of the two."""
        if local.tzinfo is None and self.recorder is not None:
            local = local.replace(tzinfo=self.recorder)
        if local.tzinfo is None or self.shown is None:
            return local
        return local.astimezone(timezone.utc).astimezone(self.shown)

    def doubt(self, local: datetime) -> str:
        """Reason why a time of the recorder's clock is not one moment, empty
        for one that is."""
        if local.tzinfo is not None or self.recorder is None:
            return ""
        first, second = (
            local.replace(tzinfo=self.recorder, fold=fold).utcoffset()
            for fold in (0, 1)
        )
        if first == second:
            return ""
        if first > second:
            return "comes twice that night, the first is taken"
        return "does not exist, the clock was not changed to summer time"


def zone(name: Optional[str], option: str) -> Optional[tzinfo]:
    """Time zone of a name such as Europe/Oslo or UTC."""
    if name is None:
        return None
    try:
        return timezone.utc if name.upper() == "UTC" else ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise InputError(
            f"{option} is {name}, which this machine does not know; pass a "
            "name such as Europe/Oslo or UTC (on Windows, pip install tzdata)"
        )


def moment(start: datetime, seconds: float) -> datetime:
    """Time so many seconds after a start."""
    elapsed = timedelta(seconds=float(seconds))
    if start.tzinfo is None:
        return start + elapsed
    # Python adds to the hands of the clock within one zone.
    later = start.astimezone(timezone.utc) + elapsed
    return later.astimezone(start.tzinfo)


def written(time: Optional[datetime]) -> str:
    """Text of a time, with the offset of its zone; empty for None."""
    return "" if time is None else time.isoformat(timespec="milliseconds")


def start_in_name(path: str) -> Optional[datetime]:
    """Start that a recorder has written into a file's name; None without one.

    Example
    -------
    >>> start_in_name("a/20260312_231500.WAV").isoformat()
    '2026-03-12T23:15:00'
    >>> start_in_name("e20260312_231500_012345.wav").hour  # LENA
    23
    >>> start_in_name("20260312_0001.wav"), start_in_name("20261312_231500.wav")
    (None, None)
    """
    for pattern in _NAMES:
        match = pattern.search(Path(path).stem)
        if match:
            year, _, month, day, hour, *time = match.groups()
            minute, second = time[:2] if time[0] else time[2:]
            century = 2000 if len(year) == 2 else 0
            numbers = [century + int(year), month, day, hour, minute]
            try:
                return datetime(*map(int, numbers), int(second or 0))
            except ValueError:  # digits that are not a time
                continue
    return None


class Starts:
    """Starts of recordings, from a user's table or from their names."""

    def __init__(
        self,
        clock: Clock,
        table: Optional[str] = None,
        recordings: Sequence[str] = (),
    ):
        self.clock = clock
        self._starts, self._where = _read_starts(table), f"--starts {table}"
        self._names = RecordingNames(self._starts, recordings)
        #: Recordings and starts from names, and doubtful ones.
        self.from_names: List[Tuple[str, datetime]] = []
        self.doubtful: List[str] = []

    def __call__(self, path: str) -> Optional[datetime]:
        """Start of a recording; None if it is unknown."""
        name = self._names.unique(path, self._where)
        local = self._starts.get(name)
        if local is None:
            local = start_in_name(path)
            if local is None:
                return None
            self.from_names.append((path, local))
        doubt = self.clock.doubt(local)
        if doubt:
            self.doubtful.append(f"{path} begins at {local}, which {doubt}")
        return self.clock.start(local)


def _read_starts(path: Optional[str]) -> Dict[str, datetime]:
    """Table with the columns recording and start."""
    starts = {}
    for source, cells in (
        [] if path is None else read_table(Path(path), ["recording", "start"])
    ):
        name, text = cells["recording"], cells["start"]
        require(
            name not in starts, f"{source}: {name} is listed twice", "keep one"
        )
        try:
            starts[name] = datetime.fromisoformat(text)
        except ValueError:
            raise InputError(
                f"{source}: start is {text!r}; write 2026-03-12 23:15:00, with "
                "an offset (+01:00) if it is not that of the recorder's clock"
            )
    return starts


def hours_of_day(
    start: datetime, onset_s: float, offset_s: float
) -> Dict[Tuple[str, int], float]:
    """Seconds of an interval by date and hour of the day.

    Example
    -------
    >>> hours_of_day(datetime(2026, 3, 12, 23, 30), 0.0, 3600.0)
    {('2026-03-12', 23): 1800.0, ('2026-03-13', 0): 1800.0}
    """
    seconds: Dict[Tuple[str, int], float] = {}
    while onset_s < offset_s:
        now = moment(start, onset_s)
        passed = 60 * now.minute + now.second + now.microsecond / 1e6
        step = min(_HOUR_S - passed, offset_s - onset_s)
        place = now.date().isoformat(), now.hour
        seconds[place] = seconds.get(place, 0.0) + step
        onset_s += step
    return seconds
