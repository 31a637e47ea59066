"""Read csv tables with the faults of users' files; write them atomically."""

import csv
import difflib
import io
import logging
import re
from operator import itemgetter
from pathlib import Path
from typing import Dict, Iterable, List, Mapping, Optional, Sequence, Set, Tuple

from data_prep.files.atomic import complete_or_absent
from data_prep.files.errors import InputError, require
from data_prep.files.identifiers import cleaned
from data_prep.files.missing import PATHS, is_missing, refuse_damaged
from data_prep.files.spreadsheets import csv_text, parsed_lines, say_once

logger = logging.getLogger(__name__)

#: A user's names of columns, by ours: ``{"patient_id": "Baby"}``.
Named = Mapping[str, str]
#: Options that give them.
NAMED_BY = {"patient_id": "--patient_column", "path": "--path_column"}
#: Columns of texts, in which a decimal comma is left as it is.
_TEXTS = {"recording_id", "patient_id", "ID", "label", *PATHS}
_DECIMAL = re.compile(r"[+-]?\d+(,\d+)?", re.ASCII)


def read_lines(path: Path) -> List[List[str]]:
    """Read the cells of a csv file by line, header included.

    The file is separated by commas, semicolons, tabs or bars, in UTF-8 or
    UTF-16, or a workbook.
    """
    text, separator = csv_text(path)
    return parsed_lines(text, separator, path)


def read_table(
    path: Path,
    required: Sequence[str],
    named: Optional[Named] = None,
    has_named: bool = False,
) -> List[Tuple[str, Dict[str, str]]]:
    """Read a user's csv file with a header, checking for common faults.

    Columns that the user calls otherwise (`named`) get our names; with
    `has_named` a table that has our name in place of theirs is refused. Decimal
    commas become points, but not in a comma-separated file.

    Returns "<file name> row <n>" and the cells by column, for each row.
    Cells are cleaned (``identifiers.cleaned``), paths stripped of surrounding
    space. Empty rows, titles above the header and empty columns without a name
    are skipped. Rows are numbered as in a spreadsheet: the first line is row 1.
    Raises ``InputError`` if the file is missing, empty or not Unicode, lacks or
    repeats a column, has ragged rows, or if a spreadsheet's error is in a
    required column.
    """
    path = Path(path)
    text, separator = csv_text(path)
    lines = [
        (f"{path.name} row {n}", line)
        for n, line in enumerate(parsed_lines(text, separator, path), start=1)
        if any(map(cleaned, line))
    ]
    if not lines:  # as ",,,"
        raise InputError(f"{path} is empty; expected a header and rows")
    names = {(named or {}).get(name, name) for name in required}
    lines = from_header(path, lines, names)
    first = [cleaned(cell) for cell in lines[0][1]]
    header = checked_header(path, first, required, named, has_named)
    rows, changed = [], []
    for source, line in lines[1:]:
        repeated = cleaned(line[0]) == first[0]  # most rows do not begin so
        if repeated and (
            list(map(cleaned, line))[: len(header)] == first[: len(header)]
        ):
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
    if separator != ",":
        replace_decimal_commas(path, [cells for _, cells in rows])
    return rows


def read_columns(path: Path, names: Sequence[str]) -> List[Tuple[str, ...]]:
    """Read the cells of two or more columns of a table that this project has
    written, by row: a tenth of the time of ``read_table``, which cleans them.

    Another table, such as one with empty or ragged rows or an open quote, is
    left to ``read_table``. Without rows, the result is empty.
    """
    text, separator = csv_text(path)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    header = checked_header(path, next(lines, []), names)
    cells_of, rows = itemgetter(*map(header.index, names)), []
    n_cells = len(header)
    is_ours = separator == "," and text.count('"') % 2 == 0
    try:
        for line in lines:
            if len(line) != n_cells or not is_ours:
                raise csv.Error
            rows.append(cells_of(line))
    except csv.Error:
        table = read_table(path, names)
        return [itemgetter(*names)(row) for _, row in table]
    return rows


