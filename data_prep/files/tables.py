"""Read csv tables with the faults of users' files; write them atomically."""

import csv
import logging
from pathlib import Path
from typing import Dict, Iterable, List, Sequence, Tuple

from data_prep.files.atomic import complete_or_absent
from data_prep.files.errors import InputError
from data_prep.files.identifiers import cleaned
from data_prep.files.missing import PATHS, refuse_damaged
from data_prep.files.spreadsheets import csv_text, parsed_lines

logger = logging.getLogger(__name__)


def read_lines(path: Path) -> List[List[str]]:
    """Read the cells of a csv file by line, header included.

    The file is comma-separated, or has a first line like ``sep=;``, in UTF-8
    or UTF-16.
    """
    text, separator = csv_text(path)
    return parsed_lines(text, separator, path)


def read_table(
    path: Path, required: Sequence[str]
) -> List[Tuple[str, Dict[str, str]]]:
    """Read a user's csv file with a header, checking for common faults.

    Returns "<file name> row <n>" and the cells by column, for each row.
    Cells are cleaned (``identifiers.cleaned``), paths stripped of surrounding
    space. Empty rows and empty columns without a name are skipped. Rows are
    numbered as in a spreadsheet: the first line is row 1. Raises ``InputError``
    if the file is missing, empty or not Unicode, lacks or repeats a column, has
    ragged rows, or if a spreadsheet's error is in a required column.
    """
    path = Path(path)
    lines = [
        (f"{path.name} row {n}", line)
        for n, line in enumerate(read_lines(path), start=1)
        if any(map(cleaned, line))
    ]
    if not lines:  # as ",,,"
        raise InputError(f"{path} is empty; expected a header and rows")
    _refuse_title(lines, required)
    header = checked_header(path, lines[0][1], required)
    rows, changed = [], []
    for source, line in lines[1:]:
        if list(map(cleaned, line))[: len(header)] == header:
            raise InputError(f"{source} repeats the header; remove that row")
        raw = _cells(path, source, header, line)
        cells = {
            name: (str.strip if name in PATHS else cleaned)(cell)
            for name, cell in raw.items()
        }
        for name in required:
            refuse_damaged(source, name, cells[name])
        if cells != raw:
            changed += [
                (source, name, raw[name])
                for name in cells
                if cells[name] != raw[name]
            ]
        rows.append((source, cells))
    if not rows:
        raise InputError(f"{path} has a header and no rows")
    _report_cleaned(changed, required)
    return rows


def _refuse_title(lines: List[Tuple[str, List[str]]], required) -> None:
    """Refuse rows above the header, such as a title of the sheet."""
    names = set(required)
    for number, (source, line) in enumerate(lines[:20]):
        if names and names <= set(map(cleaned, line)):
            if number:
                raise InputError(
                    f"{source} is the header; remove the rows above it"
                )
            return


def _cells(path, source, header, line) -> Dict[str, str]:
    """Cells of a line by column, without columns that have no name."""
    beyond = [cell for cell in line[len(header) :] if cleaned(cell)]
    if len(line) < len(header) or beyond:
        row = source.rpartition(" ")[2]
        raise InputError(
            f"{path} row {row} has {len(line)} cells, the header "
            f"{len(header)}; quote cells that hold a comma, and name each "
            "column"
        )
    pairs = list(zip(header, line))
    if any(cleaned(cell) for name, cell in pairs if not name):
        raise InputError(
            f"{source} has a value in a column without a name; name it in the "
            "header, or remove it"
        )
    return {name: cell for name, cell in pairs if name}


def _report_cleaned(changed: List[Tuple[str, str, str]], required) -> None:
    """Log which cells were cleaned. The example is shown only if it is of a
    column that is required and holds neither ids nor paths."""
    if not changed:
        return
    shown = {*required} - {"recording_id", "patient_id", "ID", *PATHS}
    source, name, raw = next((c for c in changed if c[1] in shown), changed[0])
    cell = f"{name} is {raw!r}" if name in shown else f"{name}"
    logger.info(
        "%s: %s; spaces and invisible characters in it, and in %d other "
        "cells, are removed or made one",
        source,
        cell,
        len(changed) - 1,
    )


def checked_header(
    path: Path, line: Sequence[str], required: Sequence[str]
) -> List[str]:
    """Column names of a header line, without empty ones at its end."""
    header = [cleaned(name) for name in line]
    for mark, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if len(line) == 1 and mark in line[0]:
            raise InputError(
                f"{path} is separated by {name}; save it with commas (a "
                "spreadsheet takes them from the list separator of its "
                "region), or put a line before the header: sep= and the sign"
            )
    while header and not header[-1]:
        header.pop()
    repeated = sorted({n for n in header if n and header.count(n) > 1})
    if repeated:
        raise InputError(
            f"{path} has the column {repeated[0]!r} twice; rename one"
        )
    for name in required:
        if name not in header:
            raise InputError(
                f"{path} has no column {name!r}, only {', '.join(header)}; "
                "add or rename it, or correct the option that names it"
            )
    return header


def write_table(
    path: Path,
    columns: Sequence[str],
    rows: Iterable[Sequence],
    errors: str = "backslashreplace",
) -> None:
    """Write a csv file atomically."""
    text = {"encoding": "utf-8", "errors": errors, "newline": ""}
    with complete_or_absent(path) as partial:
        with open(partial, "w", **text) as file:
            plain = csv.writer(file, lineterminator="\n")
            # csv does not quote a lone carriage return, which ends a row.
            quoted = csv.writer(
                file, lineterminator="\n", quoting=csv.QUOTE_ALL
            )
            plain.writerow(columns)
            for row in rows:
                must_quote = any("\r" in str(cell) for cell in row)
                (quoted if must_quote else plain).writerow(row)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with complete_or_absent(path) as partial:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")
