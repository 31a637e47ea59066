"""TextGrids of Praat: interval tiers and point tiers, in text files.

Praat reads such a file as a sequence of numbers that stand alone, texts in
double quotes (a quote within is doubled) and flags such as ``<exists>``; all
else, and what follows an exclamation mark in a line, is a comment for people.
So the long and the short form are one format: begin, end, ``<exists>``, the
number of tiers, and for each its class, name, begin, end, size and items: begin,
end and text of an interval, time and text of a point. The intervals of a tier
fill it; those without a text are the time between events. Files are in UTF-8 or
UTF-16; older ones in the encoding of their system.
"""

import re
from pathlib import Path
from typing import Iterator, List, NamedTuple, Optional, Sequence, Tuple

from data_prep.annotations.event import Event, checked_event, time_text
from data_prep.annotations.text import read_text
from data_prep.annotations.tiers import TIER, tiers_of
from data_prep.files.errors import InputError, require
from data_prep.files.tables import write_text

INTERVALS, POINTS = "IntervalTier", "TextTier"
_ABSENT = "<absent>"  #: in place of the tiers
#: Label of an event without one: empty intervals are not events.
UNNAMED = "unnamed"
_TOKEN = re.compile(
    r'"(?P<text>(?:[^"]|"")*)"|![^\r\n]*|(?P<flag><\w+>)|(?P<word>[^\s"]+)'
)
_NUMBER = re.compile(r"([+-]?\d+(?:[.,]\d*)?(?:[eE][+-]?\d+)?)[a-zA-Z]*")


class _Token(NamedTuple):
    value: object  #: a float, a text, or None for a flag
    begin: int  #: its place in the text


def is_textgrid(text: str) -> bool:
    """Check for the first line of a text file of Praat."""
    return re.match(r'\s*File type\s*=\s*"oo\w+', text) is not None


def read_textgrid(path: Path, encoding: Optional[str] = None) -> List[Event]:
    """Read the intervals with a text, and the points, of all tiers."""
    reader = _Reader(path, read_text(path, encoding))
    kind = reader.next(str, "the type of the file")
    require(
        kind.startswith("ooTextFile"),
        f"{path} is a file of Praat, but not a text file",
        "save it with 'Save as text file'",
    )
    kind = reader.next(str, "the class of the object")
    require(
        kind == "TextGrid",
        f"{path} holds a {kind} of Praat",
        "save the TextGrid alone, as a text file",
    )
    reader.next(float, "the begin")
    reader.next(float, "the end")
    if _ABSENT in reader.text and not reader.has_more():
        return []
    n_tiers = reader.count("the number of tiers")
    return [event for _ in range(n_tiers) for event in _tier(reader)]


class _Reader:
    """Values of a text file of Praat, in their order."""

    def __init__(self, path: Path, text: str):
        # One sign at the end of a line, by which rows are counted.
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        self.path, self.text = path, text
        self._tokens = _tokens(text)
        self._row, self._counted = 1, 0
        self._ahead = next(self._tokens, None)

    def has_more(self) -> bool:
        """Check for further values."""
        return self._ahead is not None

    def row(self) -> str:
        """File and row of the next value."""
        place = len(self.text) if self._ahead is None else self._ahead.begin
        self._row += self.text.count("\n", self._counted, place)
        self._counted = place
        return f"{self.path} row {self._row}"

    def next(self, kind: type, name: str):
        """The next value, which must be of a kind."""
        if self._ahead is None:
            raise InputError(
                f"{self.path} ends before {name}; it is cut off: save it again"
            )
        value = self._ahead.value
        require(
            isinstance(value, kind),
            f"{self.row()}: expected {name}",
            "the file is damaged: open it in Praat and save it again",
        )
        self._ahead = next(self._tokens, None)
        return value

    def count(self, name: str) -> int:
        """The next value, a number of parts."""
        source, number = self.row(), self.next(float, name)
        require(
            number >= 0 and number.is_integer(),
            f"{source}: {name} is {number:g}",
            "the file is damaged: open it in Praat and save it again",
        )
        return int(number)


