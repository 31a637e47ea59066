"""Selection tables of Raven: a tab-separated text file with a header.

A selection has a row a view (waveform, spectrogram) and channel, all with its
number and times; one is read. ``Begin Time (s)`` counts from the
beginning of all files that were opened together; where a table names its files
(``Begin File``, ``Begin Path``), ``File Offset (s)`` is the time within that
file. The column of the labels has the name that its user gave it.
"""

from dataclasses import replace
from pathlib import Path, PurePath
from typing import Dict, List, Optional, Sequence

from data_prep.annotations.event import Event, as_seconds, event_of, time_text
from data_prep.annotations.text import Annotation, cells_of, read_rows, tab_line
from data_prep.files.errors import InputError, require
from data_prep.files.tables import checked_header, write_text

BEGIN, END = "Begin Time (s)", "End Time (s)"
FILE, PATH, OFFSET = "Begin File", "Begin Path", "File Offset (s)"
LABEL = "Annotation"
#: Usual names of columns, in lower case; the first wins.
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
_BOX_HZ = (0, 8000)
_COLUMNS = [
    *("Selection", "View", "Channel", BEGIN, END),
    *("Low Freq (Hz)", "High Freq (Hz)", PATH, FILE, OFFSET),
    *(LABEL, "Score", "Tier"),
]


def fits(lines: Sequence[str]) -> bool:
    """Check for the header of a selection table."""
    return BEGIN in map(str.strip, lines[0].split("\t"))


def read(path: Path, encoding: Optional[str] = None) -> List[Event]:
    """Read the selections of a selection table, each once."""
    lines = read_rows(path, encoding)
    require(bool(lines), f"{path} is empty", f"expected {BEGIN}, {END}")
    header = checked_header(path, lines[0][1].split("\t"), (BEGIN, END))
    rows = []
    for source, line in lines[1:]:
        cells = line.split("\t")
        cells += [""] * (len(header) - len(cells))  # spreadsheets cut the end
        rows.append((source, cells_of(source, header, cells)))
    _require_file_offsets(path, [cells for _, cells in rows])
    names = {
        "onset": BEGIN,
        "offset": END,
        "channel": "Channel",
        "tier": "Tier",
    }
    plain = {_plain(name): name for name in reversed(header)}
    names["score"] = next((plain[n] for n in _SCORES if n in plain), None)
    names["label"] = _label_column(path, plain, [cells for _, cells in rows])
    events: Dict[tuple, Event] = {}
    for source, cells in rows:
        ours = {k: cells[name] for k, name in names.items() if name in cells}
        ours["recording"] = cells.get(PATH) or cells.get(FILE) or ""
        event = event_of(source, ours, names)
        if cells.get(OFFSET):
            onset = as_seconds(source, OFFSET, cells[OFFSET])
            offset = onset + event.duration_s
            event = replace(event, onset_s=onset, offset_s=offset)
        times = event.onset_s, event.offset_s, event.channel, event.recording
        events.setdefault((cells.get("Selection") or source, *times), event)
    return list(events.values())


def _plain(name: str) -> str:
    return "_".join(name.lower().replace("_", " ").split())


def _require_file_offsets(path: Path, rows: Sequence[Dict]) -> None:
    """Refuse a table of several files without the times within them."""
    files = {cells.get(PATH) or cells.get(FILE) or "" for cells in rows}
    require(
        len(files) < 2 or OFFSET in rows[0],
        f"{path} has selections of {len(files)} files, whose times count from "
        "the first",
        f"add the measurement '{OFFSET}' in Raven and save it again",
    )


def _label_column(path: Path, plain: Dict, rows) -> Optional[str]:
    """Column of the labels: a usual name, else the only one with texts."""
    for name in _LABELS:
        if name in plain:
            return plain[name]
    others = [
        column
        for name, column in plain.items()
        if name not in (*_OWN, *_SCORES)
        and not name.endswith(")")  # a unit
        and any(_is_text(cells[column]) for cells in rows)
    ][::-1]
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


def write(path: Path, annotation: Annotation) -> None:
    """Write a selection table, which Raven opens over the recording."""
    lines = [tab_line(_COLUMNS)]
    for n, event in enumerate(annotation.events, start=1):
        file = event.recording or annotation.recording
        begin, end = time_text(event.onset_s), time_text(event.offset_s)
        cells = [n, "Spectrogram 1", event.channel or 1, begin, end, *_BOX_HZ]
        cells += [file, PurePath(file).name, begin, event.label]
        cells += ["" if event.score is None else event.score, event.tier]
        lines.append(tab_line(cells))
    write_text(path, "".join(lines))
