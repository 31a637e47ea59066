"""Read csv tables with the faults of users' files; write them atomically."""

import csv
import logging
from pathlib import Path
from typing import Dict, Iterable, List, Sequence, Tuple

from data_prep.files.atomic import complete_or_absent
from data_prep.files.errors import InputError

logger = logging.getLogger(__name__)


def read_lines(path: Path) -> List[List[str]]:
    """Read the cells of a csv file by line, header included.

    Arguments
    ---------
    path : pathlib.Path
        Comma-separated, UTF-8 (a byte-order mark is accepted).

    Returns
    -------
    list of list of str

    Example
    -------
    >>> path = getfixture("tmpdir").join("a.csv")
    >>> path.write("x,y\\n1, 2\\n")
    >>> read_lines(path)
    [['x', 'y'], ['1', ' 2']]
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; pass the csv file in it")
    if not path.is_file():
        raise InputError(f"{path} does not exist; correct the path")
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            lines = list(csv.reader(file))
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8; save it as 'CSV UTF-8'")
    except csv.Error as error:
        raise InputError(
            f"{path} is not a csv file ({error}); look for an unclosed quote"
        )
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})")
    if not lines:
        raise InputError(f"{path} is empty; expected a header and rows")
    return lines


def read_table(
    path: Path, required: Sequence[str]
) -> List[Tuple[str, Dict[str, str]]]:
    """Read a user's csv file with a header, checking for common faults.

    Cells are stripped of surrounding space. Rows are numbered as in a
    spreadsheet: the header is row 1. Raises ``InputError`` if the file is
    missing, empty or not UTF-8, lacks or repeats a column, or has ragged rows.

    Arguments
    ---------
    path : pathlib.Path
        Comma-separated, UTF-8 (a byte-order mark is accepted).
    required : sequence of str
        Required columns.

    Returns
    -------
    list of (str, dict)
        "<file name> row <n>" and the row by column.

    Example
    -------
    >>> path = getfixture("tmpdir").join("a.csv")
    >>> path.write("x,y\\n1, 2\\n")
    >>> read_table(path, ["x"])
    [('a.csv row 2', {'x': '1', 'y': '2'})]
    """
    path = Path(path)
    lines = read_lines(path)
    header = [name.strip() for name in lines[0]]
    _check_header(path, header, required)
    rows, padded = [], []
    for n, line in enumerate(lines[1:], start=2):
        cells = [cell.strip() for cell in line]
        if not any(cells):
            continue
        if len(line) != len(header):
            raise InputError(
                f"{path} row {n} has {len(line)} cells, the header "
                f"{len(header)}; quote cells that hold a comma"
            )
        if cells != line:
            padded += [
                f"{path.name} row {n}: {name} is {raw!r}"
                for name, raw, cell in zip(header, line, cells)
                if raw != cell
            ]
        rows.append((f"{path.name} row {n}", dict(zip(header, cells))))
    if not rows:
        raise InputError(f"{path} has a header and no rows")
    if padded:
        logger.info(
            "%s; the space around it, and around %d other cells, is removed",
            padded[0],
            len(padded) - 1,
        )
    return rows


def _check_header(path, header, required):
    for mark, name in ((";", "semicolons"), ("\t", "tabs")):
        if len(header) == 1 and mark in header[0]:
            raise InputError(
                f"{path} is separated by {name}; save it with commas (a "
                "spreadsheet takes them from the list separator of its region)"
            )
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise InputError(
            f"{path} has the column {repeated[0]!r} twice; rename one"
        )
    for name in required:
        if name not in header:
            raise InputError(
                f"{path} has no column {name!r}, only {', '.join(header)}; "
                "add or rename it"
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
