"""Splits by the values of a column: one value is the test set.

In the column ``fold`` every patient must be in one fold. In any other column
(site, device, year) a patient can have several values: the recordings of a
test patient with other values are then left out.
"""

import logging
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from data_prep.corpora.database import Row
from data_prep.corpora.preparation import shortened_list
from data_prep.corpora.stratify import split_patients, strata
from data_prep.files.errors import InputError, require
from data_prep.files.identifiers import spelling
from data_prep.files.missing import refuse_damaged
from data_prep.manifest import SPLITS, Recording

logger = logging.getLogger(__name__)

#: Column of folds without divided patients.
FOLD = "fold"
#: A column with more values holds ids or dates.
MOST_FOLDS = 50
#: Shares of the remaining patients without a validation fold.
SHARES = {"train": 0.85, "valid": 0.15}

_NUMBER = re.compile(
    r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII
)


@dataclass
class Folds:
    """Values of a column that are the test and validation sets.

    Without ``valid``, the validation set is drawn from the other patients.
    """

    column: str
    test: str
    valid: Optional[str] = None

    @property
    def held_out(self) -> Dict[str, str]:
        """Value of the column that each held-out split takes, test first."""
        if self.valid is None:
            return {"test": self.test}
        return {"test": self.test, "valid": self.valid}


def choose_folds(fold_column, test_fold, valid_fold) -> Optional[Folds]:
    """Folds requested by the options of a run, None without a test fold."""
    if test_fold is None:
        require(
            valid_fold is None,
            f"valid_fold is {valid_fold} and test_fold is None",
            "pass --test_fold too",
        )
        require(
            fold_column == FOLD,
            f"fold_column is {fold_column!r} and test_fold is None",
            "pass the value of the test set with --test_fold",
        )
        return None
    if valid_fold is None:
        return Folds(str(fold_column), str(test_fold))
    require(
        str(test_fold) != str(valid_fold),
        f"test_fold and valid_fold are both {test_fold}",
        "choose two folds",
    )
    return Folds(str(fold_column), str(test_fold), str(valid_fold))


def values_of(rows: List[Row], table: Path, column: str) -> List[str]:
    """Values of a column in natural order, without empty cells."""
    if column not in rows[0][1]:
        cure = f"add it, or name one of {', '.join(rows[0][1])}"
        if column == FOLD:
            cure = (
                f"make folds with `python -m data_prep.split {table} "
                "--label_column L --folds 5 --out DIR`, or leave out "
                "--test_fold, --valid_fold and --folds"
            )
        raise InputError(f"{table} has no column {column!r}; {cure}")
    spelt = {}
    for rec, cells in rows:
        value = cells[column]
        refuse_damaged(rec.source, column, value)
        if value == "" and column == FOLD:
            raise InputError(
                f"{rec.source}: fold is empty in a row with a label; fill it in"
            )
        other, source = spelt.setdefault(
            natural_order(spelling(value)), (value, rec.source)
        )
        if other != value:
            raise InputError(
                f"{rec.source}: {column} is {value!r}, and {other!r} in "
                f"{source}; use one spelling and alphabet, or one fold becomes two"
            )
    values = {value for value, _ in spelt.values()} - {""}
    return sorted(values, key=natural_order)


def rounds(column: str, values: Sequence[str]) -> List[Folds]:
    """Test and validation folds of each cross-validation round."""
    if column != FOLD:
        return [Folds(column, value) for value in values]
    following = [*values[1:], *values[:1]]
    return [Folds(column, *pair) for pair in zip(values, following)]


def check_rounds(
    rows: List[Row],
    table: Path,
    column: str,
    values: Sequence[str],
    classes: Sequence[str],
) -> None:
    """Check before the first round of cross-validation that all can run."""
    least, needs = 2, "one to test, one to train"
    if column == FOLD:
        least, needs = 3, "one to test, one to validate, one to train"
    require(
        len(values) >= least,
        f"{table} has {len(values)} values of {column!r} in rows with a label "
        f"({', '.join(values) or 'none'}), and folds need {least} or more: "
        f"{needs}",
        "add recordings, or name another column",
    )
    if len(values) > MOST_FOLDS:
        raise InputError(
            f"{table} has {len(values)} values of {column!r}, such as "
            f"{values[0]!r} and {values[1]!r}: ids or dates, not folds (up to "
            f"{MOST_FOLDS}); name another column"
        )
    if column == FOLD:
        _require_whole_patients(rows)
    for folds in rounds(column, values):
        _require_training(rows, table, folds, classes)


