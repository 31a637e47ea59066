"""Events as a csv table: onset, offset, label, and what else is known.

Columns are found by their usual names (those of DCASE and `sed_eval` too), in
any order, separated by commas, semicolons or tabs, with decimal points or
commas. A table without a header has the columns of DCASE: onset, offset, label,
with the recording in front of them if there are four. In a table of
`cry_modules.review`, the reviewer's labels count, which may be empty.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import List, Optional, Sequence

from data_prep.annotations.columns import columns_of, plain
from data_prep.annotations.event import (
    Annotation,
    Event,
    as_seconds,
    event_of,
    time_text,
)
from data_prep.annotations.text import NOT_UNICODE, cells_of
from data_prep.files.errors import InputError, require
from data_prep.files.identifiers import cleaned
from data_prep.files.missing import is_missing, refuse_damaged
from data_prep.files.spreadsheets import csv_text, parsed_lines
from data_prep.files.tables import checked_header, from_header, write_table

COLUMNS = ("recording", "onset", "offset", "label", "score", "tier", "channel")
#: Names of the reviewer's labels, and of the columns without a header.
_REVIEWED = "reviewed_label"
#: Reasons of an event without a label, by the decision of the reviewer.
_UNREVIEWED = {
    "": "not reviewed",
    "excluded": "excluded in the review",
    "unsure": "unsure in the review",
}
_HEADERLESS = {3: COLUMNS[1:4], 4: COLUMNS[:4], 5: COLUMNS[:5]}


def fits(lines: Sequence[str]) -> bool:
    """Check for a column of onsets, or three to five cells with times."""
    cells = re.split("[,;\t|]", lines[0])
    return "onset" in columns_of(cells) or _is_headerless(cells)


def read(path: Path, encoding: Optional[str] = None) -> List[Event]:
    """Read the events of a csv table; a header alone means no events."""
    text, separator = csv_text(path, encoding, NOT_UNICODE)
    lines = [
        (f"{path} row {n}", line)
        for n, line in enumerate(parsed_lines(text, separator, path), start=1)
        if any(map(cleaned, line))
    ]
    require(bool(lines), f"{path} is empty", "expected onset,offset,label")
    for _, line in lines[:20] if not _is_headerless(lines[0][1]) else ():
        if onset := columns_of(line).get("onset"):
            lines = from_header(path, lines, {onset})
            break
    first, is_review = lines[0][1], False
    if _is_headerless(first):
        header = _HEADERLESS[len(first)]
    else:
        named = columns_of(first)
        names = map(cleaned, first)
        reviewed = [name for name in names if plain(name) == _REVIEWED]
        is_review = bool(reviewed)
        named["label"] = next(iter(reviewed), named.get("label", "label"))
        end = "duration" if "duration" in named else "offset"
        header = checked_header(path, first, ("onset", end, "label"), named)
        lines = lines[1:]
    events = []
    for source, line in lines:
        cells = cells_of(source, header, line)
        for name in ("recording", "label"):
            refuse_damaged(source, name, cleaned(cells.get(name, "")))
        if is_missing(cells.get("recording", "")):
            cells["recording"] = ""
        event = event_of(source, cells)
        if is_review and is_missing(event.label):
            reason = _UNREVIEWED.get(cells.get("decision", ""), "")
            event = replace(event, unreviewed=reason)
        events.append(event)
    return events


def _is_headerless(line: Sequence[str]) -> bool:
    """Check for times in the places of a table without a header."""
    cells = dict(zip(_HEADERLESS.get(len(line), ()), line))
    try:
        return bool(cells) and all(
            as_seconds("", name, cells[name]) is not None
            for name in ("onset", "offset")
        )
    except InputError:
        return False


def write(path: Path, annotation: Annotation) -> None:
    """Write events as a csv table."""
    rows = [
        [
            event.recording or annotation.recording,
            time_text(event.onset_s),
            time_text(event.offset_s),
            event.label,
            "" if event.score is None else repr(float(event.score)),
            event.tier,
            "" if event.channel is None else event.channel,
        ]
        for event in annotation.events
    ]
    write_table(path, COLUMNS, rows)
