"""Difference between two models, paired by patient.

The interval of a difference is Student's t times the spread of its draws, and
p belongs to it: below 0.05 where the interval excludes 0. The degrees of
freedom are Welch's, from the values without each patient. In simulations of
two equal models with 10 or 40 patients of the rarer class a difference was
reported in 3 to 7.5 %; with quantiles of the draws, or with z, in up to 10 %
with 10 patients. With 10 and both AUCs near 0.98 it was 1 %: cautious.
Interval and p over patients alone are about the given models. About methods,
models trained with other seeds count as well: with a standard deviation of
0.025 AUC between pre-training seeds, the test over patients alone calls two
equal methods different in 15 % of studies and more (simulated in
``tests/cry_modules/metrics/test_compare.py``). The variance between seeds,
divided by their number, is then added to that over patients, with degrees of
freedom by Satterthwaite.
"""

from dataclasses import replace
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from scipy.special import expit, logit, stdtr, stdtrit

from cry_modules.metrics.bootstrap import (
    N_DRAWS,
    patient_weights,
    rarest_and_pairs,
    why_no_interval,
)
from cry_modules.metrics.choices import Choices
from cry_modules.metrics.figures import METRICS, interval_of_pairs
from cry_modules.metrics.predictions import Predictions
from cry_modules.metrics.within_folds import auc_without_each, ranked_in_folds
from data_prep.files.errors import InputError
from data_prep.files.identifiers import identity

#: Fewer draws cannot estimate a spread.
LEAST_DRAWS = 100
#: With fewer seeds the run of another one may be anywhere.
LEAST_SEEDS = 3
#: A difference is reported as one below this p.
ALPHA = 0.05
#: Share of studies that find a difference as large as ``detectable``.
POWER = 0.8
#: A difference that is 0 after rounding to these digits is 0.
DIGITS = 12

_LEAST_P = 1e-6  # smaller values are not known to their size
_PATIENTS_AT_ONCE = 100  # memory does not grow with their number


class MetricDraws(NamedTuple):
    """Values of a metric for several models on the same recordings."""

    values: np.ndarray  # on all recordings, [models]
    draws: np.ndarray  # in the same draws of patients, [models, draws]
    without: np.ndarray  # without each patient, [models, patients]


def aligned(
    first: Predictions, first_name, other: Predictions, other_name
) -> Predictions:
    """Sort `other` by the recordings of `first`.

    Raises InputError if recordings, labels, patients or classes differ.
    """
    if first.classes != other.classes:
        raise InputError(
            f"{other_name} has the classes {', '.join(other.classes)}, "
            f"{first_name} {', '.join(first.classes)}; compare runs of the "
            "same task and the same classes"
        )
    for a, b, name_a, name_b in (
        (first, other, first_name, other_name),
        (other, first, other_name, first_name),
    ):
        known = set(b.ids)
        missing = [ID for ID in a.ids if ID not in known]
        if missing:
            raise InputError(
                f"ID {missing[0]!r} is in {name_a} and not in {name_b} "
                f"({len(missing)} of {len(a.ids)} are not); compare the "
                "same split of the same corpus and the same fold"
            )
    if (first.folds is None) != (other.folds is None):
        with_folds, without = first_name, other_name
        if first.folds is None:
            with_folds, without = other_name, first_name
        raise InputError(
            f"{with_folds} has a column fold and {without} has none, so one "
            "is compared within folds and the other is not; run train_cls.py "
            "--folds again, or add the column"
        )
    if first.ids != other.ids:
        row_of = {ID: i for i, ID in enumerate(other.ids)}
        other = other.take([row_of[ID] for ID in first.ids])
    for i, ID in enumerate(first.ids):
        for column, a, b in (
            ("label", *(p.classes[p.labels[i]] for p in (first, other))),
            ("patient_id", first.patients[i], other.patients[i]),
        ):
            if a != b and identity(a) != identity(b):
                raise InputError(
                    f"{column} of ID {ID!r} is {a!r} in {first_name} and "
                    f"{b!r} in {other_name}; correct the manifest and run "
                    "train_cls.py again"
                )
    return other


def metric_draws(
    predictions: Sequence[Predictions],
    metric: str,
    seed: int,
    n_draws: int,
    leave_out: bool = True,
    draws: Optional[Sequence[np.ndarray]] = None,
) -> MetricDraws:
    """Compute a metric of each model: on all recordings, in each draw of
    patients (`draws` are their weights, if known), and without each patient if
    that is wanted."""
    first = predictions[0]
    if draws is None:
        draws = patient_weights(first.patients, seed, n_draws)
    return MetricDraws(
        _under([np.ones((1, len(first.labels)))], predictions, metric)[:, 0],
        _under(draws, predictions, metric),
        _without(predictions, metric)
        if leave_out
        else np.empty((len(predictions), 0)),
    )


