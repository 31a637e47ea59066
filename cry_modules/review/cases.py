"""Cases to review: the rows of a table of scores."""

import re
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from cry_modules.inference.scores import COLUMNS, LEFT_OUT
from cry_modules.metrics.saved import METRICS_FILE, read_metrics
from cry_modules.review.inputs import refuse_other_inputs, table_in
from data_prep.annotations.event import as_number, event_of
from data_prep.annotations.options import Options
from data_prep.files.errors import require
from data_prep.files.identifiers import identity
from data_prep.files.missing import is_missing, refuse_damaged
from data_prep.files.tables import read_table

#: Columns that a review adds.
ADDED = ("reviewed_label", "decision", "reviewer", "seconds", "note")
#: Columns that name a recording, in the order of preference.
_RECORDING = ("recording", "path", "ID")
_OF_PREDICTIONS = ("ID", "patient_id", "fold", "label", "path")
_SMALLEST = 1e-12  # probability, before a logarithm

Rows = List[Tuple[str, Dict[str, str]]]


@dataclass(frozen=True)
class Case:
    """A recording, or an event in one, with its label and scores."""

    row: int  #: number of its row in the table, from 0
    source: str  #: file and row, for messages
    recording: str  #: as the table names it
    label: str  #: annotated, or predicted if the table has no other
    scores: Dict[str, float]  #: by class; one score is that of the label
    span: Optional[Tuple[float, float]] = None  #: of an event, seconds
    time: str = ""  #: date and time of its onset, if known
    path: str = ""  #: audio file
    channel: Optional[int] = None  #: the first is 1; None: all, mixed


@dataclass
class ScoreTable:
    """A table of scores and the cases in it."""

    path: Path
    rows: Rows
    cases: List[Case]
    classes: List[str]
    is_predicted: bool  #: labels are the model's, not a person's
    is_sorted: bool = False  #: the most doubtful first, as in doubtful.csv
    #: score of the last of two classes from which on it is called; None if
    #: unknown
    threshold: Optional[float] = None

    @property
    def is_events(self) -> bool:
        """True if the cases are events in recordings."""
        return self.cases[0].span is not None


def read_scores(path: Path) -> ScoreTable:
    """Read a table that this project writes: ``doubtful.csv``, predictions,
    scores of ``inference --csv`` or events of ``detect``.

    Rows without a score, such as those of unusable recordings, are left out.
    """
    refuse_other_inputs(path)
    rows = read_table(path, ())
    columns = rows[0][1].keys()
    require(
        not columns & {"reviewed_label", "decision"},
        f"{path} is the result of a review",
        "pass the table that it was made from; with the same --out that "
        "review is resumed",
    )
    onset = next((c for c in ("onset_s", "onset") if c in columns), None)
    if onset and {"recording", "label"} <= columns:
        return _of_events(path, rows, onset)
    if {"path", "call", "n_windows"} <= columns:
        return _of_inference(path, rows)
    if {"ID", "patient_id", "label"} <= columns:
        return _of_predictions(path, rows)
    other = table_in(path.parent)
    require(
        {"path", "label", "score"} <= columns,
        f"{path} has the columns {', '.join(columns)}, which are not those of "
        "doubtful.csv, predictions_*.csv, a table of inference --csv or events "
        "of detect",
        f"pass {other}" if other and other != path else "pass one of these",
    )
    cases = [_case(i, *row, "label") for i, row in enumerate(rows)]
    is_sorted = "kind" in columns
    return ScoreTable(path, rows, cases, _labels(cases), False, is_sorted)


def _of_events(path: Path, rows: Rows, onset: str) -> ScoreTable:
    offset = onset.replace("onset", "offset")
    require(offset in rows[0][1], f"{path} has no column {offset}", "add it")
    names, cases = {"onset": onset, "offset": offset}, []
    for i, (source, cells) in enumerate(rows):
        times = {"onset": cells[onset], "offset": cells[offset]}
        channel = cells.get("channel", "")
        event = event_of(source, {**times, "channel": channel}, names)
        case = _case(i, source, cells, "label", is_event=True)
        span = event.onset_s, event.offset_s
        time = _time(cells.get("onset_time", ""))
        case = replace(case, span=span, time=time, channel=event.channel)
        cases.append(case)
    classes = _labels(cases)
    # For false alarms, which are negatives in training.
    if identity(Options.negative_label) not in map(identity, classes):
        classes.append(Options.negative_label)
    return ScoreTable(path, rows, cases, classes, is_predicted=True)


def _time(cell: str) -> str:
    """Words for a time that ``detect`` writes; of another, the cell itself.

    Example
    -------
    >>> _time("2026-03-12T23:15:20.500+01:00"), _time("half past nine")
    ('2026-03-12 23:15:20+01:00', 'half past nine')
    """
    if is_missing(cell):
        return ""
    try:
        return datetime.fromisoformat(cell).isoformat(" ", "seconds")
    except ValueError:
        return cell


