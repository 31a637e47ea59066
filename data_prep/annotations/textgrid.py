"""TextGrids of Praat: interval tiers and point tiers, in text files.

Praat reads such a file as a sequence of numbers between spaces, texts in
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
from typing import Iterator, List, Optional, Sequence, Tuple, Union

from data_prep.annotations.event import (
    Annotation,
    Event,
    checked_event,
    time_text,
)
from data_prep.annotations.text import read_text
from data_prep.annotations.tiers import TIER, tiers_of
from data_prep.files.errors import require
from data_prep.files.tables import write_text

INTERVALS, POINTS = "IntervalTier", "TextTier"
#: Label of an event without one: empty intervals are not events.
UNNAMED = "unnamed"
_TOKEN = re.compile(
    r'"(?P<text>(?:[^"]|"")*)"|![^\r\n]*|(?P<none><absent>)|<\w+>'
    r'|(?P<word>[^\s"]+)'
)
_NUMBER = re.compile(r"([+-]?\d+(?:[.,]\d*)?(?:[eE][+-]?\d+)?)[a-zA-Z]*")

Value = Union[str, float]


def fits(lines: Sequence[str]) -> bool:
    """Check for the first line of a text file of Praat."""
    return re.match(r'\s*File type\s*=\s*"oo\w+', lines[0]) is not None


def read(path: Path, encoding: Optional[str] = None) -> List[Event]:
    """Read the intervals with a text, and the points, of all tiers."""
    values = _Values(path, read_text(path, encoding))
    kind = values.next(str, "the type of the file")
    require(
        kind.startswith("ooTextFile"),
        f"{path} is a file of Praat, but not a text file",
        "save it with 'Save as text file'",
    )
    kind = values.next(str, "the class of the object")
    require(
        kind == "TextGrid",
        f"{path} holds a {kind} of Praat",
        "save the TextGrid alone, as a text file",
    )
    values.next(float, "the begin")
    values.next(float, "the end")
    n_tiers = values.count("the number of tiers")
    return [event for _ in range(n_tiers) for event in _tier(values)]


class _Values:
    """Values of a text file of Praat, in their order."""

    def __init__(self, path: Path, text: str):
        self.path = path
        self.row = ""  #: file and row of the last value
        self._values = _values(text.replace("\r\n", "\n").replace("\r", "\n"))

    def next(self, kind: type, name: str):
        """The next value, which must be of a kind."""
        value, row = next(self._values, (None, 0))
        require(
            value is not None,
            f"{self.path} ends before {name}",
            "it is cut off: save it again",
        )
        self.row = f"{self.path} row {row}"
        self._require(isinstance(value, kind), f"expected {name}")
        return value

    def count(self, name: str) -> int:
        """The next value, a number of parts."""
        number = self.next(float, name)
        is_count = number >= 0 and number.is_integer()
        self._require(is_count, f"{name} is {number:g}")
        return int(number)

    def _require(self, condition: bool, problem: str) -> None:
        cure = "the file is damaged: open it in Praat and save it again"
        require(condition, f"{self.row}: {problem}", cure)


def _values(text: str) -> Iterator[Tuple[Value, int]]:
    """Yield texts and numbers with their rows; ``<absent>`` is 0 tiers."""
    row, done = 1, 0
    for match in _TOKEN.finditer(text):
        row += text.count("\n", done, match.start())
        done = match.start()
        number = _NUMBER.fullmatch(match["word"] or "")
        if match["text"] is not None:
            yield match["text"].replace('""', '"'), row
        elif match["none"]:
            yield 0.0, row
        elif number is not None:
            yield float(number[1].replace(",", ".")), row


def _tier(values: _Values) -> Iterator[Event]:
    """Events of the next tier."""
    kind = values.next(str, "the class of a tier")
    require(
        kind in (INTERVALS, POINTS),
        f"{values.row}: the class of a tier is {kind!r}",
        f"expected {INTERVALS} or {POINTS}",
    )
    name = values.next(str, "the name of a tier").strip()
    values.next(float, "the begin of a tier")
    values.next(float, "the end of a tier")
    for _ in range(values.count("the size of a tier")):
        begin = end = values.next(float, "a time")
        source = values.row
        if kind == INTERVALS:
            end = values.next(float, "the end of an interval")
        label = values.next(str, "the text of an item")
        if label.strip() or kind == POINTS:
            yield checked_event(source, begin, end, label, tier=name)


def write(path: Path, annotation: Annotation) -> None:
    """Write a TextGrid in the long form, in UTF-8: events of no length in
    point tiers, others in interval tiers without overlaps."""
    events = annotation.events
    ends = [event.offset_s for event in events]
    end = max([annotation.duration_s or 0.0, *ends])
    tiers = []
    lasting = [event for event in events if event.duration_s > 0]
    points = [event for event in events if event.duration_s <= 0]
    if lasting or not points:
        for name, part in tiers_of(lasting).items():
            tiers.append((INTERVALS, name, _filled(part, end)))
    for name in dict.fromkeys(event.tier or TIER for event in points):
        part = [event for event in points if (event.tier or TIER) == name]
        items = [(event.onset_s, event.label or UNNAMED) for event in part]
        tiers.append((POINTS, f"{name} points", items))
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', ""]
    lines += ["xmin = 0", f"xmax = {time_text(end)}", "tiers? <exists>"]
    lines += [f"size = {len(tiers)}", "item []:"]
    for n, (kind, name, items) in enumerate(tiers, start=1):
        lines += [f"    item [{n}]:", f'        class = "{kind}"']
        lines += [f"        name = {_written(name)}", "        xmin = 0"]
        lines += [f"        xmax = {time_text(end)}", *_item_lines(kind, items)]
    write_text(path, "\n".join(lines) + "\n")


def _filled(events: Sequence[Event], end: float) -> List[Tuple[Value, ...]]:
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


def _item_lines(kind: str, items: Sequence[Tuple[Value, ...]]) -> List[str]:
    noun, names = "points", ("number", "mark")
    if kind == INTERVALS:
        noun, names = "intervals", ("xmin", "xmax", "text")
    lines = [f"        {noun}: size = {len(items)}"]
    for i, item in enumerate(items, start=1):
        lines.append(f"        {noun} [{i}]:")
        pairs = zip(names, map(_written, item))
        lines += [f"            {name} = {value}" for name, value in pairs]
    return lines


def _written(value: Value) -> str:
    if isinstance(value, str):
        return '"' + value.replace('"', '""') + '"'
    return time_text(value)
