"""Draws of patients with replacement, and the intervals they give.

Recordings of one patient are alike, so an interval over recordings is too
narrow: what was sampled are patients.
"""

from typing import Iterator, List, Optional, Sequence

import numpy as np
from scipy.stats import t as student

N_DRAWS = 2000
#: With fewer patients of a class no bootstrap can know their spread.
LEAST_PATIENTS = 5

_DRAWS_AT_ONCE = 100  # memory does not grow with their number
_ROUNDING = 1e-12


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
    if len(valid) < max(1, len(draws) / 2) or np.ptp(valid) < _ROUNDING:
        return None
    low, high = np.quantile(valid, [0.025, 0.975])
    return [float(low), float(high)]


def logit_interval(
    value: float, draws: np.ndarray, few: int, n_patients: int
) -> Optional[List[float]]:
    """95 % interval of an AUC or another share from the spread of its draws.

    Student's t on log-odds, with as many degrees of freedom as the class that
    it hangs on has patients, less one: quantiles of the draws are too narrow and
    too high where these are few or the AUC is near 1. In simulations of 120
    negative patients, quantiles hold an AUC of 0.84 in 92 % with 40 positive
    patients and in 88 % with 10, one of 0.97 in 88 % and 76 %; this interval
    in 93, 94, 95 and 94 %.

    Arguments
    ---------
    value : float
        Of the recordings themselves, 0 to 1.
    draws : numpy.ndarray
        Values; NaN where the draw had none.
    few : int
        Patients of that class, the rarest one for an AUC; two at least.
    n_patients : int
        In all. A share of 0 or 1 counts as half a pair of patients, of that
        class and of the rest, less than that.

    Returns
    -------
    list of float or None
        None as of ``interval``.

    Example
    -------
    >>> draws = 0.8 + np.linspace(-0.1, 0.1, 99)
    >>> np.round(logit_interval(0.8, draws, 200, 400), 2)
    array([0.65, 0.9 ])
    >>> np.round(logit_interval(0.8, draws, 5, 400), 2)
    array([0.58, 0.92])
    """
    if interval(draws) is None:
        return None
    least = 1 / (2 * few * max(1, n_patients - few))

    def log_odds(share):
        """Of a share, however near to 0 or 1."""
        share = np.clip(share, least, 1 - least)
        return np.log(share) - np.log1p(-share)

    spread = log_odds(draws[np.isfinite(draws)]).std()
    reach = student.ppf(0.975, few - 1) * spread
    ends = log_odds(value) + reach * np.array([-1, 1])
    return (1 / (1 + np.exp(-ends))).tolist()


def interval_of_all_or_none(value: float, n_patients: int) -> List[float]:
    """Clopper and Pearson's 95 % interval of a share that is 0 or 1, which no
    draw can move.

    Example
    -------
    >>> np.round(interval_of_all_or_none(1.0, 18), 3)
    array([0.815, 1.   ])
    """
    reach = 1 - 0.025 ** (1 / n_patients)
    return [1 - reach, 1.0] if value == 1 else [0.0, reach]


def fewest_patients(labels: np.ndarray, patients: Sequence[str]) -> int:
    """Patients of the rarest class that is there.

    Shapes: labels ``[n]``, patients ``[n]``.

    Example
    -------
    >>> fewest_patients(np.array([0, 0, 2]), ["p", "q", "q"])
    1
    """
    patients = np.asarray(patients)
    return min(len(set(patients[labels == k])) for k in np.unique(labels))


def why_no_interval(
    labels: np.ndarray, patients: Sequence[str], classes: Sequence[str]
) -> Optional[str]:
    """Why these recordings can have no interval.

    Shapes: labels ``[n]``, patients ``[n]``.

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
