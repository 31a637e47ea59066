"""Database of recordings as a hospital keeps it: ``recordings.csv`` and audio.

Columns: ``patient_id, path``, any labels, optionally ``recording_id`` (default:
the path), ``site``, ``recorded_at``, ``split`` (train, valid, test) or ``fold``.
"""

import logging
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Dict, List, Optional, Sequence, Tuple

from data_prep.audio.audits import Audits
from data_prep.audio.folder import FilesByName, audio_files, find_files, name_of
from data_prep.audio.packs import pack_at
from data_prep.corpora import preparation
from data_prep.files.atomic import make_folder
from data_prep.files.errors import InputError, not_a_file, require
from data_prep.files.identifiers import Spellings, identity
from data_prep.files.missing import is_missing, refuse_damaged, without_marks
from data_prep.files.spreadsheets import say_once
from data_prep.files.tables import Named, read_lines, read_table, write_table
from data_prep.manifest import Recording

logger = logging.getLogger(__name__)

TABLE = "recordings.csv"
REQUIRED = ("patient_id", "path")
#: Columns of a database that hold no labels.
NOT_LABELS = ("recording_id", "site", "recorded_at", "split", "fold")
#: So many values may be classes even of few patients.
_FEW_CLASSES = 10

Row = Tuple[Recording, Dict[str, str]]


def locate(
    folder: str, recordings_csv: Optional[str], option: str
) -> Tuple[Path, Path]:
    """Data folder and table of a database, which must exist."""
    root = preparation.require_folder(folder, option, f"{TABLE} and its audio")
    pack_at(root)  # checks all shards now, not in the middle of a run
    table = Path(recordings_csv) if recordings_csv else root / TABLE
    if not table.is_file() and (root / table).is_file():
        table = root / table
    cure = "pass the csv file of the database with --recordings_csv"
    others = sorted(root.glob("*.csv")) + sorted(root.glob("*.xlsx"))
    if not table.is_file() and len(others) == 1:
        cure = f"if the table is {others[0].name}, pass --recordings_csv "
        cure += f"{others[0]}"
    require(table.is_file(), not_a_file(table), cure)
    return root, table


def locate_table(
    recordings: str, data_folder: Optional[str]
) -> Tuple[Path, Path]:
    """Data folder and table, by the path of the table or of its folder."""
    table = Path(recordings)
    if table.is_dir():
        table = table / TABLE
    require(
        table.is_file(),
        not_a_file(table),
        "pass a recordings.csv or its folder",
    )
    return locate(data_folder or str(table.parent), str(table), "--data_folder")


def database_name(root: Path, table: Path) -> str:
    """Default name of a corpus: the folder's, or the table's if special.

    Example
    -------
    >>> database_name(Path("clinic"), Path("clinic/recordings_2020.csv"))
    'recordings_2020'
    """
    if table.name == TABLE:
        return name_of(root)
    return table.stem


#: Options that name columns of a user's table.
OPTIONS = ("patient_column", "path_column")


def named_columns(
    patient_column: str = "patient_id", path_column: str = "path"
) -> Named:
    """A user's names of columns, by ours."""
    return {"patient_id": patient_column, "path": path_column}


def read_cells(
    table: Path,
    columns: Sequence[str],
    named: Optional[Named] = None,
    has_named: bool = False,
) -> List[Tuple[str, Dict[str, str]]]:
    """Read the cells of a table of recordings, each row with its source. A
    recording without an id has its path for one."""
    rows = read_table(table, columns, named, has_named)
    if "recording_id" in rows[0][1]:
        return rows
    if "path" not in rows[0][1]:
        read_table(table, ["recording_id", "path"], named)  # is refused
    return [
        (source, {"recording_id": cells["path"], **cells})
        for source, cells in rows
    ]


def read_database(
    table: Path,
    label_columns: Sequence[str],
    named: Optional[Named] = None,
    has_named: bool = True,
) -> List[Row]:
    """Read the rows of a database: recordings without labels, and cells. It has
    the user's columns of patients and paths, unless `has_named` is False.

    Raises ``InputError`` for a missing column, an empty cell, an absolute path,
    an id changed by a spreadsheet, or a recording that is listed twice.
    """
    rows, nothing, n_missing = [], [], Counter()
    patients = Spellings("patient_id", refuse_zeros=True)
    sites = Spellings("site")
    columns = [*REQUIRED, *label_columns]
    for source, raw in read_cells(table, columns, named, has_named):
        if not any(raw[column] for column in ("recording_id", *columns)):
            nothing.append(source.rpartition(" ")[2])
            continue
        _check_cells(source, raw)
        cells = without_marks(raw)
        n_missing.update(c for c in label_columns if raw[c] != cells[c])
        rec = Recording(
            ID=cells["recording_id"],
            duration=0.0,
            # ./a.wav and a.wav are the same file.
            wav=PurePosixPath(cells["path"]).as_posix(),
            start=0.0,
            stop=0.0,
            label="",
            # The first spelling: some phones write ids in upper case, others
            # in lower case.
            patient_id=patients(source, cells["patient_id"]),
            site=sites(source, cells["site"]) if cells.get("site") else "",
            source=source,
        )
        rows.append((rec, cells))
    if not rows:
        raise InputError(f"{table} names no recording; fill it in")
    if nothing:
        say_once(
            f"{table}: rows without patient, file and label are left out "
            f"({len(nothing)}, such as row {nothing[0]})"
        )
    for column, n in n_missing.items():
        logger.warning(
            "%s: %d cells of %s are marks of a missing value, such as NA or "
            "-, and count as empty; if one is a class, give it another name",
            table,
            n,
            column,
        )
    _check_listed_once(rows, label_columns)
    for column in label_columns:
        check_one_spelling(rows, column)
    patients.report()
    sites.report()
    return rows


