"""Tab-delimited text that ELAN exports.

A line an annotation: tier, participant, then begin, end and duration in one or
more of three forms (``hh:mm:ss.ms``, ``ss.msec``, ``msec``), and the text. The
first line may name the columns. Exported with a column a tier, a line has the
times and a text for each tier that has an annotation then. Lines that begin
with ``"#`` name the media.
"""

import re
from pathlib import Path
from typing import Iterator, List, Optional, Sequence

from data_prep.annotations.event import (
    Annotation,
    Event,
    as_seconds,
    checked_event,
    time_text,
)
from data_prep.annotations.text import read_rows, tab_line
from data_prep.annotations.tiers import tiers_of
from data_prep.files.errors import require
from data_prep.files.identifiers import cleaned
from data_prep.files.tables import write_text

_COMMENTS = ('"#', "#")
#: Forms of times, the one that is read first.
_FORMS = ("ss.msec", "hh:mm:ss.ms", "msec")
_BEGIN, _END = (f"{name} Time - " for name in ("Begin", "End"))
#: Columns that hold no texts of annotations.
_OTHERS = re.compile(
    r"(Begin|End) Time\b.*|Duration\b.*|Tier|Participant|File( Path| Name)?"
    r"|Media.*"
)
_CLOCK, _MILLISECONDS = re.compile(r"\d+:\d\d:\d\d[.,]\d+"), re.compile(r"\d+")
_PATTERNS = (_CLOCK, re.compile(r"\d+[.,]\d+"), _MILLISECONDS)


def fits(lines: Sequence[str]) -> bool:
    """Check for the columns, or the times, of an export."""
    first = next((x for x in lines if not x.lstrip().startswith(_COMMENTS)), "")
    cells = [cleaned(cell) for cell in first.split("\t")]
    if len(cells) > 1 and any(cell.startswith(_BEGIN) for cell in cells):
        return True
    # A number as the second cell: a table of DCASE, with a file in front.
    return (
        len(cells) > 3
        and (_CLOCK.fullmatch(cells[1]) or not _is_time(cells[1]))
        and len(_times(cells[1:])) > 1
    )


def read(path: Path, encoding: Optional[str] = None) -> List[Event]:
    """Read the annotations of an export."""
    lines = [
        (source, [cell.strip() for cell in line.split("\t")])
        for source, line in read_rows(path, encoding)
        if not line.lstrip().startswith(_COMMENTS)
    ]
    header = [cleaned(cell) for cell in lines[0][1]] if lines else []
    if not any(name.startswith(_BEGIN) for name in header):
        return [_plain_event(source, cells) for source, cells in lines]
    columns = {*header}
    form = next((f for f in _FORMS if {_BEGIN + f, _END + f} <= columns), None)
    require(
        form is not None,
        f"{path} has no columns {_BEGIN}{_FORMS[0]} and {_END}{_FORMS[0]}",
        "export it again with begin and end times",
    )
    return [
        event
        for source, cells in lines[1:]
        for event in _named_events(source, header, cells, form)
    ]


def _named_events(source, header, cells, form: str) -> Iterator[Event]:
    """Events of a line by the names of its columns."""
    cells = dict(zip(header, [*cells, *[""] * (len(header) - len(cells))]))
    unit = 1000 if form == "msec" else 1
    times = [
        as_seconds(source, name, cells[name]) / unit
        for name in (_BEGIN + form, _END + form)
    ]
    texts = {
        name: cell
        for name, cell in cells.items()
        if cell and name and not _OTHERS.fullmatch(name)
    }
    if "Tier" in cells:
        texts = {cells["Tier"]: next(iter(texts.values()), "")}
    for tier, label in texts.items():
        yield checked_event(source, *times, label, tier=tier)


def _plain_event(source: str, cells: Sequence[str]) -> Event:
    """Event of a line without names of columns: the tier, the participant,
    times, and a text."""
    times = _times(cells[1:])
    require(
        len(times) > 1,
        f"{source} has no begin and end time",
        "export it again with them, or pass another --format",
    )
    first = next(i for i, c in enumerate(cells[1:], 1) if _is_time(c))
    label = next((c for c in cells[first:] if not _is_time(c)), cells[-1])
    return checked_event(source, *times[:2], label, tier=cells[0])


def _is_time(cell: str) -> bool:
    return any(form.fullmatch(cell) for form in _PATTERNS)


def _times(cells: Sequence[str]) -> List[float]:
    """Times of a line in seconds, of the first form that two of them have."""
    for form in _PATTERNS:
        times = [cell for cell in cells if form.fullmatch(cell)]
        if len(times) > 1:
            unit = 1000 if form is _MILLISECONDS else 1
            return [as_seconds("", "", cell) / unit for cell in times]
    return []


def write(path: Path, annotation: Annotation) -> None:
    """Write a tab-delimited text, which ELAN imports."""
    times = _BEGIN + _FORMS[0], _END + _FORMS[0]
    lines = [tab_line(["Tier", "Participant", *times, "Annotation"])]
    for name, part in tiers_of(annotation.events).items():
        for event in part:
            times = time_text(event.onset_s), time_text(event.offset_s)
            lines.append(tab_line([name, "", *times, event.label]))
    write_text(path, "".join(lines))
