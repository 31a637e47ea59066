"""A clinical cry database, as a hospital would keep it, to manifests.

``recordings.csv``: ``recording_id, patient_id, path`` and any label columns
(``neuro_injury``, ``trigger``, ...), ``site``, ``recorded_at``, optionally
``split`` (train, valid, test; empty for recordings without labels) or
``fold``; audio beside it.

Authors
 * The contributors of cry-ssl 2026
"""

import argparse
import logging
from pathlib import Path
from typing import List, Optional, Sequence

from data_prep import preparation
from data_prep.database import (
    Row,
    database_name,
    locate,
    read_database,
    usable_rows,
)
from data_prep.errors import InputError, one_line_errors
from data_prep.manifest import SPLITS
from data_prep.split import split_by_patient
from data_prep.stratify import SHARES, fraction_of_patients, strata

logger = logging.getLogger(__name__)


def prepare_clinical(
    data_folder: str,
    save_folder: str,
    label_column: str,
    classes: Sequence[str],
    recordings_csv: Optional[str] = None,
    other_labels: str = "error",
    test_fold: Optional[int] = None,
    valid_fold: Optional[int] = None,
    label_fraction: float = 1.0,
    seed: int = 0,
    corpus_name: Optional[str] = None,
) -> None:
    """Write the manifests of one labelled task.

    Splits come from the folds asked for, else from the column ``split``, else
    whole patients are split 70/15/15, stratified by label and site. Rows with
    an empty label are left out.

    Arguments
    ---------
    data_folder : str
        Where the paths in the csv begin.
    save_folder : str
        Where the manifests go.
    label_column : str
        Column of the task.
    classes : sequence of str
        Its labels, the positive one last.
    recordings_csv : str or None
        Default ``<data_folder>/recordings.csv``.
    other_labels : str
        ``error`` or ``drop``: what to do with a label outside ``classes``.
    test_fold : int or None
        Value of ``fold`` that is tested on.
    valid_fold : int or None
        Value of ``fold`` that models are chosen on.
    label_fraction : float
        Share of the training patients that is kept, of each class.
    seed : int
        Of the split and of the fraction.
    corpus_name : str or None
        Default: what the data folder's ``corpus.json`` says, else its name.

    Raises
    ------
    InputError
        Anything wrong with the database or the options.
    """
    root, table = locate(data_folder, recordings_csv, "--data_folder")
    preparation.require_out(save_folder, root)
    classes = [str(name) for name in classes]
    if len(classes) < 2 or len(set(classes)) < len(classes):
        raise InputError(
            f"classes is {classes}; it must name two or more different labels"
        )
    options = {
        "data_folder": str(root.resolve()),
        "label_column": label_column,
        "classes": classes,
        "other_labels": other_labels,
        "folds": [test_fold, valid_fold],
        "label_fraction": label_fraction,
        "seed": seed,
        "corpus": corpus_name,
    }

    def prepare():
        rows = _labelled(
            read_database(table, [label_column]),
            label_column,
            classes,
            other_labels,
        )
        rows, audits = usable_rows(rows, root, Path(save_folder))
        splits = _split(rows, table, test_fold, valid_fold, seed)
        _keep_fraction(splits, label_fraction, seed)
        preparation.require_classes(
            splits,
            classes,
            f"add patients, or correct the splits or --classes for {table}",
        )
        name = corpus_name or database_name(root, table)
        corpus = preparation.corpus_of(root, name)
        preparation.finish(
            splits, audits, root, Path(save_folder), corpus, classes
        )

    preparation.once(Path(save_folder), options, [table], prepare)


def _labelled(rows, label_column, classes, other_labels) -> List[Row]:
    if other_labels not in ("error", "drop"):
        raise InputError(
            f"other_labels is {other_labels!r}; expected error or drop"
        )
    kept = []
    for rec, cells in rows:
        rec.label = cells[label_column]
        if rec.label in classes:
            kept.append((rec, cells))
        elif rec.label and other_labels == "error":
            raise InputError(
                f"{rec.source}: {label_column} is {rec.label!r}, none of "
                f"{', '.join(classes)}; correct it, or pass --classes or "
                "--other_labels drop"
            )
    if not kept:
        raise InputError(
            f"no row has a label of {', '.join(classes)} in {label_column}; "
            "correct --label_column or --classes"
        )
    return kept


def _split(rows, table, test_fold, valid_fold, seed):
    names = rows[0][1]
    if test_fold is not None or valid_fold is not None:
        return _folds(rows, table, test_fold, valid_fold)
    if "split" not in names:
        return split_by_patient([rec for rec, _ in rows], SHARES, seed)
    splits = {split: [] for split in SPLITS}
    for rec, cells in rows:
        if cells["split"] not in splits:
            raise InputError(
                f"{rec.source}: split is {cells['split']!r}; expected one of "
                f"{', '.join(SPLITS)} in a row with a label (or no column "
                "split at all: then patients are split here)"
            )
        splits[cells["split"]].append(rec)
    return splits


def _folds(rows, table, test_fold, valid_fold):
    if "fold" not in rows[0][1]:
        raise InputError(
            f"{table} has no column 'fold'; leave out --test_fold and "
            "--valid_fold, or add it"
        )
    if test_fold is None or valid_fold is None:
        raise InputError(
            f"test_fold is {test_fold} and valid_fold is {valid_fold}; pass both"
        )
    if test_fold == valid_fold:
        raise InputError(
            f"test_fold and valid_fold are both {test_fold}; choose two folds"
        )
    split_of = {str(test_fold): "test", str(valid_fold): "valid"}
    splits = {split: [] for split in SPLITS}
    for rec, cells in rows:
        if not cells["fold"]:
            raise InputError(
                f"{rec.source}: fold is empty in a row with a label; fill it in"
            )
        splits[split_of.get(cells["fold"], "train")].append(rec)
    for split, fold in (("test", test_fold), ("valid", valid_fold)):
        if not splits[split]:
            there = sorted({cells["fold"] for _, cells in rows})
            raise InputError(
                f"{split}_fold is {fold}; {table} has the folds "
                f"{', '.join(there)}"
            )
    return splits


def _keep_fraction(splits, label_fraction, seed):
    kept = fraction_of_patients(strata(splits["train"]), label_fraction, seed)
    splits["train"] = [r for r in splits["train"] if r.patient_id in kept]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=prepare_clinical.__doc__.split("\n\n")[0],
        allow_abbrev=False,
    )
    parser.add_argument("data_folder")
    parser.add_argument("--out", required=True, help="manifest folder")
    parser.add_argument("--recordings_csv")
    parser.add_argument("--label_column", default="neuro_injury")
    parser.add_argument(
        "--classes", nargs="+", default=["healthy", "injury"], metavar="LABEL"
    )
    parser.add_argument("--other_labels", default="error")
    parser.add_argument("--test_fold", type=int)
    parser.add_argument("--valid_fold", type=int)
    parser.add_argument("--label_fraction", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    args = vars(parser.parse_args())
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with one_line_errors():
        prepare_clinical(save_folder=args.pop("out"), **args)


if __name__ == "__main__":
    main()
