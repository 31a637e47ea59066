"""Draws of patients with replacement, and the intervals they give.

Recordings of one patient are alike, so an interval over recordings is too
narrow: what was sampled are patients.

Authors
 * The contributors of cry-ssl 2026
"""

from typing import Iterator, List, Optional, Sequence

import numpy as np

N_DRAWS = 2000
#: With fewer patients of a class no bootstrap can know their spread.
LEAST_PATIENTS = 5

_DRAWS_AT_ONCE = 100  # memory does not grow with their number


def patient_weights(
    patients: Sequence[str], seed: int, n_draws: int = N_DRAWS
) -> Iterator[np.ndarray]:
    """How often each recording counts in each draw: as often as its patient
    was drawn.

    The draws depend on the patients and the seed alone, so figures of two
    models on the same recordings can be compared draw by draw.

    Arguments
    ---------
    patients : sequence of str
        Of each recording, ``[n]``.
    seed : int
        Of the draws.
    n_draws : int
        In all.

    Yields
    ------
    numpy.ndarray
        ``[up to 100 draws, n]``.

    Example
    -------
    >>> weights = np.concatenate(list(patient_weights(["p", "p", "q"], 0, 3)))
    >>> weights[:, [0, 2]].sum(axis=1)  # two patients are drawn
    array([2., 2., 2.])
    """
    found, owner = np.unique(np.asarray(patients), return_inverse=True)
    share = np.full(len(found), 1 / len(found))
    rng = np.random.default_rng(seed)
    for first in range(0, n_draws, _DRAWS_AT_ONCE):
        size = min(_DRAWS_AT_ONCE, n_draws - first)
        times = rng.multinomial(len(found), share, size)
        yield times[:, owner].astype(np.float64)


def interval(draws: np.ndarray) -> Optional[List[float]]:
    """95 % percentile interval of a figure's draws.

    Arguments
    ---------
    draws : numpy.ndarray
        Values; NaN where the draw had none.

    Returns
    -------
    list of float or None
        None where more than half have none, or where all are equal: a
        figure that no draw moves (all told rightly) is not therefore certain.

    Example
    -------
    >>> interval(np.arange(81.0))
    [2.0, 78.0]
    >>> interval(np.ones(9))
    """
    draws = np.asarray(draws, dtype=np.float64)
    valid = draws[np.isfinite(draws)]
    if len(valid) < max(1, len(draws) / 2) or np.ptp(valid) == 0:
        return None
    low, high = np.quantile(valid, [0.025, 0.975])
    return [float(low), float(high)]


def why_no_interval(
    labels: np.ndarray, patients: Sequence[str], classes: Sequence[str]
) -> Optional[str]:
    """Why these recordings can have no interval.

    Arguments
    ---------
    labels : numpy.ndarray
        Class indices, ``[n]``.
    patients : sequence of str
        ``[n]``.
    classes : sequence of str
        Names.

    Returns
    -------
    str or None
        None where they can.

    Example
    -------
    >>> why_no_interval(np.array([0, 1]), ["p", "q"], ["healthy", "injury"])
    'healthy has 1 patient, and an interval needs 5'
    """
    patients = np.asarray(patients)
    present = np.unique(labels)
    if len(present) < 2:
        return f"all are {classes[present[0]]}"
    n_of = {classes[k]: len(set(patients[labels == k])) for k in present}
    fewest = min(n_of, key=n_of.get)
    if n_of[fewest] >= LEAST_PATIENTS:
        return None
    patients_in_words = "patient" if n_of[fewest] == 1 else "patients"
    return (
        f"{fewest} has {n_of[fewest]} {patients_in_words}, and an interval "
        f"needs {LEAST_PATIENTS}"
    )
