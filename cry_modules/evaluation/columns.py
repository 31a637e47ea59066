"""Columns of recordings.csv that the evaluation uses: subgroups, nuisances."""

import re
from pathlib import Path
from typing import Dict, Iterable, List, Optional, Sequence

from cry_modules.evaluation.subgroups import assign_groups
from data_prep.corpora.database import (
    OPTIONS,
    locate,
    named_columns,
    read_cells,
    read_database,
)
from data_prep.files.errors import InputError
from data_prep.files.identifiers import Spellings
from data_prep.files.missing import is_missing, refuse_damaged
from data_prep.files.tables import Named

#: By column, the cell of each recording.
Columns = Dict[str, Dict[str, str]]

_ID = "recording_id"
#: Columns that must not appear in a report.
_PERSONAL = ("patient_id", _ID, "path", "recorded_at")
_MONTH = (
    "(jan(uary)?|feb(ruary)?|mar(ch)?|apr(il)?|may|june?|july?|aug(ust)?"
    "|sept?(ember)?|oct(ober)?|nov(ember)?|dec(ember)?)"
)
_DATE = re.compile(
    rf"""(19|20)\d\d[-/]\d\d?\b                     # 2024-05, 2024-05-06T10:00
    |(19|20)\d\d\.\d\d?\.\d\d?\b                  # 2024.05.06
    |(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(\D|$)   # 20240506
    |\d\d?(?P<mark>[./-])\d\d?(?P=mark)(\d\d|\d{{4}})\b   # 6.5.24, 05/06/2024
    |(\d\d?\.?[ -]?)?{_MONTH}\.?[ ,-]+(\d\d?,?[ -]+)?\d{{2,4}}\b""",
    re.I | re.X,
)

#: Value of ``--nuisance`` that names no column: the probe of who cries.
INFANT = "infant"
#: Columns whose groups are on the card without being asked for.
SHAREABLE_COLUMNS = ("site", "sex", "gender", "age", "language", "device")


def read_columns(
    table_path: Path,
    columns: Sequence[str],
    option: str = "--subgroups",
    named: Optional[Named] = None,
) -> Columns:
    """Read columns of recordings.csv; `option` is for messages."""
    rows = read_cells(table_path, [], named)
    cells_of = {}
    for source, cells in rows:
        first, _ = cells_of.setdefault(cells[_ID], (source, cells))
        if first != source:
            raise InputError(
                f"{source}: {_ID} {cells[_ID]!r} is in {first} already; give "
                "each recording its own"
            )
    known = rows[0][1]
    for column in columns:
        if column not in known:
            raise InputError(
                f"{option} names {column!r}, and {table_path} has the "
                f"columns {', '.join(known)}; name some of them"
            )
    return {
        column: _one_spelling(table_path, column, cells_of)
        for column in columns
    }


def _one_spelling(table_path, column, cells_of) -> Dict[str, str]:
    """Cells of a column by recording, each value in its first spelling and
    marks of a missing value as empty cells."""
    first, values = Spellings(f"{column} of {table_path.name}"), {}
    for ID, (source, cells) in cells_of.items():
        refuse_damaged(source, column, cells[column])
        missing = is_missing(cells[column])
        values[ID] = "" if missing else first(source, cells[column])
    first.report()
    return values


def subgroup_columns(hparams: Dict) -> Columns:
    """Read the columns of ``--subgroups``, and check that they hold groups.

    Ids and dates are refused here, before hours of training.
    """
    columns = _option_columns(hparams, "subgroups")
    if columns:
        patient_of = read_columns(
            _table(hparams), ["patient_id"], named=named_in(hparams)
        )["patient_id"]
        for name, cell_of in columns.items():
            assign_groups(
                list(cell_of.values()), list(patient_of.values()), name
            )
    return columns


def _option_names(hparams: Dict, option: str) -> List[str]:
    """Names of columns that an option lists."""
    names = hparams.get(option)
    if names is None:
        return []
    if isinstance(names, str):
        names = [name.strip() for name in names.split(",")]
    if not isinstance(names, list) or not all(
        isinstance(name, str) for name in names
    ):
        raise InputError(
            f"--{option} is {names!r}; name columns separated by commas, as site "
            "or site,age"
        )
    return names


def _option_columns(hparams: Dict, option: str) -> Columns:
    """Cells by recording of the columns that an option names."""
    names = _option_names(hparams, option)
    if not names:
        return {}
    for name in names:
        refuse_personal(name, option, ())
    if "recordings_csv" not in hparams:
        raise InputError(
            f"--{option} is {', '.join(names)} and this corpus has no "
            f"recordings.csv; pass --{option} null"
        )
    columns = read_columns(
        _table(hparams), names, f"--{option}", named_in(hparams)
    )
    for name, cell_of in columns.items():
        refuse_personal(name, option, cell_of.values())
    return columns


def named_in(hparams: Dict) -> Named:
    """The user's names of columns of an experiment."""
    given = {name: hparams[name] for name in OPTIONS if name in hparams}
    return named_columns(**given)


def _table(hparams: Dict) -> Path:
    return locate(
        hparams["data_folder"], hparams["recordings_csv"], "--data_folder"
    )[1]


def refuse_personal(column: str, option: str, cells: Iterable[str]) -> None:
    """Refuse a column that would identify patients in a report: ids, dates."""
    if column in _PERSONAL:
        raise InputError(
            f"--{option} is {column}, which identifies patients; name a column "
            "of groups"
        )
    dates = [cell for cell in cells if is_date(cell)]
    if dates:
        raise InputError(
            f"--{option} is {column}, which holds {len(dates)} dates such as "
            f"{dates[0]!r}; name a column of groups, such as one of seasons"
        )


def is_date(text: str) -> bool:
    """Check whether a text is a day, or a month of a year.

    Example
    -------
    >>> [
    ...     is_date(t)
    ...     for t in ("2024-05-06", "6.5.24 10:00", "20240506", "May 24")
    ... ]
    [True, True, True, True]
    >>> [is_date(text) for text in ("3.5", "2024", "12-24 weeks", "20241399")]
    [False, False, False, False]
    """
    return _DATE.match(text.strip()) is not None


def nuisance_columns(hparams: Dict) -> Optional[Columns]:
    """Read the columns of ``--nuisance``; None if no probe is requested.

    ``infant`` is not a column: who cries is probed whatever else is. The
    default, site, is empty where the table lacks the column.
    """
    names = _option_names(hparams, "nuisance")
    if not names:
        return None
    if names != ["site"] or "recordings_csv" not in hparams:
        columns = [name for name in names if name != INFANT]
        return _option_columns({**hparams, "nuisance": columns}, "nuisance")
    rows = read_database(
        _table(hparams), [hparams["label_column"]], named_in(hparams)
    )
    return {"site": {rec.ID: rec.site for rec, _ in rows}}
