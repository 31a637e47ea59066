"""Obuchowski's variance, with which other tests check the bootstrap over
patients: against the paper in loops, and by simulation."""

import numpy as np
import pytest
from scipy.stats import norm

from tests.cry_modules.metrics.clustered import obuchowski
from tests.cry_modules.metrics.compared import models
from tests.cry_modules.metrics.made import delong, random_predictions


def slow_obuchowski(positive, patients, scores):
    """Obuchowski (1997), section 2, patient by patient and pair by pair.

    X are the scores of positives, Y of negatives; patient i has m[i] of the
    first and n[i] of the second, of M and N in all.
    """
    X, Y = {}, {}
    for patient, is_positive, score in zip(patients, positive, scores):
        for scores_of in (X, Y):
            scores_of.setdefault(patient, [])
        (X if is_positive else Y)[patient].append(score)
    m = {i: len(x) for i, x in X.items()}
    n = {i: len(y) for i, y in Y.items()}
    M, N, n_patients = sum(m.values()), sum(n.values()), len(m)
    I10 = sum(count > 0 for count in m.values())
    I01 = sum(count > 0 for count in n.values())

    def psi(x, y):
        return 1.0 if x > y else 0.5 if x == y else 0.0

    def V10(x):
        return sum(psi(x, y) for j in Y for y in Y[j]) / N

    def V01(y):
        return sum(psi(x, y) for i in X for x in X[i]) / M

    theta = sum(V10(x) for i in X for x in X[i]) / M
    S10 = S01 = S11 = 0.0
    for i in m:
        of_X = sum(V10(x) for x in X[i]) - m[i] * theta
        of_Y = sum(V01(y) for y in Y[i]) - n[i] * theta
        S10 += I10 / ((I10 - 1) * M) * of_X**2 if m[i] else 0
        S01 += I01 / ((I01 - 1) * N) * of_Y**2 if n[i] else 0
        S11 += n_patients / (n_patients - 1) * of_X * of_Y
    return theta, np.sqrt(S10 / M + S01 / N + 2 * S11 / (M * N))


@pytest.mark.parametrize("kind", ["ties and both classes", "one class each"])
def test_the_variance_is_that_of_the_paper(kind):
    p = random_predictions()
    if kind == "one class each":
        p, _ = models(np.random.default_rng(1), 8, 14, (0.8, 0.8))
    data = p.labels == 1, p.patients, p.scores[:, 1]
    assert obuchowski(*data) == pytest.approx(slow_obuchowski(*data))


def study(seed, is_mixed):
    """Classes, patients and scores of 90 patients, whose true AUC is 0.8."""
    rng = np.random.default_rng(seed)
    if not is_mixed:
        p, _ = models(rng, 30, 60, (0.8, 0.8))
        return p.labels == 1, p.patients, p.scores[:, 1]
    owner = np.repeat(np.arange(90), rng.integers(1, 7, 90))
    positive = rng.random(len(owner)) < 0.4
    shift = np.sqrt(2) * norm.ppf(0.8)
    alike = rng.normal(size=90)[owner] + rng.normal(size=len(owner))
    return positive, owner, shift * positive + np.sqrt(0.5) * alike


@pytest.mark.slow
@pytest.mark.parametrize("is_mixed", [False, True])
def test_its_interval_holds_the_truth_in_95_percent(is_mixed):
    """That of recordings does not, where patients have one class."""
    n_studies, held, naive = 400, 0, 0
    for seed in range(n_studies):
        positive, patients, scores = study(seed, is_mixed)
        value, error = obuchowski(positive, patients, scores)
        held += abs(value - 0.8) < 1.96 * error
        _, error = delong(positive, scores)
        naive += abs(value - 0.8) < 1.96 * error
    three_errors = 3 * np.sqrt(0.95 * 0.05 / n_studies)
    assert abs(held / n_studies - 0.95) < three_errors
    if not is_mixed:
        assert naive / n_studies < 0.95 - 2 * three_errors
