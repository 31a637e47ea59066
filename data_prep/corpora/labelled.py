"""Manifests of a labelled task, from a database (``database.py``)."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Union

from data_prep.audio.folder import name_of
from data_prep.corpora import preparation
from data_prep.corpora.database import (
    Row,
    check_labels,
    database_name,
    locate,
    named_columns,
    read_database,
    report_unlisted,
    usable_rows,
)
from data_prep.corpora.folds import (
    FOLD,
    Folds,
    as_spelt,
    check_rounds,
    choose_folds,
    leave_out_other_folds,
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
from data_prep.files.errors import InputError, require
from data_prep.files.identifiers import cleaned, identity
from data_prep.files.missing import is_missing
from data_prep.files.tables import Named
from data_prep.files.words import count
from data_prep.manifest import SPLITS, Recording

logger = logging.getLogger(__name__)

_COLUMNS_OF_PREDICTIONS = ("ID", "patient_id", "fold", "label", "path")


@dataclass
class Task:
    """Labels, folds and label fraction of a classification task."""

    label_column: str
    classes: Sequence[str]  #: the positive class last; see ``classes_of``
    other_labels: str = "error"  #: or ``drop``: labels outside ``classes``
    fold_column: str = FOLD  #: or any column, such as ``site``
    test_fold: Union[str, int, None] = None  #: value of the test set
    #: value of the validation set; None: 15 % of the remaining patients
    valid_fold: Union[str, int, None] = None
    #: share of the training patients to keep, per class
    label_fraction: float = 1.0
    seed: int = 0  #: of the split and of the fraction

    def __post_init__(self):
        self.classes = [cleaned(str(name)) for name in self.classes]
        require(
            len(set(self.classes)) == len(self.classes) > 1,
            f"classes is {self.classes}",
            "it must name two or more different labels",
        )
        for name in self.classes:
            require(
                name not in _COLUMNS_OF_PREDICTIONS,
                f"classes holds {name!r}, which is a column of the predictions",
                "rename the label",
            )
            require(
                not is_missing(name),
                f"classes holds {name!r}, which marks a missing value",
                "rename the label in the table",
            )
        choose_folds(self.fold_column, self.test_fold, self.valid_fold)
        try:
            self.label_fraction = float(self.label_fraction)
        except (TypeError, ValueError):
            raise InputError(
                f"label_fraction is {self.label_fraction!r}; expected a "
                "number, such as 0.1"
            )
        check_fraction(self.label_fraction)

    @property
    def folds(self) -> Optional[Folds]:
        """Folds of the test and validation sets, None if not requested."""
        return choose_folds(self.fold_column, self.test_fold, self.valid_fold)


def prepare_clinical(
    data_folder: str,
    save_folder: str,
    label_column: str,
    classes: Optional[Sequence[str]] = None,
    recordings_csv: Optional[str] = None,
    corpus_name: Optional[str] = None,
    positive: Optional[str] = None,
    patient_column: str = "patient_id",
    path_column: str = "path",
    **options,
) -> None:
    """Write the manifests of one labelled task.

    Splits come from the requested folds, else from the column ``split``, else
    whole patients are split 70/15/15, stratified by label and site. Rows with
    an empty label are left out. No patient is in two splits: recordings of a
    test patient with other values of ``fold_column`` are left out too (for the
    column ``fold`` that is an error). `options` are those of ``Task``.
    """
    root, table = locate(data_folder, recordings_csv, "--data_folder")
    save_folder = preparation.require_out(save_folder, root)
    named = named_columns(patient_column, path_column)
    if not classes or positive is not None:
        classes = classes_of(table, label_column, named, classes, positive)
    task = Task(label_column, classes, **options)
    folds = task.folds
    state = {
        "data_folder": str(root.resolve()),
        "folds": folds and [folds.test, folds.valid],
        "corpus": corpus_name,
        "named": named,
    }
    for name in ("label_column", "classes", "other_labels", "fold_column"):
        state[name] = getattr(task, name)
    state.update(label_fraction=task.label_fraction, seed=task.seed)
    preparation.prepare_once(
        save_folder,
        state,
        [table],
        lambda folder: _prepare(root, table, folder, task, corpus_name, named),
    )


def classes_of(
    table: Path,
    label_column: str,
    named: Named,
    classes: Optional[Sequence[str]] = None,
    positive: Optional[str] = None,
) -> List[str]:
    """Classes of a task: those given, else the values of the label column in
    alphabetical order; the positive one last."""
    if not classes:
        rows = read_database(table, [label_column], named)
        check_labels(rows, label_column, table)
        labels = {cells[label_column] for _, cells in rows} - {""}
        classes = sorted(labels, key=lambda label: (identity(label), label))
        require(
            len(classes) > 1,
            f"{table}: all labels in {label_column} are {classes[0]!r}",
            "two classes or more are needed: add recordings of another, or "
            "correct --label_column",
        )
    classes = [cleaned(str(name)) for name in classes]
    if positive is None:
        return classes
    last = [name for name in classes if identity(name) == identity(positive)]
    require(
        bool(last),
        f"--positive is {positive!r}, which is not one of the classes "
        f"{', '.join(classes)}",
        "correct it",
    )
    return [name for name in classes if name not in last] + last


def _prepare(root, table, save_folder, task, corpus_name, named):
    logger.info(
        "%s: the classes are %s; the last is the positive one (another: "
        "--positive)",
        task.label_column,
        ", ".join(task.classes),
    )
    rows = _rows(table, task, named, root)
    left_out, folds = [], task.folds
    if folds is None and "split" not in rows[0][1]:
        _require_patients(rows, table)
    if folds is not None:
        rows, left_out = leave_out_other_folds(
            rows, table, as_spelt(folds, rows)
        )
    rows, audits = usable_rows(rows, root, save_folder, left_out)
    if folds is not None:
        splits = split_by_fold(rows, as_spelt(folds, rows), task.seed)
    elif "split" in rows[0][1]:
        splits = split_by_column(rows)
    else:
        splits = split_by_patient([r for r, _ in rows], SHARES, task.seed)
    preparation.require_classes(splits, task.classes, _cure(rows, table, folds))
    _keep_fraction(splits, task)
    name = corpus_name or database_name(root, table)
    preparation.write_prepared(
        splits, audits, root, save_folder, name, task.classes,
        is_named=corpus_name not in (None, name_of(root)),
    )  # fmt: skip


def _require_patients(rows: List[Row], table: Path) -> None:
    """Refuse fewer patients than there are splits."""
    n_patients = len({rec.patient_id for rec, _ in rows})
    require(
        n_patients >= len(SPLITS),
        f"{table} has {count(n_patients, 'patient')} with a label, and "
        "training, validation and test need different ones",
        "add recordings of other patients",
    )


def _rows(
    table: Path, task: Task, named: Named, root: Optional[Path] = None
) -> List[Row]:
    """Labelled rows of a database."""
    rows = read_database(table, [task.label_column], named)
    if root is not None:
        report_unlisted(rows, root, table)
    return _labelled(rows, task.label_column, task.classes, task.other_labels)


def _labelled(rows, label_column, classes, other_labels) -> List[Row]:
    """Rows with a label of the classes, which is set in their recordings."""
    if other_labels not in ("error", "drop"):
        raise InputError(
            f"other_labels is {other_labels!r}; expected error or drop"
        )
    kept, spelt = [], {identity(name): name for name in classes}
    for rec, cells in rows:
        rec.label = cells[label_column]
        if rec.label in classes:
            kept.append((rec, cells))
        elif identity(rec.label) in spelt:
            raise InputError(
                f"{rec.source}: {label_column} is {rec.label!r}, and the class "
                f"{spelt[identity(rec.label)]!r}; use one spelling and alphabet"
            )
        elif rec.label and other_labels == "error":
            raise InputError(
                f"{rec.source}: {label_column} is {rec.label!r}, expected one "
                f"of {', '.join(classes)}; correct it, or pass --classes or "
                "--other_labels drop"
            )
    if not kept:
        raise InputError(
            f"no row has a label of {', '.join(classes)} in {label_column}; "
            "correct --label_column or --classes"
        )
    return kept


def split_by_column(rows: List[Row]) -> Dict[str, List[Recording]]:
    """Recordings by the value of the column ``split``."""
    splits = {split: [] for split in SPLITS}
    for rec, cells in rows:
        if cells["split"] not in splits:
            raise InputError(
                f"{rec.source}: split is {cells['split']!r}; expected one of "
                f"{', '.join(SPLITS)} in a row with a label, or no column "
                "split, in which case patients are split automatically"
            )
        splits[cells["split"]].append(rec)
    return splits


def _cure(rows: List[Row], table: Path, folds: Optional[Folds]) -> str:
    """Cure for splits that lack a class, by the origin of the splits."""
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
            f"splits are those of the column 'split' of {table}: correct it, "
            "add patients, or correct --classes"
        )
    n_patients = len({rec.patient_id for rec, _ in rows})
    return (
        f"the {n_patients} patients of {table} were split automatically: add "
        "patients, add a column 'split' or 'fold', or correct --classes"
    )


def _keep_fraction(splits: Dict[str, List], task: Task):
    kept = fraction_of_patients(
        strata(splits["train"]), task.label_fraction, task.seed
    )
    splits["train"] = [r for r in splits["train"] if r.patient_id in kept]
    # A patient with two labels counts for one; the other label can be lost.
    preparation.require_classes(
        {"train": splits["train"]},
        task.classes,
        f"label_fraction is {task.label_fraction}: raise it, or try another "
        "--seed",
    )


def fold_values(
    data_folder: str,
    recordings_csv: Optional[str],
    label_column: str,
    classes: Sequence[str],
    other_labels: str,
    fold_column: str,
    named: Optional[Named] = None,
) -> List[str]:
    """Check that each value of a column can be the test set; return them."""
    _, table = locate(data_folder, recordings_csv, "--data_folder")
    task = Task(label_column, classes, other_labels)
    rows = _rows(table, task, named)
    values = values_of(rows, table, fold_column)
    check_rounds(rows, table, fold_column, values, task.classes)
    return values
