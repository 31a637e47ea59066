"""Predictions: scores of recordings with their true classes, and their file."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, List, Sequence

import numpy as np

from data_prep.files.errors import InputError
from data_prep.files.identifiers import Spellings
from data_prep.files.tables import read_table, write_table

UNITS = ("recording", "patient")
#: The patient score that is a probability if the scores of recordings are.
MEAN_LOG_ODDS = "mean_log_odds"

_SMALLEST = 1e-12  # probability, before a logarithm


@dataclass
class Predictions:
    """Scores of recordings (or of patients) with their true classes."""

    ids: List[str]  # manifest IDs
    patients: List[str]  # patient of each recording
    labels: np.ndarray  # index of the true class, [n]
    scores: np.ndarray  # probability of each class, [n, n_classes]
    classes: List[str]  # names, the positive class last

    def write(self, path: Path) -> None:
        """Write a csv of ``ID, patient_id, label`` and one column per class."""
        rows = [
            (ID, patient, self.classes[label], *map(repr, scores.tolist()))
            for ID, patient, label, scores in zip(
                self.ids, self.patients, self.labels, self.scores
            )
        ]
        write_table(path, ("ID", "patient_id", "label", *self.classes), rows)

    @classmethod
    def read(cls, path: Path) -> "Predictions":
        """Read a csv that ``write`` wrote; raise InputError if it is faulty."""
        required = ("ID", "patient_id", "label")
        # With the folder, because many runs have files of this name.
        rows = [
            (str(Path(path).parent / source), row)
            for source, row in read_table(path, required)
        ]
        classes = [c for c in rows[0][1] if c not in required]
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
        return cls(
            [row["ID"] for _, row in rows],
            [patients(source, row["patient_id"]) for source, row in rows],
            np.array([classes.index(row["label"]) for _, row in rows]),
            scores,
            classes,
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
        )

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
    def joined(cls, parts: Sequence["Predictions"]) -> "Predictions":
        """Join predictions of disjoint recordings."""
        return cls(
            sum((p.ids for p in parts), []),
            sum((p.patients for p in parts), []),
            np.concatenate([p.labels for p in parts]),
            np.concatenate([p.scores for p in parts]),
            parts[0].classes,
        )

    def by_unit(
        self, unit: str, patient_score: str = MEAN_LOG_ODDS
    ) -> "Predictions":
        """Return the predictions per ``recording`` or per ``patient``."""
        return self if unit == "recording" else self.by_patient(patient_score)

    def by_patient(self, patient_score: str = MEAN_LOG_ODDS) -> "Predictions":
        """Combine the scores of each patient's recordings.

        If a patient has recordings of several classes (triggers), those of
        one class are combined.
        """
        aggregate = aggregation(patient_score)
        rows_of = {}
        for i, unit in enumerate(zip(self.patients, self.labels.tolist())):
            rows_of.setdefault(unit, []).append(i)
        patients = [patient for patient, _ in rows_of]
        n_of = Counter(patients)
        return Predictions(
            [
                f"{patient}/{self.classes[label]}"
                if n_of[patient] > 1
                else patient
                for patient, label in rows_of
            ],
            patients,
            np.array([label for _, label in rows_of]),
            np.array([aggregate(self.scores[r]) for r in rows_of.values()]),
            self.classes,
        )


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
    for (source, row), total in zip(rows, scores.sum(axis=1)):
        rounding = sum(_half_digit(row[name]) for name in classes)
        allowed = min(rounding, 0.005 * len(classes)) + 1e-6
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