def _under(blocks, predictions, metric) -> np.ndarray:
    """A metric of each model under blocks of weights, ``[models, rows]``."""
    function = METRICS[metric].function
    values = [
        [function(p, Choices(), weights) for p in predictions]
        for weights in blocks
    ]
    nothing = np.empty((len(predictions), 0))
    return np.concatenate([nothing, *map(np.array, values)], axis=1)


def _without(predictions, metric) -> np.ndarray:
    """A metric of each model without each patient, ``[models, patients]``."""
    patients = predictions[0].patients
    if METRICS[metric].function is not METRICS["auc"].function:
        return _under(_without_each(patients), predictions, metric)
    owner = np.unique(np.asarray(patients), return_inverse=True)[1]
    return np.array([_auc_without(p, owner) for p in predictions])


def _auc_without(p: Predictions, owner: np.ndarray) -> np.ndarray:
    """AUC without each owner of recordings: counted once, not for each."""
    ranked = ranked_in_folds(p.labels, len(p.classes), p.folds)
    if not ranked:
        return np.full(owner.max(initial=-1) + 1, np.nan)
    values = [
        auc_without_each(p.labels == k, p.scores[:, k], owner, p.folds)
        for k in ranked
    ]
    return np.mean(values, axis=0)


class KeptDraws:
    """``metric_draws`` that computes each model once: for all pairs of models
    on the same recordings."""

    def __init__(self):
        self._rows: Dict[Tuple, Tuple] = {}
        self._weights: Dict[Tuple, List[np.ndarray]] = {}

    def __call__(
        self, predictions, metric, seed, n_draws, leave_out=True
    ) -> MetricDraws:
        """Compute what ``metric_draws`` computes, of new models only."""
        patients = predictions[0].patients
        rows = []
        for p in predictions:
            p = p if p.patients == patients else replace(p, patients=patients)
            value, draws, _ = self._row(p, metric, seed, n_draws, False)
            without = np.empty(0)
            if leave_out:  # which no seed changes
                without = self._row(p, metric, 0, 0, True)[2]
            rows.append((value, draws, without))
        return MetricDraws(*map(np.array, zip(*rows)))

    def _row(self, p, metric, *how) -> Tuple:
        """Entry of one model; it is kept with it, which keeps its id."""
        key = (id(p), metric, *how)
        if key not in self._rows:
            weights = self._draws(tuple(p.patients), *how[:2])
            row = [x[0] for x in metric_draws([p], metric, *how, weights)]
            self._rows[key] = (p, row)
        return self._rows[key][1]

    def _draws(self, *key) -> List[np.ndarray]:
        """Weights of patients, in the order of memory that rankings take."""
        if key not in self._weights:
            blocks = patient_weights(*key)
            self._weights[key] = [np.asfortranarray(w) for w in blocks]
        return self._weights[key]


def _without_each(patients) -> Iterator[np.ndarray]:
    """Weights that leave out one patient after the other, [some, n]."""
    names, owner = np.unique(np.asarray(patients), return_inverse=True)
    for start in range(0, len(names), _PATIENTS_AT_ONCE):
        some = np.arange(start, min(start + _PATIENTS_AT_ONCE, len(names)))
        yield (owner != some[:, None]).astype(np.float64)


def paired_difference(
    a: Predictions,
    b: Predictions,
    seed: int = 0,
    n_draws: int = N_DRAWS,
    metric: str = "auc",
) -> Dict:
    """Difference in a metric between two models, `b` minus `a`, with interval
    and p: ``difference``, ``ci95``, ``p``, ``detectable`` and ``no_interval`` (the
    reason)."""
    names = "the first model", "the second model"
    pair = [a, aligned(a, names[0], b, names[1])]
    why = why_no_test(pair[:1], pair[1:], names, n_draws)
    computed = metric_draws(pair, metric, seed, 0 if why else n_draws)
    return mean_difference(computed, [0], [1], a, why)


def why_no_test(
    files_a: Sequence[Predictions],
    files_b: Sequence[Predictions],
    names: Sequence[str],
    n_draws: int,
) -> Optional[str]:
    """Reason why a difference has no interval and no p, or None."""
    first = files_a[0].with_pairs()
    why = why_no_interval(first.labels, first.patients, first.classes)
    if why:
        return why
    for files, name in zip((files_a, files_b), names):
        if all(np.ptp(p.scores, axis=0).max() == 0 for p in files):
            return f"all scores of {name} are equal"
    if n_draws < LEAST_DRAWS:
        return f"{n_draws} draws, and an interval needs {LEAST_DRAWS}"
    return None


