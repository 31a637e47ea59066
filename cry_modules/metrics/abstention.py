"""Abstention: metrics of the most certain recordings (risk-coverage curve).

A model that leaves doubtful recordings to a person is judged on the others, at
the share of recordings (coverage) that it still decides. Certainty is the
probability of the predicted class (Geifman & El-Yaniv 2017, arXiv 1705.08500).
Each draw of patients keeps its own most certain share. Of equally certain
recordings at the limit each counts in part, so that their order is irrelevant.
"""

from typing import Dict, List, Sequence

import numpy as np

from cry_modules.metrics.bootstrap import (
    N_DRAWS,
    patient_weights,
    why_no_interval,
)
from cry_modules.metrics.choices import Choices
from cry_modules.metrics.figures import METRICS
from cry_modules.metrics.predictions import Predictions
from cry_modules.metrics.words import markdown_table, with_interval
from data_prep.files.errors import require

#: Shares of the recordings that are decided.
COVERAGES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
#: Metrics of the recordings that are decided.
SHOWN = ("accuracy", "auc")


def check_coverages(coverages: Sequence[float]) -> None:
    """Refuse a share of the recordings that is not one."""
    for value in coverages:
        require(
            0 < value <= 1,
            f"--coverage is {value:g}",
            "pass shares of the recordings above 0 and up to 1, as 0.8",
        )


def kept_weights(
    certainty: np.ndarray, coverage: float, weights: np.ndarray
) -> np.ndarray:
    """Weights ``[draws, n]`` of the most certain recordings, which sum to the
    share `coverage` of all weights.

    Example
    -------
    >>> kept_weights(np.array([0.9, 0.6, 0.6, 0.8]), 0.75, np.ones((1, 4)))
    array([[1. , 0.5, 0.5, 1. ]])
    """
    _, group = np.unique(-certainty, return_inverse=True)
    of_group = np.zeros((len(weights), group.max() + 1))
    np.add.at(of_group.T, group, weights.T)
    upto = np.cumsum(of_group, axis=1)
    left = coverage * upto[:, -1:] - (upto - of_group)
    part = np.divide(
        left, of_group, out=np.zeros_like(left), where=of_group > 0
    )
    return weights * np.clip(part, 0, 1)[:, group]


def risk_coverage(
    p: Predictions,
    seed: int = 0,
    n_draws: int = N_DRAWS,
    coverages: Sequence[float] = COVERAGES,
) -> List[Dict]:
    """Accuracy and AUC of the most certain recordings, a row a coverage, with
    95 % intervals over draws of patients; ``kept`` is the share of the
    recordings of each class that are decided."""
    values = _values(p, coverages, np.ones((1, len(p.labels))))
    draws: List = []
    if why_no_interval(p.labels, p.patients, p.classes) is None:
        blocks = [
            _values(p, coverages, weights)
            for weights in patient_weights(p.patients, seed, n_draws)
        ]
        draws = [np.concatenate(blocks, axis=-1)] if blocks else []
    rows = []
    for i, coverage in enumerate(coverages):
        row: Dict = {"coverage": float(coverage)}
        for j, name in enumerate(SHOWN):
            value = values[i, j, 0]
            known = np.isfinite(value)
            row[name] = float(value) if known else None
            row[f"{name}_ci95"] = (
                METRICS[name].interval(value, draws[0][i, j], p)
                if known and draws
                else None
            )
        rows.append({**row, "kept": _kept(p, coverage)})
    return rows


def _values(p, coverages, weights) -> np.ndarray:
    """Each metric at each coverage, ``[coverages, metrics, draws]``."""
    certainty = p.scores.max(axis=1)
    kept = (kept_weights(certainty, c, weights) for c in coverages)
    return np.array(
        [
            [METRICS[name].function(p, Choices(), w) for name in SHOWN]
            for w in kept
        ]
    )


def _kept(p, coverage) -> Dict[str, float]:
    """Share of each class's recordings that are decided."""
    weights = kept_weights(
        p.scores.max(axis=1), coverage, np.ones((1, len(p.labels)))
    )[0]
    return {
        name: float(weights[p.labels == k].mean())
        for k, name in enumerate(p.classes)
        if (p.labels == k).any()
    }


def coverage_table(rows: Sequence[Dict]) -> List[str]:
    """Markdown table of the rows of ``risk_coverage``."""
    classes = list(rows[0]["kept"])
    head = ["decided", *(METRICS[name].words for name in SHOWN)]
    # A class that is seldom certain is left undecided first.
    head.append(f"decided of {' / '.join(classes)}")
    cells = []
    for row in rows:
        kept = " / ".join(f"{100 * x:.0f} %" for x in row["kept"].values())
        metrics = [with_interval(row, name) for name in SHOWN]
        cells.append([f"{100 * row['coverage']:g} %", *metrics, kept])
    return markdown_table(head, cells)
