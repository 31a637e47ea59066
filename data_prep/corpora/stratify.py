"""Stratified splits, folds and fractions of whole patients."""

import logging
import math
from collections import Counter, defaultdict
from typing import Dict, Hashable, List, Set

import numpy as np

from data_prep.files.errors import InputError, require
from data_prep.manifest import Recording

logger = logging.getLogger(__name__)

#: Default shares of the splits.
SHARES = {"train": 0.7, "valid": 0.15, "test": 0.15}


def strata(recordings: List[Recording]) -> Dict[str, tuple]:
    """Label and site of each patient, by patient_id.

    A patient with recordings of several labels counts for the rarest label,
    whose distribution over splits matters most.
    """
    n_of = Counter(rec.label for rec in recordings)
    strata_of = defaultdict(list)
    for rec in recordings:
        stratum = (n_of[rec.label], rec.label, rec.site)
        strata_of[rec.patient_id].append(stratum)
    return {patient: min(seen)[1:] for patient, seen in strata_of.items()}


def split_patients(
    stratum_of: Dict[str, tuple], shares: Dict[str, float], seed: int
) -> Dict[str, str]:
    """Assign whole patients to splits, stratified by label, then site.

    Each split gets its share of each label to within one patient, and at least
    one patient if the label has as many patients as there are splits (which may
    take more than one from the largest split).

    Example
    -------
    >>> split = split_patients(
    ...     {f"p{i}": ("a", "") for i in range(10)},
    ...     {"train": 0.7, "valid": 0.1, "test": 0.2},
    ...     seed=0,
    ... )
    >>> sorted(Counter(split.values()).items())
    [('test', 2), ('train', 7), ('valid', 1)]
    """
    rng = _generator(seed)
    split_of = {}
    total = Counter()
    for patients in _by_label(stratum_of, rng).values():
        # Remainders go to the split that is furthest below its share.
        order = sorted(shares, key=lambda s: total[s] - _due(total, shares, s))
        quota = _whole_numbers(len(patients), {s: shares[s] for s in order})
        total.update(quota)
        given = Counter()
        for i, patient in enumerate(patients, start=1):
            # The split furthest below its quota: this also spreads the sites,
            # which are consecutive in the list, over the splits.
            behind = {s: quota[s] * i / len(patients) - given[s] for s in order}
            split = max(order, key=behind.__getitem__)
            split_of[patient] = split
            given[split] += 1
    return split_of


def split_by_patient(
    recordings: List[Recording], shares: Dict[str, float], seed: int
) -> Dict[str, List[Recording]]:
    """Split recordings by whole patients."""
    split_of = split_patients(strata(recordings), shares, seed)
    return {
        split: [r for r in recordings if split_of[r.patient_id] == split]
        for split in shares
    }


def _generator(seed: int) -> np.random.Generator:
    if seed < 0:
        raise InputError(f"seed is {seed}; it must be 0 or more")
    return np.random.default_rng(seed)


def _due(given: Counter, shares: Dict[str, float], split: str) -> float:
    """Share of the patients assigned so far that is due to a split."""
    return shares[split] * sum(given.values())


def _by_label(stratum_of, rng) -> Dict[Hashable, List[str]]:
    """Patients by label, sorted by site, shuffled within each site."""
    patients = sorted(stratum_of, key=str.lower)
    rng.shuffle(patients)
    patients.sort(key=lambda p: stratum_of[p])  # stable
    groups = defaultdict(list)
    for patient in patients:
        groups[stratum_of[patient][0]].append(patient)
    return groups


def _whole_numbers(n: int, shares: Dict[str, float]) -> Dict[str, int]:
    """Divide n by largest remainder; at least 1 each, if n suffices."""
    quota = {s: math.floor(n * share) for s, share in shares.items()}
    rest = sorted(shares, key=lambda s: quota[s] - n * shares[s])
    for s in rest[: n - sum(quota.values())]:
        quota[s] += 1
    for s in shares:
        if quota[s] == 0 and shares[s] > 0 and n >= len(shares):
            quota[max(quota, key=quota.get)] -= 1
            quota[s] = 1
    return quota


def fold_patients(
    stratum_of: Dict[str, tuple], n_folds: int, seed: int
) -> Dict[str, str]:
    """Assign whole patients to folds, stratified by label, then site."""
    require(n_folds >= 2, f"folds is {n_folds}", "there must be two or more")
    require(
        len(stratum_of) >= n_folds,
        f"{len(stratum_of)} patients cannot be put into {n_folds} folds",
        f"pass --folds {len(stratum_of)} or less, or add patients",
    )
    n_of = Counter(label for label, _ in stratum_of.values())
    for label, n in sorted(n_of.items()):
        if n < n_folds:
            logger.warning(
                "class %r has %d patients, fewer than the %d folds: it is "
                "missing in some folds",
                label,
                n,
                n_folds,
            )
    shares = {str(fold): 1 / n_folds for fold in range(n_folds)}
    return split_patients(stratum_of, shares, seed)


def check_fraction(fraction: float) -> None:
    """Check that `fraction` is in (0, 1]."""
    if not 0 < fraction <= 1:
        raise InputError(
            f"label_fraction is {fraction}; it must be above 0 and up to 1 "
            "(10 % is 0.1)"
        )


def fraction_of_patients(
    stratum_of: Dict[str, tuple], fraction: float, seed: int
) -> Set[str]:
    """Draw a fraction of the patients of each label, at least one.

    Fractions are nested: the 3 % of a seed are among its 5 %.
    """
    check_fraction(fraction)
    rng = _generator(seed)
    kept = set()
    for _, patients in sorted(_by_label(stratum_of, rng).items()):
        rng.shuffle(patients)
        # Rounded: 3.0000000000000004 of 100 patients must be 3, not 4.
        n = max(1, math.ceil(round(fraction * len(patients), 9)))
        kept.update(patients[:n])
    return kept
