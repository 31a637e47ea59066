"""Scores of recordings with their true class: what a classifier says."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import List, Sequence

import numpy as np

from data_prep.files.errors import InputError
from data_prep.files.tables import read_table, write_table

_SMALLEST = 1e-12  # probability, before a logarithm


@dataclass
class Predictions:
    """Scores of recordings (or of patients) with their true class.

    Arguments
    ---------
    ids : list of str
        Manifest IDs.
    patients : list of str
        Whose they are.
    labels : numpy.ndarray
        Index of the true class, ``[n]``.
    scores : numpy.ndarray
        Probability of each class, ``[n, n_classes]``.
    classes : list of str
        Names, the positive one last.
    """

    ids: List[str]
    patients: List[str]
    labels: np.ndarray
    scores: np.ndarray
    classes: List[str]

    def write(self, path: Path) -> None:
        """Write ``ID, patient_id, label`` and a column a class."""
        rows = [
            (ID, patient, self.classes[label], *map(repr, scores.tolist()))
            for ID, patient, label, scores in zip(
                self.ids, self.patients, self.labels, self.scores
            )
        ]
        write_table(path, ("ID", "patient_id", "label", *self.classes), rows)

    @classmethod
    def read(cls, path: Path) -> "Predictions":
        """Read what ``write`` wrote."""
        required = ("ID", "patient_id", "label")
        # Of many runs' files with one name, the folder says which.
        rows = [
            (str(Path(path).parent / source), row)
            for source, row in read_table(path, required)
        ]
        classes = [c for c in rows[0][1] if c not in required]
        if len(classes) < 2:
            raise InputError(
                f"{path} has {len(classes)} columns of scores; a classifier "
                "leaves one for each class: pass its predictions_*.csv"
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
        return cls(
            [row["ID"] for _, row in rows],
            [row["patient_id"] for _, row in rows],
            np.array([classes.index(row["label"]) for _, row in rows]),
            np.array(
                [[_number(source, row, c) for c in classes]
                 for source, row in rows]
            ),
            classes,
        )  # fmt: skip

    def take(self, rows: Sequence[int]) -> "Predictions":
        """Some of the rows.

        Example
        -------
        >>> p = Predictions(
        ...     ["a", "b"], ["p", "q"], np.arange(2), np.eye(2), ["x", "y"]
        ... )
        >>> p.take([1]).ids
        ['b']
        """
        rows = np.asarray(rows, dtype=int)
        return Predictions(
            [self.ids[i] for i in rows],
            [self.patients[i] for i in rows],
            self.labels[rows],
            self.scores[rows],
            self.classes,
        )

    def at_prevalence(
        self, before: np.ndarray, after: np.ndarray
    ) -> "Predictions":
        """What the scores would be if classes were of another frequency.

        Scores of models that were trained with different shares of a class
        have no common scale before that.

        Shapes: before ``[n_classes]``, after ``[n_classes]``.

        Example
        -------
        >>> p = Predictions(
        ...     ["a"], ["p"], np.array([0]), np.array([[0.9, 0.1]]), ["x", "y"]
        ... )
        >>> even = np.array([0.5, 0.5])
        >>> p.at_prevalence(np.array([0.9, 0.1]), even).scores
        array([[0.5, 0.5]])
        """
        odds = self.scores * (after / before)
        scores = odds / odds.sum(axis=1, keepdims=True)
        return Predictions(
            self.ids, self.patients, self.labels, scores, self.classes
        )

    @classmethod
    def joined(cls, parts: Sequence["Predictions"]) -> "Predictions":
        """Predictions of disjoint recordings as one.

        Example
        -------
        >>> p = Predictions(
        ...     ["a"], ["p"], np.ones(1, int), np.eye(2)[:1], ["x", "y"]
        ... )
        >>> q = Predictions(
        ...     ["b"], ["q"], np.ones(1, int), np.eye(2)[:1], ["x", "y"]
        ... )
        >>> Predictions.joined([p, q]).ids
        ['a', 'b']
        """
        return cls(
            sum((p.ids for p in parts), []),
            sum((p.patients for p in parts), []),
            np.concatenate([p.labels for p in parts]),
            np.concatenate([p.scores for p in parts]),
            parts[0].classes,
        )

    def by_patient(self, how: str = "mean_log_odds") -> "Predictions":
        """One score a patient.

        Where a patient has recordings of several classes (triggers), the
        unit is the patient's recordings of one class.

        Example
        -------
        >>> p = Predictions(
        ...     ["a", "b"],
        ...     ["p1", "p1"],
        ...     np.array([1, 1]),
        ...     np.array([[0.5, 0.5], [0.2, 0.8]]),
        ...     ["healthy", "injury"],
        ... )
        >>> p.by_patient().scores.round(3)  # log-odds 0 and ln 4: ln 2
        array([[0.333, 0.667]])
        >>> p.by_patient("noisy_or").scores.round(3)  # 1 - 0.5 * 0.2
        array([[0.1, 0.9]])
        """
        if str(how) not in AGGREGATIONS:
            raise InputError(
                f"patient_score is {how!r}; expected one of "
                f"{', '.join(AGGREGATIONS)}"
            )
        units = {}
        for i, unit in enumerate(zip(self.patients, self.labels.tolist())):
            units.setdefault(unit, []).append(i)
        patients = [patient for patient, _ in units]
        n_of = Counter(patients)
        one = AGGREGATIONS[how]
        return Predictions(
            [
                f"{patient}/{self.classes[label]}"
                if n_of[patient] > 1
                else patient
                for patient, label in units
            ],
            patients,
            np.array([label for _, label in units]),
            np.array([one(self.scores[rows]) for rows in units.values()]),
            self.classes,
        )


def _number(source, row, name):
    try:
        value = float(row[name])
    except ValueError:
        value = float("nan")
    if not 0 <= value <= 1:  # NaN is not either
        raise InputError(
            f"{source}: {name} is {row[name]!r}; expected a probability, 0 to 1"
        )
    return value


def _mean_log_odds(scores: np.ndarray) -> np.ndarray:
    """[recordings, classes] to [classes]."""
    means = np.log(np.clip(scores, _SMALLEST, None)).mean(axis=0)
    means = means.round(12)  # patients of equal scores stay equal
    odds = np.exp(means - means.max())
    return odds / odds.sum()


def _max(scores: np.ndarray) -> np.ndarray:
    return _as_probabilities(scores.max(axis=0))


def _noisy_or(scores: np.ndarray) -> np.ndarray:
    return _as_probabilities(1 - np.prod(1 - scores, axis=0))


def _as_probabilities(scores: np.ndarray) -> np.ndarray:
    """Of two classes the last counts, as the one that is looked for."""
    if len(scores) == 2:
        return np.array([1 - scores[1], scores[1]])
    return scores / scores.sum()


#: How the scores of a patient's recordings become the patient's.
AGGREGATIONS = {
    "mean_log_odds": _mean_log_odds,
    "max": _max,
    "noisy_or": _noisy_or,
}
