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

from data_prep.annotations.event import Annotation, Event, event_of
from data_prep.annotations.text import read_rows, tab_line
from data_prep.files.errors import require
from data_prep.files.tables import write_text

_FREQUENCIES = "\\"
_TIME = re.compile(r"\s*[+-]?\d+([.,]\d*)?([eE][+-]?\d+)?\s*")
_NAMES = {"onset": "the start", "offset": "the end", "label": "the text"}


def _cells(line: str) -> List[str]:
    return line.split("\t", 2) if "\t" in line else line.split(None, 2)


def fits(lines: Sequence[str]) -> bool:
    """Check for a start and an end in front of a label."""
    cells = _cells(lines[0])
    return len(cells) > 1 and all(map(_TIME.fullmatch, cells[:2]))


def read(path: Path, encoding: Optional[str] = None) -> List[Event]:
    """Read the labels of an exported label track."""
    events = []
    for source, line in read_rows(path, encoding):
        if line.lstrip().startswith(_FREQUENCIES):
            continue
        cells = _cells(line)
        require(
            len(cells) > 1,
            f"{source} is {line.strip()[:40]!r}",
            "expected start, end and label between tabs, as Audacity exports "
            "them, or pass another --format",
        )
        events.append(event_of(source, dict(zip(_NAMES, cells)), _NAMES))
    return events


def write(path: Path, annotation: Annotation) -> None:
    """Write a label track, which Audacity imports."""
    lines = [
        tab_line([f"{event.onset_s:.6f}", f"{event.offset_s:.6f}", event.label])
        for event in annotation.events
    ]
    write_text(path, "".join(lines))
