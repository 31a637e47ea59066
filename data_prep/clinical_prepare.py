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
    root, table = _locate(data_folder, recordings_csv, "--data_folder")
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
            _read(table, [label_column]), label_column, classes, other_labels
        )
        n_rejected, rows = _audited(rows, root, Path(save_folder), [])
        splits = _split(rows, table, test_fold, valid_fold, seed)
        _keep_fraction(splits, label_fraction, seed)
        preparation.require_classes(
            splits,
            classes,
            f"add patients, or correct the splits or --classes for {table}",
        )
        corpus = preparation.corpus_of(root, _name(root, table))
        manifest.write(splits, Path(save_folder), root, corpus, classes)
        preparation.report(splits, Path(save_folder), n_rejected)

    preparation.once(Path(save_folder), options, [table], prepare)


def prepare_unlabelled(
    cry_folder: str,
    save_folder: str,
    recordings_csv: Optional[str] = None,
    exclude: Sequence[str] = (),
    valid_share: float = 0.1,
    seed: int = 0,
) -> None:
    """Write the manifests of unlabelled cries for adaptation.

    Labels are ignored. Left out are all recordings of any patient of the
    database's own valid and test splits, or of an ``exclude`` table: a model
    adapted on a held-out patient's voice has met that patient, labels or not.

    Arguments
    ---------
    cry_folder : str
        Where the paths in the csv begin.
    save_folder : str
        Where the manifests go.
    recordings_csv : str or None
        Default ``<cry_folder>/recordings.csv``.
    exclude : sequence of str
        Manifests or recordings.csv files with a column ``patient_id``.
    valid_share : float
        Share of the patients on which the loss is watched.
    seed : int
        Of that split.

    Raises
    ------
    InputError
        Anything wrong with the database, or nothing left.
    """
    root, table = _locate(cry_folder, recordings_csv, "--cry_folder")
    options = {
        "cry_folder": str(root.resolve()),
        "exclude": list(exclude),
        "valid_share": valid_share,
        "seed": seed,
    }
    if not 0 < valid_share < 1:
        raise InputError(
            f"valid_share is {valid_share}; it must be above 0 and below 1"
        )
    tables = [Path(path) for path in exclude]

    def prepare():
        everything = _read(table, [])
        reasons = {**_own_held_out(everything), **_excluded(tables)}
        rows = [row for row in everything if row[0].patient_id not in reasons]
        left_out = [
            (rec.wav, "excluded", reasons[rec.patient_id])
            for rec, _ in everything
            if rec.patient_id in reasons
        ]
        _report_held_out(len(rows), len(left_out), table)
        n_rejected, rows = _audited(rows, root, Path(save_folder), left_out)
        shares = {"train": 1 - valid_share, "valid": valid_share}
        splits = _split_patients([rec for rec, _ in rows], shares, seed)
        corpus = preparation.corpus_of(root, _name(root, table))
        manifest.write(splits, Path(save_folder), root, corpus)
        preparation.report(splits, Path(save_folder), n_rejected)

    preparation.once(Path(save_folder), options, [table, *tables], prepare)


def _locate(folder, recordings_csv, option) -> Tuple[Path, Path]:
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


def _name(root: Path, table: Path) -> str:
    """A folder holds one database, or several tables of their own name."""
    if table.name == "recordings.csv":
        return root.resolve().name
    return table.stem


def _read(table: Path, label_columns: List[str]) -> List[Row]:
    """Recordings without label, and their cells."""
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


def _audited(rows, root, save_folder, left_out) -> Tuple[int, List[Row]]:
    """Durations from the decoded audio, without what cannot be used."""
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
        return _split_patients([rec for rec, _ in rows], SHARES, seed)
    splits = {split: [] for split in SPLITS}
    for rec, cells in rows:
        if cells["split"] not in splits:
            raise InputError(
                f"{rec.source}: split is {cells['split']!r}; expected one of "
                f"{', '.join(SPLITS)} in a row with a label"
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


def _split_patients(recordings, shares, seed):
    split_of = split_patients(strata(recordings), shares, seed)
    return {
        split: [r for r in recordings if split_of[r.patient_id] == split]
        for split in shares
    }


def _keep_fraction(splits, label_fraction, seed):
    kept = fraction_of_patients(strata(splits["train"]), label_fraction, seed)
    splits["train"] = [r for r in splits["train"] if r.patient_id in kept]


def _own_held_out(rows: List[Row]) -> Dict[str, str]:
    """Patients of the database's own valid and test splits, and why."""
    reasons = {}
    for rec, cells in rows:
        split = cells.get("split", "")
        if split not in ("", *SPLITS):
            raise InputError(
                f"{rec.source}: split is {split!r}; expected one of "
                f"{', '.join(SPLITS)}, or empty"
            )
        if split in ("valid", "test"):
            reasons[rec.patient_id] = f"patient of the {split} split"
    return reasons


def _excluded(tables: List[Path]) -> Dict[str, str]:
    """Patients of the tables, and why."""
    return {
        cells["patient_id"].lower(): "patient of an --exclude table"
        for path in tables
        for _, cells in read_table(path, ["patient_id"])
    }


def _report_held_out(n_kept, n_left_out, table):
    if not n_kept:
        raise InputError(
            f"no recording of {table} is left for adaptation: all are of "
            "held-out splits or excluded patients; add unlabelled ones"
        )
    if n_left_out:
        logger.info("%d recordings held out from adaptation", n_left_out)
    else:
        logger.warning(
            "No recording is held out from adaptation: if a classifier will be "
            "tested on patients of %s, pass --exclude with its manifests",
            table,
        )


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
