"""Predictions: scores of recordings with their true classes, and their file."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence

import numpy as np

from cry_modules.metrics.within_folds import with_pair
from data_prep.files.errors import InputError, require
from data_prep.files.identifiers import Spellings
from data_prep.files.tables import read_table, write_table

UNITS = ("recording", "patient")
#: The patient score that is a probability if the scores of recordings are.
MEAN_LOG_ODDS = "mean_log_odds"

_SMALLEST = 1e-12  # probability, before a logarithm
_ROUNDING = 1e-6  # of float32, in a sum of scores


@dataclass
class Predictions:
    """Scores of recordings (or of patients) with their true classes."""

    ids: List[str]  # manifest IDs
    patients: List[str]  # patient of each recording
    labels: np.ndarray  # index of the true class, [n]
    scores: np.ndarray  # probability of each class, [n, n_classes]
    classes: List[str]  # names, the positive class last
    #: Fold of each recording, which the model of its scores was trained
    #: without; None if one model scored all.
    folds: Optional[List[str]] = None

    def write(
        self, path: Path, path_of: Optional[Dict[str, str]] = None
    ) -> None:
        """Write a csv of ``ID, patient_id, label`` and one column per class;
        with folds, ``fold`` is before ``label``. The last column is the audio
        file, if known by ID."""
        columns = {"ID": self.ids, "patient_id": self.patients}
        if self.folds is not None:
            columns["fold"] = self.folds
        columns["label"] = [self.classes[label] for label in self.labels]
        scores = ([repr(x) for x in row] for row in self.scores.tolist())
        rows = [
            (*cells, *row) for *cells, row in zip(*columns.values(), scores)
        ]
        header = (*columns, *self.classes)
        if path_of is not None:
            header += ("path",)
            rows = [(*row, path_of[ID]) for row, ID in zip(rows, self.ids)]
        write_table(path, header, rows)

    @classmethod
    def read(cls, path: Path) -> "Predictions":
        """Read a csv that ``write`` wrote; raise InputError if it is faulty."""
        required = ("ID", "patient_id", "label")
        # With the folder, because many runs have files of this name.
        folder = str(Path(path).parent / "_")[:-1]
        rows = [
            (f"{folder}{source}", row)
            for source, row in read_table(path, required)
        ]
        classes = [
            c for c in rows[0][1] if c not in (*required, "fold", "path")
        ]
        if len(classes) < 2:
            raise InputError(
                f"{path} has {len(classes)} columns of scores; a classifier "
                "writes one for each class: pass its predictions_*.csv"
            )
        seen = {}
        for source, row in rows:
            if row["label"] not in classes:
                raise InputError(
                    f"{source}: label {row['label']!r} has no column of "
                    f"scores in {path}; correct it"
                )
            first = seen.setdefault(row["ID"], source)
            if first != source:
                raise InputError(
                    f"{source}: ID {row['ID']!r} is in {first} already; "
                    "remove one of the rows"
                )
        scores = np.array(
            [[_probability(source, row, c) for c in classes]
             for source, row in rows]
        )  # fmt: skip
        _check_sums(rows, classes, scores)
        patients = Spellings(f"patient_id of {path}", refuse_zeros=True)
        folds = None
        if "fold" in rows[0][1]:
            folds = [_fold(source, row["fold"]) for source, row in rows]
        return cls(
            [row["ID"] for _, row in rows],
            [patients(source, row["patient_id"]) for source, row in rows],
            np.array([classes.index(row["label"]) for _, row in rows]),
            scores,
            classes,
            folds,
        )

    def take(self, rows: Sequence[int]) -> "Predictions":
        """Select recordings by their indices."""
        rows = np.asarray(rows, dtype=int)
        return Predictions(
            [self.ids[i] for i in rows],
            [self.patients[i] for i in rows],
            self.labels[rows],
            self.scores[rows],
            self.classes,
            self.folds and [self.folds[i] for i in rows],
        )

    @property
    def log_odds(self) -> np.ndarray:
        """Log-odds of each class against the rest, ``[n, n_classes]``."""
        p = np.clip(self.scores, _SMALLEST, 1 - _SMALLEST)
        return np.log(p) - np.log1p(-p)

    def with_pairs(self) -> "Predictions":
        """Select the recordings that AUC and average precision compare: those
        of folds with two classes or more."""
        return self.take(np.flatnonzero(with_pair(self.labels, self.folds)))

    def with_scores(self, scores: np.ndarray) -> "Predictions":
        """Copy the recordings with other scores, ``[n, n_classes]``."""
        return replace(self, scores=scores)

    def at_prevalence(
        self, before: np.ndarray, after: np.ndarray
    ) -> "Predictions":
        """Adjust scores from the class frequencies `before` to `after`.

        Scores of models trained with different class frequencies have no
        common scale before that.
        """
        odds = self.scores * (after / before)
        return self.with_scores(odds / odds.sum(axis=1, keepdims=True))

    @classmethod
    def joined(
        cls,
        parts: Sequence["Predictions"],
        folds: Optional[Sequence[str]] = None,
    ) -> "Predictions":
        """Join predictions of disjoint recordings; `folds` names the parts if
        each is of another model."""
        return cls(
            sum((p.ids for p in parts), []),
            sum((p.patients for p in parts), []),
            np.concatenate([p.labels for p in parts]),
            np.concatenate([p.scores for p in parts]),
            parts[0].classes,
            folds and np.repeat(folds, [len(p.ids) for p in parts]).tolist(),
        )

    def by_unit(
        self, unit: str, patient_score: str = MEAN_LOG_ODDS
    ) -> "Predictions":
        """Return the predictions per ``recording`` or per ``patient``."""
        return self if unit == "recording" else self.by_patient(patient_score)

    def by_patient(self, patient_score: str = MEAN_LOG_ODDS) -> "Predictions":
        """Combine the scores of each patient's recordings.

        If a patient has recordings of several classes (triggers) or in
        several folds, those of one class and fold are combined.
        """
        aggregate = aggregation(patient_score)
        folds = self.folds or [""] * len(self.ids)
        rows_of = {}
        for i, unit in enumerate(zip(self.patients, self.labels, folds)):
            rows_of.setdefault(unit, []).append(i)
        n_of = Counter(patient for patient, _, _ in rows_of)
        names = [
            "/".join(filter(None, (patient, self.classes[label], fold)))
            if n_of[patient] > 1
            else patient
            for patient, label, fold in rows_of
        ]
        patients, labels, folds = zip(*rows_of)
        return Predictions(
            names,
            list(patients),
            np.array(labels),
            np.array([aggregate(self.scores[r]) for r in rows_of.values()]),
            self.classes,
            self.folds and list(folds),
        )


def _fold(source, name):
    require(name != "", f"{source}: fold is empty", "write the fold's name")
    return name


def _probability(source, row, name):
    try:
        value = float(row[name])
    except ValueError:
        value = float("nan")
    if not 0 <= value <= 1:  # refuses NaN too
        raise InputError(
            f"{source}: {name} is {row[name]!r}; expected a probability, 0 to 1"
        )
    return value


def _check_sums(rows, classes, scores: np.ndarray) -> None:
    """Refuse scores of a recording that do not add up to one, except for the
    rounding of float32 and of the digits in the file, two or more."""
    totals = scores.sum(axis=1)
    for i in np.flatnonzero(np.abs(totals - 1) > _ROUNDING):
        (source, row), total = rows[i], totals[i]
        rounding = sum(_half_digit(row[name]) for name in classes)
        allowed = min(rounding, 0.005 * len(classes)) + _ROUNDING
        if abs(total - 1) > allowed:
            raise InputError(
                f"{source}: the scores of {', '.join(classes)} add up to "
                f"{total:.4g}, not to 1; pass probabilities of all classes"
            )


def _half_digit(number: str) -> float:
    """Half of the last digit of a number up to 1, as it is written."""
    mantissa, _, exponent = number.lower().partition("e")
    n_decimals = len(mantissa.strip().partition(".")[2])
    return 0.5 * 10.0 ** min(0, int(exponent or 0) - n_decimals)


def aggregation(patient_score: str) -> Callable[[np.ndarray], np.ndarray]:
    """Function that combines the scores of a patient's recordings; raises
    InputError if `patient_score` is unknown."""
    if str(patient_score) not in AGGREGATIONS:
        raise InputError(
            f"patient_score is {patient_score!r}; expected one of "
            f"{', '.join(AGGREGATIONS)}"
        )
    return AGGREGATIONS[patient_score]


def _mean_log_odds(scores: np.ndarray) -> np.ndarray:
    """[recordings, classes] to [classes]."""
    means = np.log(np.clip(scores, _SMALLEST, None)).mean(axis=0)
    means = means.round(12)  # patients of equal scores stay equal
    odds = np.exp(means - means.max())
    return odds / odds.sum()


def _as_probabilities(scores: np.ndarray) -> np.ndarray:
    """Make scores sum to one; with two classes the positive one is kept."""
    if len(scores) == 2:
        return np.array([1 - scores[1], scores[1]])
    return scores / scores.sum()


#: Ways to combine the scores of a patient's recordings.
AGGREGATIONS = {
    MEAN_LOG_ODDS: _mean_log_odds,
    "max": lambda scores: _as_probabilities(scores.max(axis=0)),
    "noisy_or": lambda scores: _as_probabilities(
        1 - np.prod(1 - scores, axis=0)
    ),
}