def _check_cells(source, cells):
    """Raise ``InputError`` for an empty, damaged or absolute cell."""
    for name in (*REQUIRED, "recording_id"):
        if name != "path" and is_missing(cells[name]) or not cells[name]:
            state = f"{cells[name]!r}, a missing value"
            state = state if cells[name] else "empty"
            raise InputError(f"{source}: {name} is {state}; fill it in")
    for name in ("recording_id", "patient_id"):
        refuse_damaged(source, name, cells[name], is_id=True)
    for name in ("site", "split", "fold"):
        refuse_damaged(source, name, cells.get(name, ""))
    if Path(cells["path"]).is_absolute():
        raise InputError(
            f"{source}: path {cells['path']} is absolute; write it relative"
            " to the data folder"
        )


def _check_listed_once(rows: List[Row], label_columns):
    """Raise ``InputError`` if two rows have the same path."""
    first = {}
    for rec, cells in rows:
        other, its_cells = first.setdefault(rec.wav, (rec, cells))
        if other is rec:
            continue
        for name in label_columns:
            if cells[name] != its_cells[name]:
                raise InputError(
                    f"{rec.source}: {rec.wav} has {name} {cells[name]!r} here "
                    f"and {its_cells[name]!r} in {other.source}; keep the "
                    "correct row"
                )
        raise InputError(
            f"{rec.source}: {rec.wav} is listed in {other.source} already; "
            "remove one of the rows"
        )


def check_one_spelling(rows: List[Row], column: str) -> None:
    """Raise ``InputError`` if a label is written in two ways: it would be two
    classes."""
    spelt = {}
    for rec, cells in rows:
        label = cells[column]
        other, source = spelt.setdefault(identity(label), (label, rec.source))
        if other != label:
            raise InputError(
                f"{rec.source}: {column} is {label!r}, and {other!r} in "
                f"{source}; use one spelling and alphabet"
            )


def check_labels(rows: List[Row], column: str, table: Path) -> None:
    """Refuse a column without labels, or whose values are not classes: an age,
    a date, an id."""
    patients = {r.patient_id for r, cells in rows if cells[column]}
    values = sorted({cells[column] for _, cells in rows} - {""})
    others = sorted({*rows[0][1]} - {column, *REQUIRED, *NOT_LABELS})
    cure = f"correct --label_column; {table} also has {', '.join(others) or 'no other'}"
    require(bool(values), f"no row of {table} has a label in {column}", cure)
    shown = f", {preparation.shortened_list(values, 5)}"
    if column in (*REQUIRED, *NOT_LABELS):
        shown = ""  # may identify patients
    require(
        len(values) <= _FEW_CLASSES or 2 * len(values) <= len(patients),
        f"{table}: {column} has {len(values)} values for {len(patients)} "
        f"patients{shown}; those are not classes",
        cure,
    )


def report_unlisted(rows: List[Row], root: Path, table: Path) -> None:
    """Say how many audio files of the data folder are in no row."""
    listed = {*find_files(root, [rec.wav for rec, _ in rows]).values()}
    if None in listed:  # refused by usable_rows, where its row is labelled
        return
    others = [path for path in audio_files(root) if path not in listed]
    if others:
        logger.info(
            "%d audio files of %s are in no row of %s and are not used",
            len(others),
            root,
            table.name,
        )
        logger.debug("in no row: %s", ", ".join(others))


def usable_rows(
    rows: List[Row],
    root: Path,
    save_folder: Path,
    left_out: Sequence[Tuple[str, str, str]] = (),
) -> Tuple[List[Row], Audits]:
    """Audit the rows of a database; return the usable ones, with durations of
    the decoded audio, and the audits."""
    locate_audio(rows, root)
    recordings = [rec for rec, _ in rows]
    audits = preparation.audit(recordings, root, save_folder, left_out)
    kept = [row for row in rows if audits.files[row[0].wav].usable]
    return kept, audits


def locate_audio(rows: List[Row], root: Path) -> None:
    """Set the path of each row's audio file as the data folder spells it.

    Raises ``InputError`` for a row without a file, and for a file of two rows.
    """
    row_of, found = {}, find_files(root, [rec.wav for rec, _ in rows])
    for rec, _ in rows:
        path = found[rec.wav]
        if path is None:
            cure = _elsewhere(root, rec.wav)
            if "\\" in rec.wav:
                cure = "write paths with /"
            raise InputError(
                f"{rec.source}: {rec.wav} is not in {root}; {cure}"
            )
        other = row_of.setdefault(path, rec.source)
        if other != rec.source:
            raise InputError(
                f"{rec.source}: {rec.wav} is listed in {other} already, in "
                "another spelling; remove one of the rows"
            )
        rec.wav = path


def _elsewhere(root: Path, path: str) -> str:
    """Cure for a path without a file: where files of this name are."""
    near = FilesByName(root)[path]
    if not near:
        return "add the file, correct the path, or remove the row"
    others = " or ".join(near[:2])
    return f"write its path, which may be {others}, or remove the row"


def write_database(rows: List[Dict[str, str]], table: Path) -> None:
    """Write ``recordings.csv``, unless the file holds the same rows already."""
    make_folder(table.parent)
    if table.is_file():
        # An unchanged file keeps the manifests made of it up to date.
        existing = read_lines(table)  # as written: cells are cleaned later
        if existing == [list(rows[0]), *(list(row.values()) for row in rows)]:
            return
    write_table(table, list(rows[0]), [row.values() for row in rows])
