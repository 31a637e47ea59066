"""Write the tables of cries that a study's runs read.

> python -m recipes.study.cry_tables CRIES RECORDINGS --out DIR \\
>     --labels neuro_injury,trigger [--more TABLE] [--folds 0 1 2]

``recordings.csv`` has the split of every recording, and the names of columns
that all commands know; ``labelled.csv`` and ``all.csv`` are the cries for
adaptation, labelled ones only or all; ``held_out.csv`` has the patients of validation and test set. With ``--folds``
there is one of the last three for each fold, such as ``all_0.csv``; with
``--make_folds`` that many folds are made.
"""

import logging
from pathlib import Path
from typing import Dict, List, Optional, Sequence

from data_prep.corpora.database import (
    TABLE,
    Row,
    locate,
    read_database,
    write_database,
)
from data_prep.corpora.folds import FOLD, rounds
from data_prep.corpora.stratify import (
    SHARES,
    fold_patients,
    split_patients,
    strata,
)
from data_prep.files.arguments import Arguments, add_columns, take_columns
from data_prep.files.errors import one_line_errors, require
from data_prep.files.identifiers import Spellings
from data_prep.files.lock import locked
from data_prep.files.tables import Named

#: Columns of the tables for adaptation: without labels.
_COLUMNS = ("recording_id", "patient_id", "path", "site", "split")
_HELD_OUT = ("valid", "test")
_ORDER = ("", "train", "valid", "test")


def write_tables(
    cries: str,
    recordings: str,
    out: str,
    labels: Sequence[str],
    more: Optional[str] = None,
    folds: Sequence[str] = (),
    make_folds: int = 0,
    fold_column: str = FOLD,
    seed: int = 0,
    named: Optional[Named] = None,
) -> None:
    """Write all tables into ``out``."""
    _, table = locate(cries, recordings, "cries")
    rows = read_database(table, labels, named)
    further = read_database(Path(more), [], named, False) if more else []
    if make_folds:
        folds = add_folds(rows, labels, table, make_folds, seed)
    patients = Spellings("patient_id", refuse_zeros=True)
    for rec, _ in [*rows, *further]:  # of both tables
        rec.patient_id = patients(rec.source, rec.patient_id)
    patients.report()
    with locked(Path(out)):
        _write_all(
            rows, further, labels, folds, fold_column, table, Path(out), seed
        )


def _write_all(rows, further, labels, folds, column, table, out, seed) -> None:
    if folds:
        _write_folds(rows, further, labels, folds, column, table, out)
        return
    if "split" not in rows[0][1]:
        add_split(rows, labels, table, seed)
    for rec, cells in rows:
        problem = f"{rec.source}: split is {cells['split']!r}"
        cure = "expected train, valid, test, or empty"
        require(cells["split"] in _ORDER, problem, cure)
    write_database([cells for _, cells in rows], out / TABLE)
    part_of = _most_held_out(
        (rec.patient_id, cells["split"]) for rec, cells in rows
    )
    _write_round(rows, further, labels, part_of, out, "")


def add_split(rows: List[Row], labels, table, seed: int = 0) -> None:
    """Add a column ``split`` of whole patients, 70 / 15 / 15, stratified by
    label and site."""
    part_of = split_patients(_strata(rows, labels, table), SHARES, seed)
    for rec, cells in rows:
        cells["split"] = part_of.get(rec.patient_id, "")


def add_folds(
    rows: List[Row], labels: Sequence[str], table: Path, n: int, seed: int = 0
) -> List[str]:
    """Add a column ``fold`` of whole patients, stratified by label and site;
    return the names of the folds."""
    problem = f"{table} has a column {FOLD!r} already"
    cure = "use it, by folds: True, or rename it"
    require(FOLD not in rows[0][1], problem, cure)
    fold_of = fold_patients(_strata(rows, labels, table), n, seed)
    for rec, cells in rows:
        cells[FOLD] = fold_of.get(rec.patient_id, "")
    return [str(fold) for fold in range(n)]


def _strata(rows: List[Row], labels, table) -> Dict[str, tuple]:
    """Label and site of each patient who has a label."""
    labelled = []
    for rec, cells in rows:
        rec.label = next((cells[name] for name in labels if cells[name]), "")
        if rec.label:
            labelled.append(rec)
    problem = f"no row of {table} has a label in {', '.join(labels)}"
    require(labelled, problem, "correct label_column")
    return strata(labelled)


def _most_held_out(splits) -> Dict[str, str]:
    """Split of each patient: one row in the test split is enough for it."""
    # The last row of a patient in this order counts.
    return dict(sorted(splits, key=lambda row: _ORDER.index(row[1])))


def _write_folds(rows, further, labels, folds, column, table, out) -> None:
    """Write tables for each fold; the next fold is for validation. Of another
    column than ``fold`` a patient may have several values, and further cries
    have one, too: whoever has the left-out value is held out."""
    require(column in rows[0][1], f"{table} has no column {column!r}", "add it")
    write_database([cells for _, cells in rows], out / TABLE)
    placed = rows if column == FOLD else [*rows, *further]
    for fold in rounds(column, folds):
        split_of = {value: split for split, value in fold.held_out.items()}
        part_of = _most_held_out(
            (rec.patient_id, split_of.get(cells.get(column), "train"))
            for rec, cells in placed
        )
        _write_round(rows, further, labels, part_of, out, f"_{fold.test}")


def _write_round(rows, further, labels, part_of, out, suffix) -> None:
    everything = [
        {
            **{name: cells.get(name, "") for name in _COLUMNS},
            "split": part_of.get(rec.patient_id, ""),
        }
        for rec, cells in [*rows, *further]
    ]
    pairs = [*zip(everything, rows)]
    tables = {
        "labelled": [row for row, (_, cells) in pairs if cells[labels[0]]],
        "all": everything,
        "held_out": [r for r in everything if r["split"] in _HELD_OUT],
    }
    for name, table_rows in tables.items():
        problem = f"no recording is {name.replace('_', ' ')}"
        cure = "correct the columns of the labels and of the split"
        require(table_rows, problem, cure)
        write_database(table_rows, out / f"{name}{suffix}.csv")


def main() -> None:
    """Run the command line."""
    parser = Arguments(
        description="Write the tables of cries that a study's runs read."
    )
    parser.add_argument("cries", metavar="CRIES", help="folder of the cries")
    parser.add_argument(
        "recordings", metavar="RECORDINGS", help="table of the cries"
    )
    parser.add_argument("--out", required=True, help="folder to write")
    parser.add_argument(
        "--labels", required=True, help="columns, separated by commas"
    )
    parser.add_argument(
        "--more", help="table of further cries, for adaptation only"
    )
    parser.add_argument(
        "--folds", nargs="+", default=[], help="names of the folds"
    )
    parser.add_argument(
        "--make_folds", type=int, default=0, help="number of folds to make"
    )
    parser.add_argument(
        "--fold_column", default=FOLD, help="column that holds the folds"
    )
    parser.add_argument("--seed", default=0, help="seed of the folds")
    add_columns(parser)
    args = take_columns(parser.parse_args())
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with one_line_errors():
        write_tables(**{**args, "labels": args["labels"].split(",")})
        print(f"done: tables in {args['out']}")


if __name__ == "__main__":
    main()
