"""New tables with the decisions of a review, and what they change."""

import shlex
from collections import Counter
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from cry_modules.review.cases import ADDED, ScoreTable
from cry_modules.review.decisions import EXCLUDED, UNSURE, Decisions, answer
from cry_modules.review.locate import Recordings
from cry_modules.review.order import Item
from data_prep.files.tables import write_table


def recordings_file(out: Path) -> Path:
    """File of all recordings of a table with the decisions on some."""
    return out.with_name(f"{out.stem}_recordings.csv")


def write_results(
    out: Path, table: ScoreTable, recordings: Recordings, decisions: Decisions
) -> List[Path]:
    """Write the table of scores with the columns ``ADDED`` and, if its
    recordings are described by a table, all of that with the same columns.
    Return their files.

    ``reviewed_label`` is the label to train on: empty for excluded and unsure
    cases, and for those not reviewed the old label, unless a model called it.
    """
    added = {}
    for case in table.cases:
        label = "" if table.is_predicted else case.label
        decision = decisions.of(Item(case.row))
        added[case.row] = _cells(case.label, label, decision)
    _write(out, table.rows, added, lambda _: "")
    if not recordings.rows or table.is_events:
        return [out]
    column, path = recordings.label_column, recordings_file(out)
    added = {recordings.index(c): added[c.row] for c in table.cases}
    _write(path, recordings.rows, added, lambda cells: cells.get(column, ""))
    return [out, path]


def _write(path: Path, rows, added: Dict, label_of: Callable) -> None:
    """Write rows with the cells that are added to some; others keep a label."""
    cells_of = [
        (*cells.values(), *added.get(i, (label_of(cells), "", "", "", "")))
        for i, (_, cells) in enumerate(rows)
    ]
    write_table(path, (*rows[0][1], *ADDED), cells_of)


def _cells(old: str, default: str, decision: Optional[Dict]) -> Tuple:
    """Cells of ``ADDED``; without a decision only the default label."""
    if decision is None:
        return default, "", "", "", ""
    outcome, label = decision["decision"], decision["label"]
    if outcome == "label":
        outcome = "kept" if label == old else "relabelled"
    cells = (decision[name] for name in ("reviewer", "seconds", "note"))
    return label, outcome, *cells


def summary(table: ScoreTable, decisions: Decisions, classes) -> List[str]:
    """Lines on what a review has changed: old labels by new ones, and how far
    a reviewer agrees with himself on cases played twice."""
    decided = [(c.label, decisions.of(Item(c.row))) for c in table.cases]
    pairs = Counter((old, answer(new)) for old, new in decided if new)
    lines = [f"{pairs.total()} of {len(table.cases)} cases are reviewed"]
    if pairs:
        n_of: Counter = Counter()
        for (old, new), n in pairs.items():
            is_label = new not in (EXCLUDED, UNSURE)
            word = "kept" if new == old else "relabelled" if is_label else new
            n_of[word] += n
        words = ("kept", "relabelled", EXCLUDED, UNSURE)
        lines[0] += ": " + ", ".join(f"{n_of[word]} {word}" for word in words)
        lines += _grid(pairs, [*classes, EXCLUDED, UNSURE])
    twice = [(answer(a), answer(b)) for a, b in decisions.twice()]
    if twice:
        # Imported here: it takes a second, and few reviews need it.
        from sklearn.metrics import cohen_kappa_score

        same = sum(a == b for a, b in twice)
        words = "cannot be computed, all have one label"
        if len({*sum(twice, ())}) > 1:
            words = f"{cohen_kappa_score(*zip(*twice)):.2f}"
        lines.append(
            f"{len(twice)} cases were judged twice, {same} of them alike; "
            f"Cohen's kappa {words}"
        )
    return lines


def _grid(pairs: Counter, answers: Sequence[str]) -> List[str]:
    """Lines of a table of old labels by new ones, without empty ones."""
    olds = [name for name in answers if any(old == name for old, _ in pairs)]
    news = [name for name in answers if any(new == name for _, new in pairs)]
    cells = [["old \\ new", *news]]
    for old in olds:
        cells.append([old, *(str(pairs[old, new]) for new in news)])
    widths = [max(map(len, column)) for column in zip(*cells)]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]
        )
        for row in cells
    ]


def training_command(
    out: Path, table: ScoreTable, recordings: Recordings, decisions: Decisions
) -> str:
    """Line with the command that trains on the new table, or with what it
    lacks."""
    columns, options = table.rows[0][1], []
    if table.is_events:
        command = ["python", "-m", "data_prep.annotations"]
        command += [recordings.root, out, "--out", "DIR"]
        if recordings.table is not None:
            command += ["--recordings_csv", recordings.table]
        return "to train on them: " + shlex.join(map(str, command))
    if recordings.rows:
        out = recordings_file(out)
        columns = recordings.rows[0][1]
    elif "patient" in columns and "patient_id" not in columns:
        options = ["--patient_column", "patient"]
    if not {"patient_id", "patient"} & set(columns) or "path" not in columns:
        return (
            f"{out} names no patients: to train on it, resume with the "
            "recordings.csv of these recordings as RECORDINGS"
        )
    command = [
        *("python", "train_cls.py", "hparams/small_linear.yaml"),
        *("--data_folder", recordings.root, "--recordings_csv", out),
        *("--label_column", "reviewed_label", "--classes"),
        *(",".join(_labels(table, recordings, decisions)), *options),
    ]
    line = "to train on it: " + shlex.join(map(str, command))
    if not recordings.rows:
        line += (
            f"\n{out} has the rows of {table.path} only; with the "
            "recordings.csv as RECORDINGS, a table of all recordings is "
            "written, too"
        )
    return line


def _labels(table, recordings, decisions) -> List[str]:
    """Labels that the new table has, in the order of the classes."""
    column = recordings.label_column
    used = {cells.get(column) for _, cells in recordings.rows}
    for case in table.cases:
        decision = decisions.of(Item(case.row))
        if decision is not None:
            used.add(decision["label"])
        elif not table.is_predicted:
            used.add(case.label)
    return [name for name in table.classes if name in used]
