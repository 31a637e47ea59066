"""The bootstrap over patients against a loop, DeLong's variance and the truth
of simulated data."""

import numpy as np
import pytest
from scipy.stats import norm

from cry_modules.metrics.bootstrap import (
    interval,
    logit_interval,
    patient_weights,
    rarest_and_pairs,
    why_no_interval,
)
from cry_modules.metrics.ranking import weighted_auc
from tests.cry_modules.metrics.made import delong


def auc_draws(positive, scores, patients, seed=0, n_draws=300):
    weights = patient_weights(patients, seed, n_draws)
    return np.concatenate([weighted_auc(positive, scores, w) for w in weights])


def test_weights_are_the_loop_over_patients():
    patients = [f"p{i}" for i in np.random.default_rng(0).integers(9, size=30)]
    names = sorted(set(patients))
    share = np.full(len(names), 1 / len(names))
    times = np.random.default_rng(3).multinomial(len(names), share, 250)
    expected = [
        [float(draw[names.index(patient)]) for patient in patients]
        for draw in times
    ]
    weights = np.concatenate(list(patient_weights(patients, 3, 250)))
    assert weights.tolist() == expected


NORMAL = np.random.default_rng(0).normal(size=500)


@pytest.mark.parametrize(
    "draws, expected",
    [
        (NORMAL, np.quantile(NORMAL, [0.025, 0.975])),
        # Of the draws that have a value, if these are at least half.
        (
            [*NORMAL, *[np.nan] * 400, np.inf],
            np.quantile(NORMAL, [0.025, 0.975]),
        ),
        ([0.5, 0.6, np.nan, np.nan], [0.5025, 0.5975]),
        ([0.5, 0.6, np.nan, np.nan, np.nan], None),
        ([np.nan] * 3, None),
        ([], None),
        # No patient changes the figure.
        ([1.0] * 9 + [np.nan], None),
        # Sums in another order differ in the last digits.
        ([0.1 + 0.2] * 5 + [0.3] * 5, None),
    ],
)
def test_interval_of_draws(draws, expected):
    assert interval(draws) == pytest.approx(expected)


@pytest.mark.parametrize(
    "labels, patients, expected",
    [
        ([0] * 5 + [1] * 5, "abcdefghij", None),
        ([0] * 6, "abcdef", "all are x"),
        ([1] * 6, "abcdef", "all are y"),
        (
            [0] * 8 + [1] * 8,
            "abcdefgh" + "ijkliiii",
            "y has 4 patients, and an interval needs 5",
        ),
        (
            [0] * 8 + [1] * 8,
            "aaaaaaaa" + "bcdefghi",
            "x has 1 patient, and an interval needs 5",
        ),
        # The absent class z is not a reason.
        ([0] * 5 + [1] * 5, "abcde" * 2, None),
        (
            [0] * 5 + [1] * 5 + [2] * 2,
            "abcde" * 2 + "fg",
            "z has 2 patients, and an interval needs 5",
        ),
    ],
)
def test_why_there_is_no_interval(labels, patients, expected):
    computed = why_no_interval(np.array(labels), list(patients), list("xyz"))
    assert computed == expected


def test_spread_of_auc_is_delongs_where_each_patient_has_one_recording():
    ratios = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        positive = np.arange(200) < 60
        scores = (rng.normal(size=200) + 1.2 * positive).round(1)
        draws = auc_draws(positive, scores, np.arange(200), seed, 1000)
        _, expected = delong(positive, scores)
        ratios.append(draws.std() / expected)
    assert ratios == pytest.approx(np.ones(12), abs=0.15)
    assert np.mean(ratios) == pytest.approx(1, abs=0.03)


TRUE_AUC = 0.84


def simulated(rng, n_positive, auc):
    """Truth, scores and patients of recordings, 1 to 6 a patient.

    Scores of a class have variance 1, most of it between patients, and the
    classes' means are so far apart that the AUC of all patients there could
    be is `auc`.
    """
    n_patients = n_positive + 120
    patients = np.repeat(np.arange(n_patients), rng.integers(1, 7, n_patients))
    positive = patients < n_positive
    apart = np.sqrt(2) * norm.ppf(auc)
    of_patient = np.sqrt(0.7) * rng.normal(size=n_patients)
    noise = np.sqrt(1 - 0.7) * rng.normal(size=len(patients))
    return positive, apart * positive + of_patient[patients] + noise, patients