def _tokens(text: str) -> Iterator[_Token]:
    for match in _TOKEN.finditer(text):
        if match["text"] is not None:
            yield _Token(match["text"].replace('""', '"'), match.start())
        elif match["word"] is not None:
            number = _NUMBER.fullmatch(match["word"])
            if number is not None:
                value = float(number[1].replace(",", "."))
                yield _Token(value, match.start())


def _tier(reader: _Reader) -> Iterator[Event]:
    """Events of the next tier."""
    kind = reader.next(str, "the class of a tier")
    require(
        kind in (INTERVALS, POINTS),
        f"{reader.row()}: the class of a tier is {kind!r}",
        f"expected {INTERVALS} or {POINTS}",
    )
    name = reader.next(str, "the name of a tier").strip()
    reader.next(float, "the begin of a tier")
    reader.next(float, "the end of a tier")
    for _ in range(reader.count("the size of a tier")):
        source = reader.row()
        begin = end = reader.next(float, "a time")
        if kind == INTERVALS:
            end = reader.next(float, "the end of an interval")
        label = reader.next(str, "the text of an item")
        if label.strip() or kind == POINTS:
            yield checked_event(source, begin, end, label, tier=name)


def write_textgrid(
    path: Path,
    events: Sequence[Event],
    recording: str = "",
    duration_s: Optional[float] = None,
) -> None:
    """Write a TextGrid in the long form, in UTF-8: events of no length in
    point tiers, others in interval tiers without overlaps."""
    end = max([duration_s or 0.0, *(event.offset_s for event in events)])
    tiers = []
    lasting = [event for event in events if event.duration_s > 0]
    points = [event for event in events if event.duration_s <= 0]
    if lasting or not points:
        for name, part in tiers_of(lasting).items():
            tiers.append((INTERVALS, name, _filled(part, end)))
    for name in dict.fromkeys(event.tier or TIER for event in points):
        part = [event for event in points if (event.tier or TIER) == name]
        names = [(e.onset_s, e.onset_s, e.label or UNNAMED) for e in part]
        tiers.append((POINTS, f"{name} points", names))
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0",
        f"xmax = {time_text(end)}",
        "tiers? <exists>",
        f"size = {len(tiers)}",
        "item []:",
    ]
    for n, tier in enumerate(tiers, start=1):
        lines += _tier_lines(n, *tier, end=end)
    write_text(path, "\n".join(lines) + "\n")


def _filled(
    events: Sequence[Event], end: float
) -> List[Tuple[float, float, str]]:
    """Intervals of a tier, with empty ones between the events."""
    intervals, done = [], 0.0
    for event in events:
        if event.onset_s > done:
            intervals.append((done, event.onset_s, ""))
        label = event.label or UNNAMED
        intervals.append((event.onset_s, event.offset_s, label))
        done = event.offset_s
    if end > done or not intervals:
        intervals.append((done, end, ""))
    return intervals


def _tier_lines(n: int, kind: str, name: str, items, end: float) -> List[str]:
    """Lines of a tier in the long form."""
    noun = "intervals" if kind == INTERVALS else "points"
    lines = [
        f"    item [{n}]:",
        f'        class = "{kind}"',
        f"        name = {_quoted(name)}",
        "        xmin = 0",
        f"        xmax = {time_text(end)}",
        f"        {noun}: size = {len(items)}",
    ]
    for i, (begin, stop, label) in enumerate(items, start=1):
        lines.append(f"        {noun} [{i}]:")
        if kind == INTERVALS:
            lines += [
                f"            xmin = {time_text(begin)}",
                f"            xmax = {time_text(stop)}",
                f"            text = {_quoted(label)}",
            ]
        else:
            lines += [
                f"            number = {time_text(begin)}",
                f"            mark = {_quoted(label)}",
            ]
    return lines


def _quoted(text: str) -> str:
    doubled = text.replace('"', '""')
    return f'"{doubled}"'
