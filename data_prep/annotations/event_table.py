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

from data_prep.annotations.event import (
    Event,
    as_channel,
    as_number,
    as_seconds,
    checked_event,
    time_text,
)
from data_prep.annotations.text import NOT_UNICODE
from data_prep.files.errors import InputError, require
from data_prep.files.identifiers import cleaned
from data_prep.files.missing import is_missing
from data_prep.files.spreadsheets import csv_text, parsed_lines
from data_prep.files.tables import checked_header, write_table

COLUMNS = ("recording", "onset", "offset", "label", "score", "tier", "channel")
#: Other names of the columns, in lower case, without units.
_NAMES = {
    "recording": "filename file audio file_name path wav audio_file".split(),
    "onset": "start begin onset_time start_time begin_time".split(),
    "offset": "stop end offset_time end_time stop_time".split(),
    "duration": ["length"],
    "label": "event_label event class annotation sound_class text".split(),
    "score": "confidence probability".split(),
    "tier": "annotator speaker coder rater".split(),
    "channel": [],
}
_HEADERLESS = {3: COLUMNS[1:4], 4: COLUMNS[:4], 5: COLUMNS[:5]}


def is_event_table(lines: Sequence[str]) -> bool:
    """Check for a column of onsets, or three to five cells with times."""
    cells = re.split("[,;\t|]", lines[0])
    names = {*_NAMES["onset"], "onset"}
    return any(_plain(cell) in names for cell in cells) or (
        len(cells) in _HEADERLESS and _is_headerless(cells)
    )


def read_event_table(path: Path, encoding: Optional[str] = None) -> List[Event]:
    """Read the events of a csv table; a header alone means no events."""
    text, separator = csv_text(path, encoding, NOT_UNICODE)
    lines = [
        (f"{path} row {n}", line)
        for n, line in enumerate(parsed_lines(text, separator, path), start=1)
        if any(map(cleaned, line))
    ]
    require(bool(lines), f"{path} is empty", "expected onset,offset,label")
    header = _header(path, lines[0][1])
    if header is not None:
        lines = lines[1:]
    else:
        header = _HEADERLESS[len(lines[0][1])]
    return [_event(source, header, line) for source, line in lines]


def _header(path: Path, line: Sequence[str]) -> Optional[List[str]]:
    """Our names of a header's columns; None if the line is of an event."""
    if len(line) in _HEADERLESS and _is_headerless(line):
        return None
    ours_of = {n: ours for ours, names in _NAMES.items() for n in names}
    theirs = [_plain(name) for name in line]
    named: Dict[str, str] = {}
    for name, plain in zip(line, theirs):
        ours = ours_of.get(plain, plain)
        if ours in _NAMES and (ours == plain or ours not in theirs):
            named.setdefault(ours, cleaned(name))
    if "reviewed_label" in theirs:  # of cry_modules.review
        named["label"] = cleaned(line[theirs.index("reviewed_label")])
    end = "duration" if "duration" in named else "offset"
    return checked_header(path, line, ("onset", end, "label"), named)


def _is_headerless(line: Sequence[str]) -> bool:
    """Check for times in the places of a table without a header."""
    cells = dict(zip(_HEADERLESS[len(line)], line))
    try:
        as_seconds("", "onset", cells["onset"])
        as_seconds("", "offset", cells["offset"])
    except InputError:
        return False
    return True


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


def _event(source: str, header: Sequence[str], line: List[str]) -> Event:
    require(
        len(line) >= len(header) and not any(map(cleaned, line[len(header) :])),
        f"{source} has {len(line)} cells, the header {len(header)}",
        "quote cells that hold a separator, such as 1,5, or separate them by "
        "semicolons",
    )
    cells = {name: cell.strip() for name, cell in zip(header, line)}
    onset = as_seconds(source, "onset", cells["onset"])
    if cells.get("offset") or "duration" not in cells:
        offset = as_seconds(source, "offset", cells["offset"])
    else:
        offset = onset + as_seconds(source, "duration", cells["duration"])
    score = cells.get("score", "")
    return checked_event(
        source,
        onset,
        offset,
        cells["label"],
        score=None if is_missing(score) else as_number(source, "score", score),
        recording=cells.get("recording", ""),
        tier=cells.get("tier", ""),
        channel=as_channel(source, cells.get("channel", "")),
    )


def write_event_table(
    path: Path,
    events: Sequence[Event],
    recording: str = "",
    duration_s: Optional[float] = None,
) -> None:
    """Write events as a csv table; `recording` for those that name none."""
    rows = [
        [
            event.recording or recording,
            time_text(event.onset_s),
            time_text(event.offset_s),
            event.label,
            "" if event.score is None else repr(float(event.score)),
            event.tier,
            "" if event.channel is None else event.channel,
        ]
        for event in events
    ]
    write_table(path, COLUMNS, rows)