def replace_decimal_commas(path: Path, rows: List[Dict[str, str]]) -> None:
    """Write points in columns of numbers with decimal commas; `rows` are the
    cleaned cells by column of a table that is not separated by commas."""
    replaced = []
    for name in rows[0].keys() - _TEXTS:
        cells = [row[name] for row in rows if not is_missing(row[name])]
        commas = [cell for cell in cells if "," in cell]
        if commas and all(map(_DECIMAL.fullmatch, cells)):
            replaced.append(name)
            for row in rows:
                if not is_missing(row[name]):
                    row[name] = row[name].replace(",", ".")
    if replaced:
        say_once(f"{path}: decimal commas in {', '.join(sorted(replaced))}")


def from_header(
    path: Path, lines: List[Tuple[str, List[str]]], names: Set[str]
) -> List[Tuple[str, List[str]]]:
    """Lines from the header on. Rows of one cell above it, such as a title of
    the sheet, are left out, which is said; others are refused."""
    filled = [[*filter(None, map(cleaned, line))] for _, line in lines[:20]]
    fits = (n for n, cells in enumerate(filled) if names and names <= {*cells})
    first = next(fits, None)
    if first is None and len(names) > 1 and not names & {*filled[0]}:
        # The user has not named all columns yet.
        first = next((n for n, cells in enumerate(filled) if cells[1:]), 0)
    first = first or 0
    if any(cells[1:] for cells in filled[:first]):
        raise InputError(
            f"{lines[first][0]} is the header; remove the rows above it"
        )
    if first:
        row = lines[first][0].rpartition(" ")[2]
        say_once(f"{path}: row {row} is the header; what is above is left out")
    missing = names - {*filled[first]}
    for number, cells in enumerate(filled[first + 1 : first + 4], first + 1):
        if missing & {*cells}:
            there = ", ".join(map(repr, sorted(missing & {*cells})))
            raise InputError(
                f"{lines[number][0]} holds {there}, names of columns that the "
                "row above lacks; write all names in one row, without rows "
                "above it"
            )
    return lines[first:]


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
    path: Path,
    line: Sequence[str],
    required: Sequence[str],
    named: Optional[Named] = None,
    has_named: bool = False,
) -> List[str]:
    """Column names of a header line, without empty ones at its end."""
    header = [cleaned(name) for name in line]
    while header and not header[-1]:
        header.pop()
    repeated = sorted({n for n in header if n and header.count(n) > 1})
    if repeated:
        raise InputError(
            f"{path} has the column {repeated[0]!r} twice; rename one"
        )
    renamed = _renamed(header, named or {})
    missing = [
        name
        for name in required
        if name not in renamed
        or (has_named and (named or {}).get(name, name) not in header)
    ]
    if missing:
        _refuse_missing(path, header, missing, named)
    return renamed


def _renamed(header: List[str], named: Named) -> List[str]:
    """Header with our names in place of the user's."""
    ours_of = {
        theirs: ours
        for ours, theirs in named.items()
        if theirs in header and theirs != ours
    }
    unused = {name: f"{name} (not used)" for name in ours_of.values()}
    return [ours_of.get(name, unused.get(name, name)) for name in header]


def _refuse_missing(path, header, missing, named) -> None:
    """Name all columns that a table lacks, and the nearest that it has."""
    names, cures = [], []
    lower = {name.lower(): name for name in header if name}
    for ours in missing:
        name = (named or {}).get(ours, ours)
        near = difflib.get_close_matches(name.lower(), lower, 1)
        names.append(f"{name!r}" + (f" ({lower[near[0]]}?)" if near else ""))
        if named is not None and ours in NAMED_BY:
            cures.append(f"{NAMED_BY[ours]} NAME")
    cure = "add or rename it, or correct the option that names it"
    if cures:
        cure = f"pass {' and '.join(cures)}, or rename"
        if len(cures) < len(missing):
            cure += "; correct the options that name the others"
    raise InputError(
        f"{path} has no column {', no column '.join(names)}, only "
        f"{', '.join(filter(None, header))}; {cure}"
    )


def require_own(path: Path, columns: Sequence[str]) -> None:
    """Refuse to replace a table that does not begin with these columns, so
    that another command, or the user, has written it."""
    if not Path(path).is_file():
        return
    with open(path, encoding="utf-8", errors="replace") as file:
        names = file.readline(1 << 16).rstrip("\n").split(",")
    require(
        names[: len(columns)] == [*columns],
        f"{path} is a table of another kind, which would be replaced",
        "pass another --out",
    )


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
