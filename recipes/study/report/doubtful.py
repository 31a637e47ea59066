"""Recordings whose labels may be wrong: those that the best method of a study
gets most wrong, and those that it is least sure of.

``doubtful.csv`` names recordings and patients, so it stays on this machine.
"""

from pathlib import Path
from typing import Dict, List, Optional, Tuple

import numpy as np

from cry_modules.metrics.predictions import Predictions
from data_prep.files.tables import read_table, write_table
from recipes.study.report.results import Results
from recipes.study.settings import Task

FILE = "doubtful.csv"
COLUMNS = ("path", "patient", "label", "score", "times_wrong", "kind")
#: Recordings of each kind.
_MOST = 20


def best_method(results: Results, task: str) -> Optional[Tuple[str, str]]:
    """Encoder and mode of the highest test AUC of a task."""
    values = {
        (encoder, mode): cell.mean
        for encoder in results.settings.encoders
        for mode in results.settings.modes
        if (cell := results.cell(task, encoder, mode)) and cell.mean is not None
    }
    return max(values, key=values.get, default=None)


def write_doubtful(results: Results, folder: Path) -> List[Path]:
    """Write the doubtful recordings of each task into the study's folder."""
    for old in folder.glob("doubtful*.csv"):
        old.unlink()
    written = []
    for i, task in enumerate(results.settings.tasks):
        method = best_method(results, task.name)
        if method is not None:
            path = folder / (f"doubtful_{task.name}.csv" if i else FILE)
            write_table(path, COLUMNS, _rows(results, task, *method))
            written.append(path)
    return written


def _rows(results: Results, task: Task, encoder: str, mode: str) -> List[List]:
    """Most wrong first, then the most unsure of the others."""
    runs = results.set_of(task.name, encoder, mode)
    prevalence = [
        metrics.get("prevalence")
        for metrics in results.of(task.name, encoder, mode)
    ]
    first = runs.predictions[0]
    by_seed = np.array(
        [_scores(p, share) for p, share in zip(runs.predictions, prevalence)]
    )
    scores, times_wrong = by_seed.mean(axis=0), (by_seed < 0.5).sum(axis=0)
    by_score = np.argsort(scores, kind="stable")
    wrong = [i for i in by_score if scores[i] < 0.5][:_MOST]
    others = set(range(len(scores))) - {*wrong}
    unsure = sorted(others, key=lambda i: abs(scores[i] - 0.5))[:_MOST]
    cells = _cells_of(runs.files[0])
    return [
        [
            *cells[first.ids[i]],
            first.classes[first.labels[i]],
            f"{scores[i]:.4f}",
            int(times_wrong[i]),
            kind,
        ]
        for kind, chosen in (("most wrong", wrong), ("most unsure", unsure))
        for i in chosen
    ]


def _scores(p: Predictions, prevalence) -> np.ndarray:
    """Probability of each recording's label rather than of the best other
    class, if classes were equally frequent in training, ``[n]``."""
    if len(prevalence or ()) == len(p.classes):
        shares = prevalence
    else:
        shares = np.ones(len(p.classes))
    odds = np.clip(p.scores, 1e-12, 1) / shares
    rows = np.arange(len(odds))
    of_label = odds[rows, p.labels].copy()
    odds[rows, p.labels] = 0
    return of_label / (of_label + odds.max(axis=1))


def _cells_of(file: Path) -> Dict[str, Tuple[str, str]]:
    """Path (ID if unknown) and patient of each recording as the user spells
    them, by ID."""
    return {
        row["ID"]: (row.get("path") or row["ID"], row["patient_id"])
        for _, row in read_table(file, ("ID", "patient_id"))
    }
