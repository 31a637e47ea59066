"""Tab-delimited text that ELAN exports.

A line an annotation: tier, participant, then begin, end and duration in one or
more of three forms (``hh:mm:ss.ms``, ``ss.msec``, ``msec``), and the text. The
first line may name the columns. Exported with a column a tier, a line has the
times and a text for each tier that has an annotation then. Lines that begin
with ``"#`` name the media.
"""

import re
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence

from data_prep.annotations.event import (
    Event,
    as_seconds,
    checked_event,
    time_text,
)
from data_prep.annotations.text import in_one_line, read_rows
from data_prep.annotations.tiers import tiers_of
from data_prep.files.errors import require
from data_prep.files.identifiers import cleaned
from data_prep.files.tables import write_text

#: Forms of times, the one that is read first.
_FORMS = ("ss.msec", "hh:mm:ss.ms", "msec")
_TIME = re.compile(r"(Begin|End) Time - (.+)")
_OTHERS = re.compile(
    r"(Begin|End) Time\b.*|Duration\b.*|Participant|File( Path| Name)?|Media.*"
)
_CLOCK = re.compile(r"\d+:\d\d:\d\d[.,]\d+")
_SECONDS, _MILLISECONDS = re.compile(r"\d+[.,]\d+"), re.compile(r"\d+")
_PATTERNS = (_CLOCK, _SECONDS, _MILLISECONDS)


def is_elan_text(lines: Sequence[str]) -> bool:
    """Check for the columns, or the times, of an export."""
    lines = [line for line in lines if not _is_comment(line) and line.strip()]
    if not lines or "\t" not in lines[0]:
        return False
    cells = [cleaned(cell) for cell in lines[0].split("\t")]
    if any(map(_TIME.fullmatch, cells)):
        return True
    # A number as the second cell: a table of DCASE, with a file in front.
    is_export = len(cells) > 3 and (
        _CLOCK.fullmatch(cells[1]) or not _is_time(cells[1])
    )
    return bool(is_export) and len(_times(cells[1:])) > 1


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith(('"#', "#"))


def read_elan_text(path: Path, encoding: Optional[str] = None) -> List[Event]:
    """Read the annotations of an export."""
    lines = [
        (f"{path} row {n}", [cell.strip() for cell in line.split("\t")])
        for n, line in enumerate(read_rows(path, encoding), start=1)
        if line.strip() and not _is_comment(line)
    ]
    if not lines:
        return []
    header = [cleaned(cell) for cell in lines[0][1]]
    if not any(map(_TIME.fullmatch, header)):
        return [_plain_event(source, cells) for source, cells in lines]
    return [
        event
        for source, cells in lines[1:]
        for event in _named_events(path, source, header, cells)
    ]


def _named_events(path, source, header, cells) -> Iterator[Event]:
    """Events of a line by the names of its columns."""
    cells = [*cells, *[""] * (len(header) - len(cells))]
    begin, end = (
        _by_form(path, source, header, cells, name) for name in ("Begin", "End")
    )
    texts = [
        (name, cell)
        for name, cell in zip(header, cells)
        if name != "Tier" and not _OTHERS.fullmatch(name)
    ]
    tier = cells[header.index("Tier")] if "Tier" in header else None
    if tier is not None:
        written = [cell for name, cell in texts if cell and name]
        texts = [(tier, written[0] if written else "")]
    for name, label in texts:
        if label or tier is not None:
            yield checked_event(source, begin, end, label, tier=name)


def _by_form(path, source, header, cells, name: str) -> float:
    """Begin or end of a line, in the first form that it has."""
    forms: Dict[str, str] = {}
    for column, cell in zip(header, cells):
        match = _TIME.fullmatch(column)
        if match and match[1] == name:
            forms[match[2]] = cell
    form = next((form for form in _FORMS if forms.get(form)), None)
    require(
        form is not None,
        f"{source} has no column '{name} Time - {_FORMS[0]}'",
        "export it again with begin and end times",
    )
    seconds = as_seconds(source, f"{name} Time", forms[form])
    return seconds / 1000 if form == "msec" else seconds


def _plain_event(source: str, cells: Sequence[str]) -> Event:
    """Event of a line without names of columns: the tier, the participant,
    times, and a text."""
    times = _times(cells[1:])
    require(
        len(times) > 1,
        f"{source} has no begin and end time",
        "export it again with them, or pass another --format",
    )
    begin, end = times[:2]
    first = next(i for i, c in enumerate(cells[1:], 1) if _is_time(c))
    after = (i for i, c in enumerate(cells) if i > first and not _is_time(c))
    label = cells[next(after, len(cells) - 1)]
    return checked_event(source, begin, end, label, tier=cells[0])


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


def write_elan_text(path: Path, events: Sequence[Event]) -> None:
    """Write a tab-delimited text, which ELAN imports."""
    columns = [f"{name} - {_FORMS[0]}" for name in ("Begin Time", "End Time")]
    lines = ["\t".join(["Tier", "Participant", *columns, "Annotation"])]
    for name, part in tiers_of(events).items():
        for event in part:
            times = time_text(event.onset_s), time_text(event.offset_s)
            cells = [name, "", *times, event.label]
            lines.append("\t".join(map(in_one_line, cells)))
    write_text(path, "\n".join(lines) + "\n")
