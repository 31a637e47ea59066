"""Cross-validation of the classical baseline, with intervals and a permutation
test over patients.

Recordings of one patient are alike, so folds may keep patients apart or not,
and the difference shows leakage. Patients, not recordings, were sampled, so
intervals draw patients, and labels are shuffled between patients (Chaibub Neto
et al., arXiv 1712.03120).
"""

from dataclasses import dataclass, field
from typing import List, Optional

import numpy as np
from tqdm import tqdm

from cry_modules.evaluation.linear_model import (
    folds,
    indices,
    out_of_fold_scores,
)
from cry_modules.metrics.bootstrap import (
    LEAST_PATIENTS,
    patient_weights,
    patients_per_class,
)
from cry_modules.metrics.within_folds import auc_of_folds, macro_auc

#: Names of the models in a report.
MODELS = {
    "logistic": "logistic regression",
    "svm": "support vector machine (radial kernel)",
}

_ROUNDING = 1e-12  # AUCs that differ by less are equal
_ALIKE = 20  # patients that exchange labels: of nearly as many recordings


@dataclass
class Settings:
    """Settings of the cross-validation and its permutation test."""

    model: str = "logistic"  # or svm
    folds: int = 5  # at most
    repeats: int = 10  # cross-validations with other folds; AUCs are averaged
    permutations: int = 100  # shuffles of the labels between patients
    seed: int = 0


@dataclass
class Evidence:
    """Result of a cross-validation with its permutation test."""

    auc: float  # mean over the repeats; macro if there are several classes
    ci95: Optional[List[float]]  # over patients; None if a class has under 5
    p: float  # share of shuffles with an AUC at least as large
    null: List[float]  # AUC of each shuffle
    n: int  # recordings
    n_patients: int
    folds: int  # as many as the rarest class has patients for
    #: AUC of each draw of patients, to compare two splits draw by draw.
    draws: np.ndarray = field(repr=False)


def cross_validate(
    features: np.ndarray,
    labels: np.ndarray,
    patients: np.ndarray,
    grouped: bool,
    settings: Settings,
    description: str = "",
) -> Evidence:
    """Cross-validate the baseline on ``[n, features]``, and repeat it with
    labels shuffled between patients.

    `grouped` keeps each patient in one fold.
    """
    patients = indices(patients)
    n_folds = min(settings.folds, patients_per_class(labels, patients).min())

    def scored(labels, seed):
        groups = patients if grouped else None
        splits = folds(labels, groups, n_folds, seed)
        return out_of_fold_scores(features, labels, splits, settings.model)

    first = settings.seed * 10**6  # seeds of two runs share no split
    repeats = [scored(labels, first + i) for i in range(settings.repeats)]
    value = float(np.mean([_auc(labels, *repeat) for repeat in repeats]))
    rng = np.random.default_rng(settings.seed)
    null = []
    for i in tqdm(
        range(settings.permutations),
        desc=description,
        leave=False,
        disable=None,
    ):
        shuffled = shuffle_between_patients(labels, patients, rng)
        repeat = scored(shuffled, first + settings.repeats + i)
        null.append(_auc(shuffled, *repeat))
    draws = _draw_patients(labels, patients, repeats, settings.seed)
    as_large = np.sum(np.array(null) >= value - _ROUNDING)
    return Evidence(
        auc=value,
        ci95=interval_over_patients(draws, labels, patients),
        p=float((1 + as_large) / (1 + len(null))),
        null=null,
        n=len(labels),
        n_patients=len(np.unique(patients)),
        folds=int(n_folds),
        draws=draws,
    )


def _auc(labels, scores, fold) -> float:
    """AUC of pairs within folds; chance if no fold has any."""
    value = auc_of_folds(labels, scores, fold)
    return 0.5 if value is None else value


def shuffle_between_patients(
    labels: np.ndarray, patients: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Exchange labels between patients, for a permutation test.

    Similarity within a patient remains, and only what holds across patients
    is lost. Labels move between patients of nearly as many recordings, about
    twenty at a time; if the receiver has fewer, some are left out at random,
    if more, they are repeated. So a patient of one label becomes a patient of
    one label, and one of several a patient of several.
    """
    rows = [np.flatnonzero(patients == p) for p in range(patients.max() + 1)]
    n_classes = len(np.unique(labels))
    shuffled = np.empty_like(labels)
    while True:
        by_size = np.lexsort((rng.random(len(rows)), [len(r) for r in rows]))
        n_groups = max(1, len(rows) // _ALIKE)
        for group in np.array_split(by_size, n_groups):
            for receiver, giver in zip(group, rng.permutation(group)):
                given = rng.permutation(labels[rows[giver]])
                shuffled[rows[receiver]] = np.resize(given, len(rows[receiver]))
        # A patient of several labels can lose the last of a rare class.
        if len(np.unique(shuffled)) == n_classes:
            return shuffled


def _draw_patients(labels, patients, repeats, seed) -> np.ndarray:
    """Mean AUC of the repeats in each draw of patients.

    The draws depend on the patients and the seed alone, so those of two
    splits of the same recordings can be compared one by one.
    """
    draws = []
    for weights in patient_weights(patients, seed):
        values = [
            macro_auc(labels, scores, weights, fold) for scores, fold in repeats
        ]
        draws.append(np.mean(values, axis=0))
    return np.concatenate(draws)


def interval_over_patients(
    draws: np.ndarray, labels: np.ndarray, patients: np.ndarray
) -> Optional[List[float]]:
    """95 % percentile interval of a metric's draws; None if a class has fewer
    than five patients.

    Unlike ``metrics.bootstrap.interval`` also if all draws are equal: the
    permutation test judges such results.
    """
    if patients_per_class(labels, patients).min() < LEAST_PATIENTS:
        return None
    return np.nanquantile(draws, [0.025, 0.975]).tolist()
