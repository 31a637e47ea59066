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
from typing import Dict, List, Optional, Sequence, Tuple

from data_prep import manifest, preparation
from data_prep.audit import audit_files, reject
from data_prep.errors import InputError, one_line_errors
from data_prep.manifest import SPLITS, Recording
from data_prep.split import fraction_of_patients, split_patients, strata
from data_prep.tables import read_table

logger = logging.getLogger(__name__)

#: Where the database itself does not say.
SHARES = {"train": 0.7, "valid": 0.15, "test": 0.15}

Row = Tuple[Recording, Dict[str, str]]


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

    Raises
    ------
    InputError
        Anything wrong with the database or the options.
    """
    root, table = locate(data_folder, recordings_csv, "--data_folder")
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
    }

    def prepare():
        rows = _labelled(
            read_database(table, [label_column]),
            label_column,
            classes,
            other_labels,
        )
        n_rejected, rows = audited(rows, root, Path(save_folder), [])
        splits = _split(rows, table, test_fold, valid_fold, seed)
        _keep_fraction(splits, label_fraction, seed)
        preparation.require_classes(
            splits,
            classes,
            f"add patients, or correct the splits or --classes for {table}",
        )
        corpus = preparation.corpus_of(root, database_name(root, table))
        manifest.write(splits, Path(save_folder), root, corpus, classes)
        preparation.report(splits, Path(save_folder), n_rejected)

    preparation.once(Path(save_folder), options, [table], prepare)


def locate(
    folder: str, recordings_csv: Optional[str], option: str
) -> Tuple[Path, Path]:
    """The data folder and its table.

    Arguments
    ---------
    folder : str
        The data folder.
    recordings_csv : str or None
        Default ``<folder>/recordings.csv``.
    option : str
        The option that the folder was given by.

    Returns
    -------
    root : pathlib.Path
        The folder.
    table : pathlib.Path
        The csv file.

    Raises
    ------
    InputError
        One of them is not there.
    """
    root = preparation.require_folder(
        folder, option, "recordings.csv and its audio"
    )
    table = Path(recordings_csv) if recordings_csv else root / "recordings.csv"
    if not table.is_file():
        raise InputError(
            f"{table} does not exist; pass the database's csv file with "
            "--recordings_csv"
        )
    return root, table


def database_name(root: Path, table: Path) -> str:
    """Name of a corpus that does not say its own: the folder's, or the
    table's where it has one of its own (a folder may hold several).

    Arguments
    ---------
    root : pathlib.Path
        The data folder.
    table : pathlib.Path
        The csv file.

    Returns
    -------
    str

    Example
    -------
    >>> database_name(Path("clinic"), Path("clinic/recordings_2020.csv"))
    'recordings_2020'
    """
    if table.name == "recordings.csv":
        return root.resolve().name
    return table.stem


def read_database(table: Path, label_columns: List[str]) -> List[Row]:
    """Rows of a database: recordings without label, and their cells.

    Arguments
    ---------
    table : pathlib.Path
        recordings.csv.
    label_columns : list of str
        Columns required besides those of any database.

    Returns
    -------
    list of (Recording, dict)

    Raises
    ------
    InputError
        A missing column, an empty cell, an absolute path.
    """
    required = ["recording_id", "patient_id", "path", *label_columns]
    rows = []
    for source, cells in read_table(table, required):
        for name in ("recording_id", "patient_id", "path"):
            if not cells[name]:
                raise InputError(f"{source}: {name} is empty; fill it in")
        if Path(cells["path"]).is_absolute():
            raise InputError(
                f"{source}: path {cells['path']} is absolute; write it relative"
                " to the data folder"
            )
        rec = Recording(
            ID=cells["recording_id"],
            duration=0.0,
            wav=cells["path"],
            start=0.0,
            stop=0.0,
            label="",
            # Phones write one id in both cases: one patient, not two.
            patient_id=cells["patient_id"].lower(),
            site=cells.get("site", ""),
            source=source,
        )
        rows.append((rec, cells))
    return rows


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


def audited(
    rows: List[Row],
    root: Path,
    save_folder: Path,
    left_out: List[Tuple[str, str, str]],
) -> Tuple[int, List[Row]]:
    """Rows with durations from the decoded audio, less what cannot be used.

    Arguments
    ---------
    rows : list of (Recording, dict)
        Changed in place.
    root : pathlib.Path
        The data folder.
    save_folder : pathlib.Path
        ``rejected.csv`` is written there.
    left_out : list of (path, verdict, reason)
        What was left out before, listed there too.

    Returns
    -------
    n_rejected : int
        Files that cannot be used.
    rows : list of (Recording, dict)
        Those that can.

    Raises
    ------
    InputError
        A file is not there, or too many cannot be used.
    """
    for rec, _ in rows:
        if not (root / rec.wav).is_file():
            raise InputError(
                f"{rec.source}: {rec.wav} is not in {root}; add the file, "
                "correct the path, or remove the row"
            )
    audits = audit_files([rec.wav for rec, _ in rows], root)
    n_rejected = reject(audits, left_out, save_folder / "rejected.csv")
    kept = []
    for rec, cells in rows:
        audit = audits[rec.wav]
        if not audit.reason:
            rec.duration = rec.stop = audit.duration
            kept.append((rec, cells))
    return n_rejected, kept


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


def split_by_patient(
    recordings: List[Recording], shares: Dict[str, float], seed: int
) -> Dict[str, List[Recording]]:
    """Recordings by split, no patient divided.

    Arguments
    ---------
    recordings : list of Recording
        To be split.
    shares : dict
        Share by split.
    seed : int
        Of the split.

    Returns
    -------
    dict
        Recordings by split.
    """
    split_of = split_patients(strata(recordings), shares, seed)
    return {
        split: [r for r in recordings if split_of[r.patient_id] == split]
        for split in shares
    }


def _keep_fraction(splits, label_fraction, seed):
    kept = fraction_of_patients(strata(splits["train"]), label_fraction, seed)
    splits["train"] = [r for r in splits["train"] if r.patient_id in kept]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=prepare_clinical.__doc__)
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