def coverage(n_data_sets, unit, n_positive=40, auc=TRUE_AUC, method="logit"):
    """Share of data sets whose interval over these units has the truth: as
    ``metrics.evaluate`` makes it, or of quantiles of the draws."""
    rng, inside = np.random.default_rng(0), []
    for seed in range(n_data_sets):
        positive, scores, patients = simulated(rng, n_positive, auc)
        units = patients if unit == "patient" else np.arange(len(patients))
        draws = auc_draws(positive, scores, units, seed, 200)
        low, high = interval(draws)
        if method == "logit":
            value = weighted_auc(positive, scores, np.ones((1, len(scores))))
            few, others = len(set(units[positive])), len(set(units[~positive]))
            low, high = logit_interval(value[0], draws, few, few * others)
        inside.append(low <= auc <= high)
    return np.mean(inside)


def test_patients_of_both_classes_count_for_both():
    """22 infants with cries of both kinds, AUC .985: half a pair of infants is
    one in 968, not one in 44, which left the AUC outside its interval."""
    patients = np.repeat([f"p{i}" for i in range(22)], 4)
    positive = np.tile([True, False], 44)
    counts = rarest_and_pairs(positive.astype(int), patients)
    assert counts == (22, 22 * 22)
    folds = np.repeat(np.arange(22) % 5, 4)  # 5, 5, 4, 4 and 4 infants
    assert rarest_and_pairs(positive.astype(int), patients, folds) == (22, 98)
    rng, reach = np.random.default_rng(0), 2.0796  # Student's t, 21
    draws = 1 / (1 + np.exp(-rng.normal(4.18, 0.4, 2000)))
    spread = np.log(draws / (1 - draws)).std()
    low, high = logit_interval(0.985, draws, *counts)
    expected = np.log(0.985 / 0.015) + reach * spread * np.array([-1, 1])
    assert np.log([low / (1 - low), high / (1 - high)]) == pytest.approx(
        expected, abs=1e-3
    )


@pytest.mark.parametrize("value", [0.9999, 1.0, 0.0001, 0.0])
def test_an_interval_holds_its_value(value):
    draws = np.clip(value + np.linspace(-1e-4, 1e-4, 99), 0, 1)
    low, high = logit_interval(value, draws, 5, 25)
    assert low <= value <= high


@pytest.mark.parametrize(
    "n_data_sets, auc, most",
    [
        (300, TRUE_AUC, 0.98),
        pytest.param(1000, TRUE_AUC, 0.975, marks=pytest.mark.slow),
        pytest.param(1000, 0.97, 0.975, marks=pytest.mark.slow),
    ],
)
def test_interval_over_patients_covers_the_truth(n_data_sets, auc, most):
    assert 0.92 <= coverage(n_data_sets, "patient", auc=auc) <= most


@pytest.mark.parametrize(
    "n_positive, auc", [(10, TRUE_AUC), (40, 0.97), (10, 0.97)]
)
def test_interval_covers_where_quantiles_do_not(n_positive, auc):
    """Few positive patients, or an AUC near 1."""
    computed = coverage(150, "patient", n_positive, auc)
    quantiles = coverage(150, "patient", n_positive, auc, "quantiles")
    assert computed >= 0.9
    assert quantiles < 0.91 and quantiles < computed - 0.03


def test_interval_over_recordings_is_too_narrow():
    """Why patients are drawn: recordings of one are alike."""
    assert coverage(40, "recording") < 0.9


@pytest.mark.slow
@pytest.mark.parametrize("n_folds, least", [(1, 0.92), (5, 0.92)])
def test_intervals_cover_where_each_patient_has_both_classes(n_folds, least):
    """22 infants with one score for each kind of cry, AUC .95, compared within
    folds."""
    rng, n = np.random.default_rng(0), 22
    fold = np.arange(n) % n_folds
    same = fold[:, None] == fold
    estimates, ends = [], []
    for _ in range(400):
        both = np.sqrt(0.5) * rng.normal(size=n)
        higher, lower = both + np.sqrt(0.5) * rng.normal(size=(2, n))
        wins = same * (higher[:, None] + np.sqrt(2) * norm.ppf(0.95) > lower)
        times = rng.multinomial(n, np.full(n, 1 / n), 300)
        pairs = np.einsum("bi,ij,bj->b", times, same, times)
        draws = np.einsum("bi,ij,bj->b", times, wins, times) / pairs
        estimates.append(wins.sum() / same.sum())
        ends.append(logit_interval(estimates[-1], draws, n, same.sum()))
    truth = np.mean(estimates)
    inside = [end and end[0] <= truth <= end[1] for end in ends]
    assert np.mean([x for x in inside if x is not None]) >= least