def _require_whole_patients(rows):
    seen = {}
    for rec, cells in rows:
        fold, source = seen.setdefault(
            rec.patient_id, (cells[FOLD], rec.source)
        )
        if fold != cells[FOLD]:
            raise InputError(
                f"{rec.source}: patient_id {rec.patient_id!r} is in fold "
                f"{cells[FOLD]} and in fold {fold} ({source}); keep each "
                "patient in one fold"
            )


def _require_training(rows, table, folds, classes):
    held_out = _held_out_patients(rows, folds)
    present = {rec.label for rec, _ in rows if rec.patient_id not in held_out}
    for label in classes:
        if label not in present:
            held_out = " and ".join(map(repr, folds.held_out.values()))
            raise InputError(
                f"class {label!r} has no patient to train with when "
                f"{folds.column} {held_out} of {table} is held out; add "
                "patients, merge two values, or change --classes"
            )


def leave_out_other_folds(
    rows: List[Row], table: Path, folds: Folds
) -> Tuple[List[Row], List[Tuple[str, str, str]]]:
    """Leave out recordings of a held-out patient that belong to another fold.

    Returns the kept rows, and (path, verdict, reason) of the others. None of
    the column ``fold`` are left out: ``manifest.check`` refuses a patient in
    two folds.
    """
    values = values_of(rows, table, folds.column)
    for split, fold in folds.held_out.items():
        require(
            fold in values,
            f"{split}_fold is {fold}",
            f"{table} has the folds {shortened_list(values)} in its column "
            f"{folds.column!r}",
        )
    if folds.column == FOLD:
        return rows, []
    _report_unknown(rows, folds.column)
    split_of = _held_out_patients(rows, folds)
    kept, left_out = [], []
    for rec, cells in rows:
        split, source = split_of.get(rec.patient_id, ("train", rec.source))
        fold = folds.held_out.get(split)
        if fold is None or cells[folds.column] == fold:
            kept.append((rec, cells))
            continue
        reason = (
            f"{rec.source}: its patient is in {split}, which is {folds.column} "
            f"{fold!r} ({source})"
        )
        left_out.append((rec.wav, "excluded", reason))
    if left_out:
        logger.warning(
            "%d recordings are left out, because their patients are held out "
            "with other recordings: patients have several values of %s; "
            "rejected.csv lists them",
            len(left_out),
            folds.column,
        )
    return kept, left_out


def _held_out_patients(rows, folds) -> Dict[str, Tuple[str, str]]:
    """Split by held-out patient, and its row; test before validation."""
    split_of = {}
    for split, fold in folds.held_out.items():
        for rec, cells in rows:
            if cells[folds.column] == fold:
                split_of.setdefault(rec.patient_id, (split, rec.source))
    return split_of


def _report_unknown(rows, column):
    unknown = [rec for rec, cells in rows if not cells[column]]
    if unknown:
        logger.warning(
            "%d recordings of %d patients have no %s: never in a test set",
            len(unknown),
            len({rec.patient_id for rec in unknown}),
            column,
        )


def as_spelt(folds: Folds, rows: List[Row]) -> Folds:
    """Folds in the spelling of the table, such as 01 for 1."""
    cells = {cells.get(folds.column, "") for _, cells in rows}
    spelt = {natural_order(spelling(cell)): cell for cell in sorted(cells)}

    def respelt(fold):
        key = natural_order(spelling(fold))
        return fold if fold in cells else spelt.get(key, fold)

    test = respelt(folds.test)
    valid = None if folds.valid is None else respelt(folds.valid)
    require(
        test != valid,
        f"test_fold {folds.test} and valid_fold {folds.valid} are both the "
        f"value {test!r} of {folds.column}",
        "choose two folds",
    )
    return Folds(folds.column, test, valid)


def split_by_fold(
    rows: List[Row], folds: Folds, seed: int
) -> Dict[str, List[Recording]]:
    """Split recordings by the values of the folds' column."""
    splits = {split: [] for split in SPLITS}
    split_of = {fold: split for split, fold in folds.held_out.items()}
    for rec, cells in rows:
        splits[split_of.get(cells[folds.column], "train")].append(rec)
    if folds.valid is None:
        drawn = split_patients(strata(splits["train"]), SHARES, seed)
        for split in ("valid", "train"):
            splits[split] = [
                rec for rec in splits["train"] if drawn[rec.patient_id] == split
            ]
    return splits


def natural_order(value: str) -> Tuple:
    """Sort key: numbers by value, before text; ``site2`` before ``site10``."""
    number = as_number(value)
    if number is not None:
        return (0, number)
    # Padded to one length, digits sort by their value.
    text = re.sub(r"[0-9]+", lambda n: n[0].zfill(20), value.casefold())
    return (1, text)


def as_number(value: str) -> Optional[float]:
    """Number in a cell, None for other text."""
    if not _NUMBER.fullmatch(value):
        return None
    number = float(value)
    return number if math.isfinite(number) else None
