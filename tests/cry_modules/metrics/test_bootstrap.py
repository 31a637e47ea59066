"""The bootstrap over patients against a loop, DeLong's variance and the truth
of simulated data."""

import numpy as np
import pytest
from scipy.stats import norm

from cry_modules.metrics.bootstrap import (
    interval,
    logit_interval,
    patient_weights,
    why_no_interval,
)
from cry_modules.metrics.ranking import weighted_auc
from tests.cry_modules.metrics.made import delong


def drawn(patients, seed=0, n_draws=250):
    return np.concatenate(list(patient_weights(patients, seed, n_draws)))


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
    assert drawn(patients, seed=3).tolist() == expected


def test_a_patient_is_drawn_as_with_replacement():
    """How often one of five patients is drawn is binomial(5, 1/5)."""
    weights = drawn(list("abcde"), n_draws=20000)
    assert (weights.sum(axis=1) == 5).all()
    for times, share in enumerate([0.32768, 0.4096, 0.2048, 0.0512, 0.0064]):
        computed = (weights == times).mean(axis=0)
        assert computed == pytest.approx(share, abs=0.015)


def test_draws_do_not_depend_on_the_order_of_recordings():
    """So that two models' figures can be compared draw by draw."""
    patients = np.array(list("aabcdde"))
    order = np.random.default_rng(0).permutation(len(patients))
    assert np.array_equal(drawn(patients)[:, order], drawn(patients[order]))
    assert not np.array_equal(drawn(patients), drawn(patients, seed=1))


def test_interval_is_of_the_draws_that_have_a_value():
    draws = np.random.default_rng(0).normal(size=500)
    degenerate = np.full(400, np.nan)
    expected = np.quantile(draws, [0.025, 0.975])
    assert interval(draws) == pytest.approx(expected)
    assert interval([*draws, *degenerate]) == pytest.approx(expected)
    assert interval([*draws, *degenerate, np.inf]) == pytest.approx(expected)


def test_no_interval_of_mostly_degenerate_draws():
    assert interval([0.5, 0.6, np.nan, np.nan]) == pytest.approx(
        [0.5025, 0.5975]
    )
    assert interval([0.5, 0.6, np.nan, np.nan, np.nan]) is None
    assert interval([np.nan] * 3) is None
    assert interval([]) is None


def test_no_interval_of_draws_that_are_all_equal():
    assert interval([1.0] * 9) is None
    assert interval([1.0] * 9 + [np.nan]) is None
    # Sums in another order differ in the last digits.
    assert interval([0.1 + 0.2] * 5 + [0.3] * 5) is None


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


def simulated(
    rng, n_positive=40, n_negative=120, share_of_patient=0.7, auc=None
):
    """Truth, scores and patients of recordings, 1 to 6 a patient.

    Scores of a class have variance 1, most of it between patients, and the
    classes' means are so far apart that the AUC of all patients there could
    be is ``TRUE_AUC``.
    """
    n_patients = n_positive + n_negative
    patients = np.repeat(np.arange(n_patients), rng.integers(1, 7, n_patients))
    positive = patients < n_positive
    apart = np.sqrt(2) * norm.ppf(auc or TRUE_AUC)
    of_patient = np.sqrt(share_of_patient) * rng.normal(size=n_patients)
    noise = np.sqrt(1 - share_of_patient) * rng.normal(size=len(patients))
    return positive, apart * positive + of_patient[patients] + noise, patients


def test_simulated_auc_is_the_true_one():
    positive, scores, patients = simulated(
        np.random.default_rng(0), 20000, 20000
    )
    value = weighted_auc(positive, scores, np.ones((1, len(scores))))
    assert value == pytest.approx(TRUE_AUC, abs=0.005)


def coverage(n_data_sets, unit, n_positive=40, auc=TRUE_AUC, method="logit"):
    """Share of data sets whose interval over these units has the truth: as
    ``metrics.evaluate`` makes it, or of quantiles of the draws."""
    rng, inside = np.random.default_rng(0), []
    for seed in range(n_data_sets):
        positive, scores, patients = simulated(rng, n_positive, auc=auc)
        units = patients if unit == "patient" else np.arange(len(patients))
        draws = auc_draws(positive, scores, units, seed, 200)
        low, high = interval(draws)
        if method == "logit":
            value = weighted_auc(positive, scores, np.ones((1, len(scores))))
            few = len(set(units[positive]))
            low, high = logit_interval(value[0], draws, few, len(set(units)))
        inside.append(low <= auc <= high)
    return np.mean(inside)


def test_interval_over_patients_covers_the_truth():
    assert 0.92 <= coverage(300, "patient") <= 0.98


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
@pytest.mark.parametrize("n_positive, auc", [(40, TRUE_AUC), (40, 0.97)])
def test_coverage_of_many_data_sets(n_positive, auc):
    assert 0.92 <= coverage(1000, "patient", n_positive, auc) <= 0.975
