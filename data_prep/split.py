"""Split a database into train, valid and test, or folds, by whole patients.

    python -m data_prep.split RECORDINGS --label_column L --out DIR

writes ``recordings.csv`` with a column ``split``, or ``fold`` (``--folds K``),
and the paper's table.
"""

import logging
from collections import Counter
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import numpy as np

from data_prep.corpora import preparation
from data_prep.corpora.copies import report_copies
from data_prep.corpora.counts import as_markdown, counts, write_counts
from data_prep.corpora.database import (
    TABLE,
    Row,
    check_labels,
    locate_table,
    read_database,
    report_unlisted,
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
from data_prep.files.arguments import Arguments, add_columns, take_columns
from data_prep.files.errors import InputError, one_line_errors, require
from data_prep.files.lock import locked
from data_prep.files.tables import Named, read_table, write_table
from data_prep.manifest import SPLITS, Recording

logger = logging.getLogger(__name__)


def split_database(
    recordings: str,
    save_folder: str,
    label_column: str,
    data_folder: Optional[str] = None,
    folds: int = 0,
    shares: Sequence[float] = tuple(SHARES.values()),
    fractions: Sequence[float] = (),
    seed: int = 0,
    named: Optional[Named] = None,
) -> None:
    """Write ``recordings.csv`` with a column ``split`` or ``fold``.

    Unusable recordings are left out (``rejected.csv``); recordings without a
    label are kept, with an empty cell. The paper's table is printed and saved.
    """
    column = "fold" if folds else "split"
    shares = _shares(shares)
    _check_fractions(fractions, folds)
    root, table = locate_table(recordings, data_folder)
    rows = read_database(table, [label_column], named)
    require(
        column not in rows[0][1],
        f"{table} has a column {column!r} already",
        "use it, or remove it for a new one",
    )
    check_labels(rows, label_column, table)
    report_unlisted(rows, root, table)
    save_folder = preparation.require_out(save_folder, table.parent)
    preparation.require_out(save_folder, root)
    with locked(save_folder):
        rows, audits = usable_rows(rows, root, save_folder)
        labelled = _labelled(rows, label_column, table)
        stratum_of = strata(labelled)
        if folds:
            names = range(folds)
            part_of = fold_patients(stratum_of, folds, seed)
        else:
            names, part_of = SPLITS, split_patients(stratum_of, shares, seed)
        parts = {str(name): [] for name in names}
        for rec in labelled:
            parts[part_of[rec.patient_id]].append(rec)
        if not folds:
            preparation.require_classes(
                parts,
                sorted({rec.label for rec in labelled}),
                _classes_and_shares(label_column, stratum_of, shares),
                least=2,  # a new split must allow an AUC
            )
        _write_split(rows, column, part_of, save_folder / TABLE)
        print(write_counts(parts, save_folder))
        copies = report_copies(
            audits.copies, parts, save_folder / "duplicates.csv"
        )
        if copies:
            logger.warning("%s", copies)
        if fractions:
            _report_fractions(parts, fractions, seed, save_folder)
        print(f"Wrote {save_folder / TABLE}: pass it with --recordings_csv")


def _labelled(rows: List[Row], label_column, table) -> List[Recording]:
    """Labelled recordings."""
    for rec, cells in rows:
        rec.label = cells[label_column]
    labelled = [rec for rec, _ in rows if rec.label]
    require(
        bool(labelled),
        f"no row of {table} has a label in {label_column}",
        "correct --label_column",
    )
    return labelled


def _classes_and_shares(column, stratum_of, shares) -> str:
    """Describe what may leave a split without a class, and the cure."""
    n_of = Counter(label for label, _ in stratum_of.values())
    classes = [f"{label!r} of {n}" for label, n in n_of.most_common()[::-1]]
    return (
        f"--label_column {column} has the classes "
        f"{preparation.shortened_list(classes, 5)} patients, --shares are "
        f"{', '.join(f'{x:.3g}' for x in shares.values())} of "
        f"{len(stratum_of)} patients: change them, add patients, or use --folds"
    )


def _shares(shares: Sequence[float]) -> Dict[str, float]:
    """Normalised shares by split."""
    require(
        len(shares) == len(SPLITS) and all(0 < x < np.inf for x in shares),
        f"shares is {list(shares)}",
        "it must be three numbers above 0",
    )
    return {split: x / sum(shares) for split, x in zip(SPLITS, shares)}


def _check_fractions(fractions: Sequence[float], folds: int) -> None:
    require(
        not (fractions and folds),
        "--fractions are fractions of the training set, which --folds do not "
        "have",
        "leave out --folds or --fractions",
    )
    for fraction in fractions:
        try:
            check_fraction(fraction)
        except InputError as error:
            raise InputError(f"--fractions holds {fraction}: {error}")


def _write_split(rows: List[Row], column, part_of, path: Path):
    columns = [*rows[0][1], column]
    cells = [
        [*row.values(), part_of[rec.patient_id] if rec.label else ""]
        for rec, row in rows
    ]
    if path.is_file():
        existing = [list(row.values()) for _, row in read_table(path, [])]
        require(
            existing == cells,
            f"{path} is of another split",
            "pass another --out, or delete it",
        )
    write_table(path, columns, cells)


def _report_fractions(parts, fractions, seed, save_folder):
    """Write ``fractions.csv``: the smallest fraction of each patient."""
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
    # Fractions are nested: a sum over them would be meaningless.
    table = counts(dict(reversed(subsets.items())))
    for row in table.values():
        del row["all"]
    print("\nTraining patients by label fraction, each within the next:\n")
    print(as_markdown(table))


def main() -> None:
    """Parse the command line and split."""
    parser = Arguments(description=__doc__.split("\n")[0])
    parser.add_argument(
        "recordings", metavar="RECORDINGS", help="recordings.csv or its folder"
    )
    parser.add_argument(
        "--label_column", required=True, help="column to stratify by"
    )
    parser.add_argument(
        "--out", required=True, help="folder of the new recordings.csv"
    )
    parser.add_argument(
        "--data_folder",
        help="folder that paths are relative to; default: the table's",
    )
    parser.add_argument(
        "--folds", type=int, default=0, help="number of folds; 0: splits"
    )
    parser.add_argument(
        "--shares",
        type=float,
        nargs="+",
        default=list(SHARES.values()),
        help="shares of train, valid and test",
    )
    parser.add_argument(
        "--fractions",
        type=float,
        nargs="+",
        default=[],
        help="label fractions of the training patients to list",
    )
    parser.add_argument("--seed", default=0, help="seed of the splits")
    add_columns(parser)
    args = take_columns(parser.parse_args())
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with one_line_errors():
        split_database(save_folder=args.pop("out"), **args)


if __name__ == "__main__":
    main()
