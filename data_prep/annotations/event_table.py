"""Events as a csv table: onset, offset, label, and what else is known.

Columns are found by their usual names (those of DCASE and `sed_eval` too), in
any order, separated by commas, semicolons or tabs, with decimal points or
commas. A table without a header has the columns of DCASE: onset, offset, label,
with the recording in front of them if there are four. In a table of
`cry_modules.review`, the reviewer's labels count, which may be empty.
"""

import re
from pathlib import Path
from typing import Dict, List, Optional, Sequence

from data_prep.annotations.event import Event, as_seconds, event_of, time_text
from data_prep.annotations.text import NOT_UNICODE, Annotation, cells_of
from data_prep.files.errors import InputError, require
from data_prep.files.identifiers import cleaned
from data_prep.files.spreadsheets import csv_text, parsed_lines
from data_prep.files.tables import checked_header, write_table

COLUMNS = ("recording", "onset", "offset", "label", "score", "tier", "channel")
#: Names of the columns, in lower case, without units; the first is ours.
_NAMES = [
    "recording filename file audio file_name path wav audio_file".split(),
    "onset start begin onset_time start_time begin_time".split(),
    "offset stop end offset_time end_time stop_time".split(),
    "duration length".split(),
    "label event_label event class annotation sound_class text".split(),
    "score confidence probability".split(),
    "tier annotator speaker coder rater".split(),
    ["channel"],
]
_OURS = {name: names[0] for names in _NAMES for name in names}
#: Names of the reviewer's labels and of the columns without a header.
_REVIEWED = "reviewed_label"
_HEADERLESS = {3: COLUMNS[1:4], 4: COLUMNS[:4], 5: COLUMNS[:5]}


def fits(lines: Sequence[str]) -> bool:
    """Check for a column of onsets, or three to five cells with times."""
    cells = re.split("[,;\t|]", lines[0])
    has_onset = any(_OURS.get(_plain(cell)) == "onset" for cell in cells)
    return has_onset or _is_headerless(cells)


def read(path: Path, encoding: Optional[str] = None) -> List[Event]:
    """Read the events of a csv table; a header alone means no events."""
    text, separator = csv_text(path, encoding, NOT_UNICODE)
    lines = [
        (f"{path} row {n}", line)
        for n, line in enumerate(parsed_lines(text, separator, path), start=1)
        if any(map(cleaned, line))
    ]
    require(bool(lines), f"{path} is empty", "expected onset,offset,label")
    first = lines[0][1]
    if _is_headerless(first):
        header = _HEADERLESS[len(first)]
    else:
        header, lines = _header(path, first), lines[1:]
    return [
        event_of(source, cells_of(source, header, line))
        for source, line in lines
    ]


def _header(path: Path, line: Sequence[str]) -> List[str]:
    """Our names of a header's columns."""
    theirs = [_plain(name) for name in line]
    named: Dict[str, str] = {}
    for name, plain in zip(line, theirs):
        ours = _OURS.get(plain)
        if ours and (ours == plain or ours not in theirs):
            named.setdefault(ours, cleaned(name))
    if _REVIEWED in theirs:
        named["label"] = cleaned(line[theirs.index(_REVIEWED)])
    end = "duration" if "duration" in named else "offset"
    return checked_header(path, line, ("onset", end, "label"), named)


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


def _plain(name: str) -> str:
    """Name of a column in lower case, without its unit.

    Example
    -------
    >>> _plain("Start Time (s)"), _plain("onset_s")
    ('start_time', 'onset')
    """
    name = "_".join(cleaned(name).lower().replace("_", " ").split())
    for unit in ("_(s)", "(s)", "_[s]", "_(sec)", "_seconds", "_sec", "_s"):
        name = name.removesuffix(unit)
    return name


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
