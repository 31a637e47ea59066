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

from data_prep.annotations.columns import columns_of, plain
from data_prep.annotations.event import (
    Annotation,
    Event,
    as_seconds,
    event_of,
    time_text,
)
from data_prep.annotations.text import cells_of, read_rows, tab_line
from data_prep.files.errors import InputError, require
from data_prep.files.tables import checked_header, write_text

BEGIN, END = "Begin Time (s)", "End Time (s)"
FILE, PATH, OFFSET = "Begin File", "Begin Path", "File Offset (s)"
LABEL = "Annotation"
#: Columns of Raven, in lower case, that hold no labels.
_OWN = (
    "selection view channel begin_file end_file begin_path end_path "
    "begin_date begin_date_time begin_hour end_date tier score confidence "
    "probability"
).split()
#: A box needs frequencies; these are those that the models hear.
_BOX_HZ = (0.0, 8000.0)
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
    names = columns_of(header) | {"onset": BEGIN, "offset": END}
    if "label" not in names:
        names |= _label_column(path, header, [cells for _, cells in rows])
    events: Dict[tuple, Event] = {}
    for source, cells in rows:
        ours = {name: cells[column] for name, column in names.items()}
        ours["recording"] = cells.get(PATH) or cells.get(FILE) or ""
        event = event_of(source, ours, names)
        if cells.get(OFFSET):
            onset = as_seconds(source, OFFSET, cells[OFFSET])
            offset = onset + event.duration_s
            event = replace(event, onset_s=onset, offset_s=offset)
        times = event.onset_s, event.offset_s, event.channel, event.recording
        events.setdefault((cells.get("Selection") or source, *times), event)
    return list(events.values())


def _require_file_offsets(path: Path, rows: Sequence[Dict]) -> None:
    """Refuse a table of several files without the times within them."""
    files = {cells.get(PATH) or cells.get(FILE) or "" for cells in rows}
    require(
        len(files) < 2 or OFFSET in rows[0],
        f"{path} has selections of {len(files)} files, whose times count from "
        "the first",
        f"add the measurement '{OFFSET}' in Raven and save it again",
    )


def _label_column(path: Path, header: List[str], rows) -> Dict[str, str]:
    """The only column with texts, as that of the labels."""
    texts = [
        name
        for name in header
        if plain(name) not in _OWN
        and not name.endswith(")")  # a unit
        and any(_is_text(cells[name]) for cells in rows)
    ]
    require(
        len(texts) < 2,
        f"{path}: the labels may be in {', '.join(map(repr, texts[:4]))}",
        f"rename that column {LABEL}",
    )
    return {"label": texts[0]} if texts else {}


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
