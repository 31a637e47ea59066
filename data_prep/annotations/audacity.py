"""Label tracks of Audacity: a text file with a line a label.

A line holds the start and the end in seconds and the text, between tabs; start
and end of a point label are equal, and the text may be absent. With the
extended style of export, a line that begins with a backslash follows with the
lowest and highest frequency, which are not used here. The file has no
header and does not name its recording.
"""

import re
from pathlib import Path
from typing import List, Optional, Sequence

from data_prep.annotations.event import Event, as_seconds, checked_event
from data_prep.annotations.text import in_one_line, read_rows
from data_prep.files.errors import require
from data_prep.files.tables import write_text

_FREQUENCIES = "\\"
_TIME = re.compile(r"[+-]?\d+([.,]\d*)?([eE][+-]?\d+)?")


def is_audacity(lines: Sequence[str]) -> bool:
    """Check for a start and an end in front of a label."""
    cells = lines[0].split("\t") if "\t" in lines[0] else lines[0].split()
    return len(cells) > 1 and all(
        map(_TIME.fullmatch, map(str.strip, cells[:2]))
    )


def read_audacity(path: Path, encoding: Optional[str] = None) -> List[Event]:
    """Read the labels of an exported label track."""
    events = []
    for n, line in enumerate(read_rows(path, encoding), start=1):
        if not line.strip() or line.lstrip().startswith(_FREQUENCIES):
            continue
        source = f"{path} row {n}"
        cells = line.split("\t", 2) if "\t" in line else line.split(None, 2)
        require(
            len(cells) > 1,
            f"{source} is {line.strip()[:40]!r}",
            "expected start, end and label between tabs, as Audacity exports "
            "them, or pass another --format",
        )
        onset = as_seconds(source, "the start", cells[0])
        offset = as_seconds(source, "the end", cells[1])
        events.append(checked_event(source, onset, offset, "".join(cells[2:])))
    return events


def write_audacity(
    path: Path,
    events: Sequence[Event],
    recording: str = "",
    duration_s: Optional[float] = None,
) -> None:
    """Write a label track, which Audacity imports."""
    lines = [
        f"{event.onset_s:.6f}\t{event.offset_s:.6f}\t"
        f"{in_one_line(event.label)}\n"
        for event in events
    ]
    write_text(path, "".join(lines))
