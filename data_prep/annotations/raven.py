"""Selection tables of Raven: a tab-separated text file with a header.

A selection has a row a view (waveform, spectrogram) and channel, all with its
number and times; one is read. ``Begin Time (s)`` counts from the
beginning of all files that were opened together; where a table names its files
(``Begin File``, ``Begin Path``), ``File Offset (s)`` is the time within that
file. The column of the labels has the name that its user gave it.
"""

from pathlib import Path, PurePath
from typing import Dict, List, Optional, Sequence

from data_prep.annotations.event import (
    Event,
    as_channel,
    as_number,
    as_seconds,
    checked_event,
    time_text,
)
from data_prep.annotations.text import in_one_line, read_rows
from data_prep.files.errors import InputError, require
from data_prep.files.tables import checked_header, write_text

BEGIN, END = "Begin Time (s)", "End Time (s)"
FILE, PATH, OFFSET = "Begin File", "Begin Path", "File Offset (s)"
LABEL = "Annotation"
#: Usual names of the column of the labels, in lower case, the first wins.
_LABELS = (
    "annotation annotations label labels class species tags type event "
    "call_type common_name sound_type call code notes comment"
).split()
_SCORES = ("score", "confidence", "probability")
#: Columns of Raven, in lower case, that hold no labels.
_OWN = (
    "selection view channel begin_file end_file begin_path end_path "
    "begin_date begin_date_time begin_hour end_date tier"
).split()
#: A box needs frequencies; these are those that the models hear.
_LOW_HZ, _HIGH_HZ = 0, 8000
_COLUMNS = [
    *("Selection", "View", "Channel", BEGIN, END),
    *("Low Freq (Hz)", "High Freq (Hz)", PATH, FILE, OFFSET),
    *(LABEL, "Score", "Tier"),
]


def is_raven(lines: Sequence[str]) -> bool:
    """Check for the header of a selection table."""
    return BEGIN in map(str.strip, lines[0].split("\t"))


def read_raven(path: Path, encoding: Optional[str] = None) -> List[Event]:
    """Read the selections of a selection table, each once."""
    lines = [
        (f"{path} row {n}", line.split("\t"))
        for n, line in enumerate(read_rows(path, encoding), start=1)
        if line.strip()
    ]
    require(bool(lines), f"{path} is empty", f"expected {BEGIN}, {END}")
    header = checked_header(path, lines[0][1], (BEGIN, END))
    rows = []
    for source, line in lines[1:]:
        require(
            len(line) <= len(header) or not any(line[len(header) :]),
            f"{source} has {len(line)} cells, the header {len(header)}",
            "save the table again in Raven",
        )
        line += [""] * (len(header) - len(line))  # spreadsheets cut the end
        rows.append((source, dict(zip(header, map(str.strip, line)))))
    if not rows:
        return []
    _require_file_offsets(path, rows)
    label, score = _label_column(path, rows), _score_column(header)
    events: Dict[tuple, Event] = {}
    for source, cells in rows:
        event = _event(source, cells, label, score)
        times = event.onset_s, event.offset_s, event.channel, event.recording
        selection = cells.get("Selection") or source
        events.setdefault((selection, *times), event)
    return list(events.values())


def _plain(name: str) -> str:
    return "_".join(name.lower().replace("_", " ").split())


def _require_file_offsets(path: Path, rows) -> None:
    """Refuse a table of several files without the times within them."""
    files = {cells.get(PATH) or cells.get(FILE) or "" for _, cells in rows}
    if len(files) > 1 and OFFSET not in rows[0][1]:
        raise InputError(
            f"{path} has selections of {len(files)} files, whose times count "
            f"from the first; add the measurement '{OFFSET}' in Raven and save "
            "it again"
        )


def _score_column(header: Sequence[str]) -> Optional[str]:
    return next((name for name in header if _plain(name) in _SCORES), None)


def _label_column(path: Path, rows) -> Optional[str]:
    """Column of the labels: a usual name, else the only one with texts."""
    header = {_plain(name): name for name in rows[0][1]}
    for name in _LABELS:
        if name in header:
            return header[name]
    others = [
        name
        for plain, name in header.items()
        if plain not in (*_OWN, *_SCORES)
        and not plain.endswith(")")  # a unit
        and any(_is_text(cells[name]) for _, cells in rows)
    ]
    require(
        len(others) < 2,
        f"{path}: the labels may be in {', '.join(map(repr, others[:4]))}",
        f"rename that column {LABEL}",
    )
    return others[0] if others else None


def _is_text(cell: str) -> bool:
    try:
        as_seconds("", "", cell or "0")
        return False
    except InputError:
        return True


def _event(source, cells, label, score) -> Event:
    begin = as_seconds(source, BEGIN, cells[BEGIN])
    end = as_seconds(source, END, cells[END])
    offset = cells.get(OFFSET, "")
    if offset:
        begin, end = as_seconds(source, OFFSET, offset), end - begin
        end += begin
    number = cells[score] if score else ""
    return checked_event(
        source,
        begin,
        end,
        cells[label] if label else "",
        score=as_number(source, score, number) if number else None,
        recording=cells.get(PATH) or cells.get(FILE) or "",
        tier=cells.get("Tier", ""),
        channel=as_channel(source, cells.get("Channel", "")),
    )


def write_raven(
    path: Path,
    events: Sequence[Event],
    recording: str = "",
    duration_s: Optional[float] = None,
) -> None:
    """Write a selection table, which Raven opens over the recording."""
    lines = ["\t".join(_COLUMNS)]
    for n, event in enumerate(events, start=1):
        file = event.recording or recording
        begin, end = time_text(event.onset_s), time_text(event.offset_s)
        cells = [n, "Spectrogram 1", event.channel or 1, begin, end]
        cells += [_LOW_HZ, _HIGH_HZ, file, PurePath(file).name, begin]
        cells += [event.label, "" if event.score is None else event.score]
        lines.append(
            "\t".join(in_one_line(str(c)) for c in [*cells, event.tier])
        )
    write_text(path, "\n".join(lines) + "\n")