def _of_inference(path: Path, rows: Rows) -> ScoreTable:
    others = (*COLUMNS, LEFT_OUT)
    class_of = {n: _class_of(n) for n in rows[0][1] if n not in others}
    cases = [
        _case(i, *row, "call", class_of)
        for i, row in enumerate(rows)
        if row[1]["call"]  # else it has an error, or a detector found nothing
    ]
    require(
        bool(cases),
        f"no recording of {path} has scores",
        "its column error says why",
    )
    table = ScoreTable(path, rows, cases, [*class_of.values()], True)
    if len(class_of) == 2:
        last = table.classes[-1]
        called = [c.scores[last] for c in cases if c.label == last]
        others = [c.scores[last] for c in cases if c.label != last]
        if called and others:
            table.threshold = (min(called) + max(others)) / 2
    return table


def _class_of(column: str) -> str:
    """Class of a column of scores, see ``header_of``.

    Example
    -------
    >>> _class_of("class error"), _class_of("class a"), _class_of("cry")
    ('error', 'class a', 'cry')
    """
    name = re.sub("^(class )+", "", column)
    return name if name in (*COLUMNS, LEFT_OUT) else column


def _of_predictions(path: Path, rows: Rows) -> ScoreTable:
    classes = [name for name in rows[0][1] if name not in _OF_PREDICTIONS]
    class_of = dict(zip(classes, classes))
    cases = [_case(i, *row, "label", class_of) for i, row in enumerate(rows)]
    names = list(dict.fromkeys([*classes, *_labels(cases)]))
    table = ScoreTable(path, rows, cases, names, is_predicted=False)
    if len(classes) == 2 and (path.parent / METRICS_FILE).is_file():
        test = read_metrics(path.parent)["test"]["recording"]
        table.threshold = test["threshold"]
    return table


def _case(
    row: int,
    source: str,
    cells: Dict[str, str],
    label_column: str,
    class_of: Optional[Dict[str, str]] = None,
    is_event: bool = False,
) -> Case:
    """Make the case of a row. `class_of` are the classes of columns of scores;
    without them the column score is that of the label, which an event may
    lack."""
    names = (cells.get(name, "") for name in _RECORDING)
    recording, label = next(filter(None, names), ""), cells[label_column]
    require(bool(recording), f"{source} names no recording", "fill it in")
    state = f"is {label!r}" if label else "is empty"
    require(not is_missing(label), f"{source}: the label {state}", "fill it in")
    refuse_damaged(source, "the label", label)
    scores = {}
    for column, name in (class_of or {"score": label}).items():
        cell = cells.get(column, "")
        if is_event and is_missing(cell):
            continue
        p = as_number(source, f"the score of {name}", cell)
        require(
            is_event or 0 <= p <= 1,
            f"{source}: the score of {name} is {p:g}",
            "a probability is between 0 and 1; correct it",
        )
        scores[name] = p
    return Case(row, source, recording, label, scores)


def _labels(cases: Sequence[Case]) -> List[str]:
    return sorted({case.label for case in cases})


def doubt(case: Case, threshold: Optional[float] = None) -> float:
    """Distance of a case from another decision: the lower, the more doubtful.

    Of two classes, the distance of the last one's log-odds from those of the
    threshold (0.5 if unknown); of more, the difference between the log
    probabilities of the two most probable ones; of an event, its score.

    Example
    -------
    >>> doubt(Case(0, "", "a.wav", "cry", {"other": 0.8, "cry": 0.2}), 0.2)
    0.0
    """
    values = [*case.scores.values()]
    if not values:
        return np.inf
    if case.span is not None:
        return values[0]
    if len(values) == 1:
        return abs(values[0] - 0.5)
    if len(values) == 2:
        limit = 0.5 if threshold is None else threshold
        return abs(_log_odds(values[1]) - _log_odds(limit))
    first, second = sorted(map(_log, values))[:-3:-1]
    return first - second


def surprise(case: Case) -> float:
    """Log probability of the label minus that of the best other class: the
    lower, the more surprising is the label.

    Example
    -------
    >>> scores = {"other": 0.5, "cry": 0.5}
    >>> surprise(Case(0, "", "a.wav", "cry", scores))
    0.0
    """
    if len(case.scores) == 1:
        (score,) = case.scores.values()
        return _log_odds(score)
    others = [p for name, p in case.scores.items() if name != case.label]
    if not others:
        return np.inf
    return _log(case.scores.get(case.label, 0.0)) - max(map(_log, others))


def _log(p: float) -> float:
    return float(np.log(max(p, _SMALLEST)))


def _log_odds(p: float) -> float:
    return _log(p) - _log(1 - p)
