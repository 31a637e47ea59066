"""Splits of a database that never divide a patient.

    python -m data_prep.split RECORDINGS --label_column L --out DIR

writes ``recordings.csv`` with a column ``split``, or ``fold`` (``--folds K``),
for all who will train on it, and the paper's table.
"""

import argparse
import logging
from pathlib import Path
from typing import Dict, List, Sequence

import numpy as np

from data_prep.corpora import preparation
from data_prep.corpora.copies import report_copies
from data_prep.corpora.counts import as_markdown, counts, write_counts
from data_prep.corpora.database import (
    TABLE,
    Row,
    locate_table,
    read_database,
    usable_rows,
)
from data_prep.corpora.stratify import (
    SHARES,
    check_fraction,
    fold_patients,
    fraction_of_patients,
    split_patients,
    strata,
)
from data_prep.files.errors import InputError, one_line_errors
from data_prep.files.tables import read_table, write_table
from data_prep.manifest import SPLITS, Recording

logger = logging.getLogger(__name__)


def split_database(
    recordings: str,
    save_folder: str,
    label_column: str,
    data_folder: str = "",
    folds: int = 0,
    shares: Sequence[float] = tuple(SHARES.values()),
    fractions: Sequence[float] = (),
    seed: int = 0,
) -> None:
    """Write a database's ``recordings.csv`` again, with a column ``split`` or
    ``fold``, and the paper's table.

    Recordings that cannot be used are left out (``rejected.csv``); those
    without a label stay, with an empty cell.
    """
    column = "fold" if folds else "split"
    shares = _shares(shares)
    _check_fractions(fractions, folds)
    root, table = locate_table(recordings, data_folder)
    rows = read_database(table, [label_column])
    if column in rows[0][1]:
        raise InputError(
            f"{table} has a column {column!r} already; use it as it is, or "
            "remove it for another one"
        )
    save_folder = preparation.require_out(save_folder, table.parent)
    preparation.require_out(save_folder, root)
    rows, audits = usable_rows(rows, root, save_folder)
    labelled = _labelled(rows, label_column, table)
    stratum_of = strata(labelled)
    if folds:
        part_of = fold_patients(stratum_of, folds, seed)
    else:
        part_of = split_patients(stratum_of, shares, seed)
    parts = {part: [] for part in (map(str, range(folds)) if folds else SPLITS)}
    for rec in labelled:
        parts[part_of[rec.patient_id]].append(rec)
    if not folds:
        preparation.require_classes(
            parts,
            sorted({rec.label for rec in labelled}),
            "add patients, or ask for --folds",
            least=2,  # who makes a split can still make a better one
        )
    _write_split(rows, column, part_of, save_folder / TABLE)
    print(write_counts(parts, save_folder))
    copies = report_copies(audits.copies, parts, save_folder / "duplicates.csv")
    if copies:
        logger.warning("%s", copies)
    if fractions:
        _report_fractions(parts, fractions, seed, save_folder)
    print(f"Wrote {save_folder / TABLE}: pass it with --recordings_csv")


def _labelled(rows: List[Row], label_column, table) -> List[Recording]:
    for rec, cells in rows:
        rec.label = cells[label_column]
    labelled = [rec for rec, _ in rows if rec.label]
    spelt = {}
    for rec in labelled:
        other = spelt.setdefault(rec.label.casefold(), rec)
        if other.label != rec.label:
            raise InputError(
                f"{rec.source}: {label_column} is {rec.label!r}, and "
                f"{other.label!r} in {other.source}; write it in one way"
            )
    if not labelled:
        raise InputError(
            f"no row of {table} has a label in {label_column}; correct "
            "--label_column"
        )
    return labelled


def _shares(shares: Sequence[float]) -> Dict[str, float]:
    if len(shares) != len(SPLITS) or not all(0 < x < np.inf for x in shares):
        raise InputError(
            f"shares is {list(shares)}; it must be three numbers above 0"
        )
    return {split: x / sum(shares) for split, x in zip(SPLITS, shares)}


def _check_fractions(fractions: Sequence[float], folds: int) -> None:
    if fractions and folds:
        raise InputError(
            "fractions are of the training patients; leave out --folds or "
            "--fractions"
        )
    for fraction in fractions:
        check_fraction(fraction)


def _write_split(rows: List[Row], column, part_of, path: Path):
    columns = [*rows[0][1], column]
    cells = [
        [*row.values(), part_of[rec.patient_id] if rec.label else ""]
        for rec, row in rows
    ]
    if path.is_file():
        there = [list(row.values()) for _, row in read_table(path, [])]
        if there != cells:
            raise InputError(
                f"{path} is of another split; pass another --out, or delete it"
            )
    write_table(path, columns, cells)


def _report_fractions(parts, fractions, seed, save_folder):
    train = parts["train"]
    stratum_of = strata(train)
    smallest, subsets = {}, {}
    for fraction in sorted(fractions, reverse=True):
        kept = fraction_of_patients(stratum_of, fraction, seed)
        smallest.update(dict.fromkeys(kept, fraction))
        subsets[f"{fraction:.0%}"] = [r for r in train if r.patient_id in kept]
    write_table(
        save_folder / "fractions.csv",
        ("patient_id", "label", "smallest_fraction"),
        [(p, stratum_of[p][0], smallest[p]) for p in sorted(smallest)],
    )
    # The largest holds all the others: their sum would mean nothing.
    table = counts(dict(reversed(subsets.items())))
    for row in table.values():
        del row["all"]
    print("\nTraining patients by label fraction, each within the next:\n")
    print(as_markdown(table))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=split_database.__doc__.split("\n\n")[0], allow_abbrev=False
    )
    parser.add_argument("recordings", metavar="RECORDINGS")
    parser.add_argument("--label_column", required=True)
    parser.add_argument("--out", required=True, help="for recordings.csv")
    parser.add_argument("--data_folder", default="")
    parser.add_argument("--folds", type=int, default=0)
    parser.add_argument(
        "--shares", type=float, nargs="+", default=list(SHARES.values())
    )
    parser.add_argument("--fractions", type=float, nargs="+", default=[])
    parser.add_argument("--seed", type=int, default=0)
    args = vars(parser.parse_args())
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with one_line_errors():
        split_database(save_folder=args.pop("out"), **args)


if __name__ == "__main__":
    main()
