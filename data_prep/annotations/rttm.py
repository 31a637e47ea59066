"""Rich Transcription Time Marked (RTTM) files of NIST: a line an event.

Ten fields between spaces: type, file (the name of the audio without its
suffix), channel (the first is 1), onset and duration in seconds, orthography,
subtype, name, confidence, lookahead; ``<NA>`` for what is not known, and
comments begin with two semicolons. Diarisation, and classifiers of voices in
daylong recordings, write the type SPEAKER and the class as the name. In other
types with times, the subtype is the label.
"""

import logging
import re
from collections import Counter
from pathlib import Path, PurePath
from typing import List, Optional, Sequence

from data_prep.annotations.event import Annotation, Event, event_of, time_text
from data_prep.annotations.text import read_rows
from data_prep.files.errors import require
from data_prep.files.missing import is_missing
from data_prep.files.tables import write_text

logger = logging.getLogger(__name__)

ABSENT = "<NA>"
_COMMENTS = (";;", "#")
_LINE = re.compile(
    r"(SPEAKER|SPKR-INFO|NON-LEX|NON-SPEECH|LEXEME|SEGMENT|NOSCORE)(\s+\S+){3}"
)
_FIELDS = (
    "kind recording channel onset duration text subtype name score".split()
)
_NAMES = {
    "onset": "the onset",
    "duration": "the duration",
    "score": "the confidence",
}


def fits(lines: Sequence[str]) -> bool:
    """Check for the types of lines that RTTM has."""
    lines = [line for line in lines if not line.lstrip().startswith(";;")]
    return bool(lines) and _LINE.match(lines[0]) is not None


def read(path: Path, encoding: Optional[str] = None) -> List[Event]:
    """Read the events of an RTTM file."""
    events, left_out = [], Counter()
    for source, line in read_rows(path, encoding):
        if line.lstrip().startswith(_COMMENTS):
            continue
        values = line.split()
        require(
            len(values) >= 8,
            f"{source} has {len(values)} fields",
            "expected those of RTTM: SPEAKER file channel onset duration <NA> "
            "<NA> name <NA> <NA>",
        )
        values = ["" if value == ABSENT else value for value in values]
        cells = dict(zip(_FIELDS, values))
        kind = cells["kind"]
        if is_missing(cells["onset"]) or is_missing(cells["duration"]):
            left_out[kind] += 1
            continue
        cells["label"] = cells["name" if kind == "SPEAKER" else "subtype"]
        events.append(event_of(source, cells, _NAMES))
    for kind, count in left_out.items():
        logger.info("%s: %d lines %s have no time", path, count, kind)
    return events


def write(path: Path, annotation: Annotation) -> None:
    """Write events as lines of the type SPEAKER; spaces in names become
    underscores."""
    lines = []
    for event in annotation.events:
        name = PurePath(event.recording or annotation.recording).name
        stem = name.rpartition(".")[0] or name
        score = ABSENT if event.score is None else repr(float(event.score))
        lines.append(
            f"SPEAKER {_word(stem)} {event.channel or 1} "
            f"{time_text(event.onset_s)} {time_text(event.duration_s)} "
            f"{ABSENT} {ABSENT} {_word(event.label)} {score} {ABSENT}\n"
        )
    write_text(path, "".join(lines))


def _word(text: str) -> str:
    return re.sub(r"\s+", "_", text.strip()) or ABSENT
