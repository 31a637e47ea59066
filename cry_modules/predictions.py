"""Scores of recordings with their true class: what a classifier says.

Authors
 * The contributors of cry-ssl 2026
"""

from dataclasses import dataclass
from pathlib import Path
from typing import List

import numpy as np

from data_prep.errors import InputError
from data_prep.tables import read_table, write_table

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
        """Read what ``write`` wrote.

        Arguments
        ---------
        path : pathlib.Path
            ``predictions_*.csv``.

        Returns
        -------
        Predictions
        """
        rows = [row for _, row in read_table(path, ("ID", "patient_id"))]
        classes = [c for c in rows[0] if c not in ("ID", "patient_id", "label")]
        unknown = {row["label"] for row in rows} - set(classes)
        if unknown:
            raise InputError(
                f"{path}: label {sorted(unknown)[0]!r} has no column of scores"
            )
        return cls(
            [row["ID"] for row in rows],
            [row["patient_id"] for row in rows],
            np.array([classes.index(row["label"]) for row in rows]),
            np.array([[float(row[c]) for c in classes] for row in rows]),
            classes,
        )

    def by_patient(self) -> "Predictions":
        """One score a patient: the mean of the recordings' log-odds.

        Where a patient has recordings of several classes (triggers), the
        unit is the patient's recordings of one class.

        Returns
        -------
        Predictions

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
        """
        units = {}
        for i, unit in enumerate(zip(self.patients, self.labels.tolist())):
            units.setdefault(unit, []).append(i)
        logs = np.log(np.clip(self.scores, _SMALLEST, None))
        means = np.array([logs[rows].mean(axis=0) for rows in units.values()])
        odds = np.exp(means - means.max(axis=1, keepdims=True))
        patients = [patient for patient, _ in units]
        return Predictions(
            patients,
            patients,
            np.array([label for _, label in units]),
            odds / odds.sum(axis=1, keepdims=True),
            self.classes,
        )