def mean_difference(
    computed: MetricDraws,
    rows_a: Sequence[int],
    rows_b: Sequence[int],
    recordings: Predictions,
    why: Optional[str],
    between_seeds: Sequence[np.ndarray] = (),
) -> Dict:
    """Difference between the means of two sets of models (rows of `computed`).

    With interval, p and ``detectable``, the smallest true difference that this
    test finds with 80 % power (None if that would be above 1), unless `why`
    gives a reason against them: over patients for these models, or for
    methods if `between_seeds` has values by
    seed, whose differences between seeds are the methods' (differences seed by
    seed, or the values of each set).
    """
    value, draws, without = (
        np.round(part[rows_b].mean(axis=0) - part[rows_a].mean(axis=0), DIGITS)
        for part in computed
    )
    result = {
        "difference": float(value) if np.isfinite(value) else None,
        "ci95": None,
        "p": None,
        "detectable": None,
        "no_interval": why,
    }
    if why:
        return result
    spread = np.nanstd(draws, ddof=1)
    if spread == 0:
        result["p"] = 1.0 if value == 0 else None
        result["no_interval"] = "no draw of patients changes the difference"
        return result
    freedom = _degrees_of_freedom(without, recordings)
    if len(between_seeds):
        spread, freedom = _with_seeds(spread, freedom, between_seeds)
    limit = stdtrit(freedom, 1 - ALPHA / 2)
    reach = limit * spread
    low, high = np.clip([value - reach, value + reach], -1, 1)
    p = 2 * stdtr(freedom, -abs(value) / spread)
    result.update(ci95=[float(low), float(high)], p=float(max(p, _LEAST_P)))
    detectable = float((limit + stdtrit(freedom, POWER)) * spread)
    result["detectable"] = detectable if detectable <= 1 else None
    return result


def _with_seeds(spread, freedom, between_seeds):
    """Standard error over patients and seeds, and Satterthwaite's degrees of
    freedom."""
    terms = [(spread**2, freedom)]
    terms += [
        (np.var(values, ddof=1) / len(values), len(values) - 1)
        for values in between_seeds
    ]
    variance = sum(term for term, _ in terms)
    freedom = variance**2 / sum(term**2 / f for term, f in terms)
    return np.sqrt(variance), freedom


def new_seed_interval(
    values: np.ndarray, draws: np.ndarray, recordings: Predictions
) -> Optional[List[float]]:
    """95 % interval of the AUC, or another share, of a run with one more seed,
    from the values of three seeds or more and the draws of their mean.

    On log-odds, the root of two squares: that of the interval over patients,
    and Student's t times the spread of the mean seed and of the new one. In
    simulations it holds the AUC of the new run in 95 to 99 %; degrees of
    freedom by Satterthwaite, in 87 % with two seeds. With two it would be
    four times as wide as with three.
    """
    n = len(values)
    if n < LEAST_SEEDS:
        return None
    over_patients = interval_of_pairs(values.mean(), draws, recordings)
    if over_patients is None:
        return None
    compared = recordings.with_pairs()
    _, n_pairs = rarest_and_pairs(
        compared.labels, compared.patients, compared.folds
    )
    least = 1 / (2 * max(1, n_pairs))
    low, high = logit(over_patients)
    sd = logit(np.clip(values, least, 1 - least)).std(ddof=1)
    between = stdtrit(n - 1, 0.975) * sd * np.sqrt(1 + 1 / n)
    reach = np.hypot((high - low) / 2, between)
    return expit((low + high) / 2 + reach * np.array([-1, 1])).tolist()


def _degrees_of_freedom(without: np.ndarray, recordings: Predictions) -> float:
    """Welch's: near the number of patients of the classes that cause the
    spread. A patient of several classes counts to the rarest, one of folds
    with one class to none."""
    names = np.unique(recordings.patients)
    recordings = recordings.with_pairs()
    owner = np.searchsorted(names, recordings.patients)
    has = np.zeros((len(names), len(recordings.classes)))
    has[owner, recordings.labels] = 1
    group = np.where(has > 0, has.sum(axis=0), np.inf).argmin(axis=1)
    counted = has.any(axis=1)
    group, without = group[counted], without[counted]
    sizes = np.bincount(group)
    parts = np.bincount(group, (without - without.mean()) ** 2)
    least = np.maximum(sizes - 1, 1)
    if parts.sum() == 0:
        return float(least[sizes > 0].min())
    return float(parts.sum() ** 2 / (parts**2 / least).sum())
