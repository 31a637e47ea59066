"""A clinical cry database, as a hospital would keep it, to manifests.

``recordings.csv``: ``recording_id, patient_id, path`` and any label columns
(``neuro_injury``, ``trigger``, ...), ``site``, ``recorded_at``, optionally
``split`` (train, valid, test; empty for recordings without labels) or
``fold``; audio beside it. Any column may serve as folds (``folds.py``).
"""

from pathlib import Path
from typing import List, Optional, Sequence, Union

from data_prep.corpora import preparation
from data_prep.corpora.database import (
    Row,
    database_name,
    locate,
    read_database,
    usable_rows,
)
from data_prep.corpora.folds import (
    FOLD,
    as_spelt,
    check_rounds,
    choose_folds,
    keep_apart,
    split_by_fold,
    values_of,
)
from data_prep.corpora.stratify import (
    SHARES,
    check_fraction,
    fraction_of_patients,
    split_by_patient,
    strata,
)
from data_prep.files.errors import InputError
from data_prep.manifest import SPLITS

_COLUMNS_OF_PREDICTIONS = ("ID", "patient_id", "label")


def prepare_clinical(
    data_folder: str,
    save_folder: str,
    label_column: str,
    classes: Sequence[str],
    recordings_csv: Optional[str] = None,
    other_labels: str = "error",
    fold_column: str = FOLD,
    test_fold: Union[str, int, None] = None,
    valid_fold: Union[str, int, None] = None,
    label_fraction: float = 1.0,
    seed: int = 0,
    corpus_name: Optional[str] = None,
) -> None:
    """Write the manifests of one labelled task.

    Splits come from the folds asked for, else from the column ``split``, else
    whole patients are split 70/15/15, stratified by label and site. Rows with
    an empty label are left out. A patient is in one split: what one who is
    tested on has in other values of ``fold_column`` is left out too (of the
    column ``fold`` that is an error).

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
    fold_column : str
        ``fold``, or any column, such as ``site``.
    test_fold : str, int or None
        Its value that is tested on.
    valid_fold : str, int or None
        Its value that models are chosen on; None: 15 % of the patients who
        are not tested on.
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
    for name in classes:
        if name in _COLUMNS_OF_PREDICTIONS:
            raise InputError(
                f"classes holds {name!r}, which is a column of the predictions "
                "already; rename the label"
            )
    folds = choose_folds(fold_column, test_fold, valid_fold)
    label_fraction = _fraction(label_fraction)
    options = {
        "data_folder": str(root.resolve()),
        "label_column": label_column,
        "classes": classes,
        "other_labels": other_labels,
        "fold_column": fold_column,
        "folds": folds and [folds.test, folds.valid],
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
        left_out = []
        if folds is not None:
            rows, left_out = keep_apart(rows, table, as_spelt(folds, rows))
        rows, audits = usable_rows(rows, root, Path(save_folder), left_out)
        splits = _split(rows, folds and as_spelt(folds, rows), seed)
        preparation.require_classes(
            splits, classes, _origin(rows, table, folds)
        )
        _keep_fraction(splits, classes, label_fraction, seed)
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


def _split(rows, folds, seed):
    if folds is not None:
        return split_by_fold(rows, folds, seed)
    if "split" not in rows[0][1]:
        return split_by_patient([rec for rec, _ in rows], SHARES, seed)
    return _split_by_column(rows)


def _split_by_column(rows):
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


def _origin(rows, table, folds) -> str:
    """Where the splits are from, and what can be done about them."""
    if folds is not None:
        held_out = " and ".join(
            f"{split} is {fold!r}" for split, fold in folds.held_out.items()
        )
        return (
            f"{held_out} of the column {folds.column!r} of {table}: name other "
            "folds, add patients (rejected.csv lists what was left out), or "
            "correct --classes"
        )
    if "split" in rows[0][1]:
        return (
            f"the column 'split' of {table} says so: correct it, add patients, "
            "or correct --classes"
        )
    n_patients = len({rec.patient_id for rec, _ in rows})
    return (
        f"the {n_patients} patients of {table} were split here: add patients, "
        "add a column 'split' or 'fold', or correct --classes"
    )


def _fraction(label_fraction) -> float:
    """A number, before any audio is read."""
    try:
        fraction = float(label_fraction)
    except (TypeError, ValueError):
        raise InputError(
            f"label_fraction is {label_fraction!r}; expected a number, such as "
            "0.1"
        )
    check_fraction(fraction)
    return fraction


def _keep_fraction(splits, classes, label_fraction, seed):
    kept = fraction_of_patients(strata(splits["train"]), label_fraction, seed)
    splits["train"] = [r for r in splits["train"] if r.patient_id in kept]
    # A patient with two labels counts for one, and may go with the other.
    preparation.require_classes(
        {"train": splits["train"]},
        classes,
        f"label_fraction is {label_fraction}: raise it, or try another --seed",
    )


def fold_values(
    data_folder: str,
    recordings_csv: Optional[str],
    label_column: str,
    classes: Sequence[str],
    other_labels: str,
    fold_column: str,
) -> List[str]:
    """Values of a column, each of which can be tested on once.

    Example
    -------
    >>> table = Path(getfixture("tmpdir")) / "recordings.csv"
    >>> rows = [
    ...     f"r{i},p{i},{i}.wav,{label},{site}"
    ...     for i, (label, site) in enumerate(
    ...         [("a", "10"), ("b", "10"), ("a", "9"), ("b", "9")]
    ...     )
    ... ]
    >>> header = "recording_id,patient_id,path,label,site"
    >>> _ = table.write_text("\\n".join([header, *rows]))
    >>> fold_values(table.parent, None, "label", ["a", "b"], "error", "site")
    ['9', '10']
    """
    _, table = locate(data_folder, recordings_csv, "--data_folder")
    classes = [str(name) for name in classes]
    rows = _labelled(
        read_database(table, [label_column]),
        label_column,
        classes,
        other_labels,
    )
    values = values_of(rows, table, fold_column)
    check_rounds(rows, table, fold_column, values, classes)
    return values
