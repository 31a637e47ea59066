"""Many draws and many pairs at once give the digits of one at a time, which is
the slow way."""

import numpy as np
import pytest

from cry_modules.metrics import paired
from cry_modules.metrics.compare import compare
from cry_modules.metrics.figures import METRICS
from cry_modules.metrics.paired import KeptDraws, metric_draws
from cry_modules.metrics.predictions import Predictions
from cry_modules.metrics.ranking import weighted_auc, weighted_average_precision
from tests.cry_modules.metrics.compared import models, run_set


@pytest.mark.parametrize("n", [2, 3, 40, 200])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("figure", [weighted_auc, weighted_average_precision])
def test_draws_together_are_those_one_by_one(n, tied, figure):
    """To the bit, also where a draw has no recording of a class."""
    rng = np.random.default_rng(n)
    for _ in range(5):
        positive, scores = rng.random(n) < rng.random(), rng.random(n)
        scores = scores.round(1) if tied else scores
        counts = rng.multinomial(n, np.full(n, 1 / n), 30).astype(float)
        alone = [figure(positive, scores, row[None])[0] for row in counts]
        together = figure(positive, scores, counts)
        np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("n_folds", [0, 3])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_auc_without_each_patient_is_that_of_weights(tied, n_folds, n_classes):
    """To the bit, for patients of several classes and folds, too."""
    rng = np.random.default_rng(n_classes)
    for n, n_patients in ((6, 3), (30, 9), (90, 20)):
        scores = rng.dirichlet(np.ones(n_classes), n)
        scores = scores.round(1) if tied else scores
        folds = rng.integers(n_folds, size=n).astype(str) if n_folds else None
        patients = rng.integers(n_patients, size=n).astype(str).tolist()
        labels = rng.integers(n_classes, size=n)
        p = Predictions(
            [str(i) for i in range(n)], patients, labels, scores,
            list("abc"[:n_classes]), folds if folds is None else folds.tolist(),
        )  # fmt: skip
        weights = np.concatenate(list(paired._without_each(patients)))
        slow = METRICS["auc"].function(p, None, weights)
        fast = metric_draws([p], "auc", 0, 0).without[0]
        np.testing.assert_array_equal(fast, slow)


@pytest.mark.parametrize("figure", [weighted_auc, weighted_average_precision])
def test_weights_that_do_not_count_are_summed_as_before(figure):
    rng = np.random.default_rng(0)
    positive, scores = np.arange(50) % 2 > 0, rng.random(50)
    weights = rng.random((4, 50))
    alone = [figure(positive, scores, row[None])[0] for row in weights]
    np.testing.assert_array_equal(figure(positive, scores, weights), alone)


@pytest.mark.parametrize("metric", ["auc", "average_precision"])
@pytest.mark.parametrize("with_folds", [False, True])
def test_kept_draws_give_every_pair_its_digits(metric, with_folds):
    runs = [
        models(np.random.default_rng(0), 8, 20, (auc,))[0]
        for auc in np.random.default_rng(1).uniform(0.6, 0.9, 6)
    ]
    for run in runs if with_folds else []:
        run.folds = [str(int(patient[1:]) % 3) for patient in run.patients]
    sets = [run_set(str(i), runs[2 * i : 2 * i + 2]) for i in range(3)]
    kept, how = KeptDraws(), {"metric": metric, "n_draws": 100}
    for group in ([sets[0]], sets[:2], sets[1:], sets[::2], sets):
        expected = compare(group, **how)
        assert compare(group, **how, draws_of=kept) == expected


def test_kept_draws_are_computed_once(monkeypatch):
    """But those of other patients, seeds or numbers anew."""
    (run,) = models(np.random.default_rng(0), 8, 20, (0.8,))
    calls, kept = [], KeptDraws()
    compute = paired.metric_draws

    def counted(*how):
        calls.append(how)
        return compute(*how)

    monkeypatch.setattr(paired, "metric_draws", counted)
    for _ in range(3):
        kept([run], "auc", 0, 100)
    assert len(calls) == 2  # draws, and each patient left out
    kept([run], "auc", 1, 100)
    kept([run], "auc", 0, 200)
    assert len(calls) == 4
