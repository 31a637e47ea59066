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

from data_prep.annotations.event import (
    Event,
    as_channel,
    as_number,
    checked_event,
    time_text,
)
from data_prep.annotations.text import read_rows
from data_prep.files.errors import require
from data_prep.files.missing import is_missing
from data_prep.files.tables import write_text

logger = logging.getLogger(__name__)

ABSENT = "<NA>"
_LINE = re.compile(
    r"(SPEAKER|SPKR-INFO|NON-LEX|NON-SPEECH|LEXEME|SEGMENT|NOSCORE)(\s+\S+){3}"
)
#: Types without a time of their own.
_WITHOUT_TIMES = ("SPKR-INFO",)


def is_rttm(lines: Sequence[str]) -> bool:
    """Check for the types of lines that RTTM has."""
    lines = [line for line in lines if not line.lstrip().startswith(";;")]
    return bool(lines) and _LINE.match(lines[0]) is not None


def read_rttm(path: Path, encoding: Optional[str] = None) -> List[Event]:
    """Read the events of an RTTM file."""
    events, left_out = [], Counter()
    for n, line in enumerate(read_rows(path, encoding), start=1):
        if not line.strip() or line.lstrip().startswith((";;", "#")):
            continue
        cells, source = line.split(), f"{path} row {n}"
        require(
            len(cells) >= 8,
            f"{source} has {len(cells)} fields",
            "expected those of RTTM: SPEAKER file channel onset duration <NA> "
            "<NA> name <NA> <NA>",
        )
        kind, file, channel, onset, duration, _, subtype, name = cells[:8]
        if kind in _WITHOUT_TIMES or is_missing(onset) or is_missing(duration):
            left_out[kind] += 1
            continue
        begin = as_number(source, "the onset", onset)
        length = as_number(source, "the duration", duration)
        score = cells[8] if len(cells) > 8 else ABSENT
        event = checked_event(
            source,
            begin,
            begin + length,
            _present(name if kind == "SPEAKER" else subtype),
            score=None
            if is_missing(score)
            else as_number(source, "the confidence", score),
            recording=_present(file),
            channel=None
            if is_missing(channel)
            else as_channel(source, channel),
        )
        events.append(event)
    for kind, count in left_out.items():
        logger.info("%s: %d lines %s have no time", path, count, kind)
    return events


def _present(cell: str) -> str:
    return "" if cell == ABSENT else cell


def write_rttm(
    path: Path,
    events: Sequence[Event],
    recording: str = "",
    duration_s: Optional[float] = None,
) -> None:
    """Write events as lines of the type SPEAKER; spaces in names become
    underscores."""
    lines = []
    for event in events:
        name = PurePath(event.recording or recording).name
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
