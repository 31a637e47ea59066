"""Blocks of ``metrics.json`` against scikit-learn, formulas and slow loops."""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import t as student
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    confusion_matrix,
    recall_score,
    roc_auc_score,
)

from cry_modules.metrics.choices import Choices, choose, pooled
from cry_modules.metrics.evaluate import evaluate
from cry_modules.metrics.figures import METRICS
from cry_modules.metrics.predictions import AGGREGATIONS, Predictions
from cry_modules.metrics.ranking import (
    threshold_at_sensitivity,
    threshold_at_specificity,
)
from tests.cry_modules.metrics.evaluated import (
    CALIBRATION,
    LIMITING_CLASS,
    evaluate_run,
    with_points,
)
from tests.cry_modules.metrics.made import (
    own_patients,
    random_predictions,
    slow_auc,
    slow_calibration_error,
    slow_standardised,
)


def slow_metrics(p, choices):
    """Every metric, by scikit-learn and loops."""
    n_classes = len(p.classes)
    one_against_rest = [
        (p.labels == k, p.scores[:, k])
        for k in ([1] if n_classes == 2 else range(n_classes))
    ]
    prevalence = 1.0 if choices.prevalence is None else choices.prevalence
    calls = (p.scores / prevalence).argmax(axis=1)
    most_probable = p.scores.argmax(axis=1)
    values = dict.fromkeys(METRICS)
    auc, precision = roc_auc_score, average_precision_score
    if p.folds is not None:

        def auc(positive, scores):
            return slow_auc(positive, scores, p.folds)

        def precision(positive, scores):
            scores = slow_standardised(positive, scores, p.folds)
            known = np.isfinite(scores)
            return average_precision_score(positive[known], scores[known])

    values.update(
        auc=np.mean([auc(*x) for x in one_against_rest]),
        average_precision=np.mean([precision(*x) for x in one_against_rest]),
        balanced_accuracy=balanced_accuracy_score(p.labels, calls),
        accuracy=accuracy_score(p.labels, most_probable),
        brier=sum(brier_score_loss(*x) for x in one_against_rest),
    )
    if n_classes > 2:
        correct = most_probable == p.labels
        values["ece"] = slow_calibration_error(p.scores.max(axis=1), correct)
        return values
    scores, positive = p.scores[:, 1], p.labels == 1
    model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-9)
    model.fit(logit(scores)[:, None], positive)
    for threshold, sensitivity, specificity in (
        (
            choices.at_specificity,
            "sensitivity_at_spec80",
            "specificity_at_threshold",
        ),
        (
            choices.at_sensitivity,
            "sensitivity_at_threshold_sens80",
            "specificity_at_sens80",
        ),
    ):
        for k, name in enumerate((specificity, sensitivity)):
            values[name] = recall_score(
                p.labels, scores >= threshold, pos_label=k
            )
    values.update(
        ece=slow_calibration_error(scores, positive),
        calibration_slope=model.coef_[0, 0],
        calibration_intercept=brentq(
            lambda a: (positive - expit(a + logit(scores))).sum(), -30, 30
        ),
    )
    return values


def two_folds(p):
    """Two halves, each with its operating points and prevalence."""
    half = len(p.ids) // 2
    first = Choices(np.array([0.7, 0.3]), 0.6, 0.4)
    second = Choices(np.array([0.4, 0.6]), 0.5, 0.2)
    halves = p.take(range(half)), p.take(range(half, len(p.ids)))
    return pooled([(halves[0], first), (halves[1], second)])


@pytest.mark.parametrize("case", ["two", "three", "folds"])
@pytest.mark.parametrize("seed", range(3))
def test_metrics_are_scikit_learns(case, seed):
    n_classes = 3 if case == "three" else 2
    p = random_predictions(n_classes=n_classes, seed=seed)
    prevalence = np.array([0.7, 0.3] if n_classes == 2 else [0.6, 0.3, 0.1])
    choices = with_points(p, prevalence)
    if case == "folds":
        p, choices = two_folds(p)
    block = evaluate(p, choices, n_draws=0)
    for name, value in slow_metrics(p, choices).items():
        assert block[name] == (value and pytest.approx(value, rel=1e-5)), name
        assert block[f"{name}_ci95"] is None
    calls = (p.scores / choices.prevalence).argmax(axis=1)
    expected = confusion_matrix(p.labels, calls)
    assert block["confusion_matrix"] == expected.tolist()
    assert (calls != p.scores.argmax(axis=1)).any()  # both calls are tested


def test_counts():
    p = random_predictions(n=61)
    p.patients = ["a"] * 30 + ["b"] * 20 + ["c"] * 11
    p.labels[20:40] = 0
    block = evaluate(p, with_points(p), n_draws=7)
    assert block["n"] == 61 and block["n_patients"] == 3
    assert block["bootstrap_draws"] == 7
    assert block["majority_accuracy"] == pytest.approx(41 / 61)
    assert block["threshold"] == 0.55 and block["threshold_sens80"] == 0.35
    healthy, injury = block["per_class"].values()
    assert (healthy["n"], healthy["n_patients"]) == (41, 3)
    assert (injury["n"], injury["n_patients"]) == (20, 3)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_each_class_has_metrics_against_the_rest(n_classes):
    p = random_predictions(n_classes=n_classes)
    per_class = evaluate(p, with_points(p), n_draws=0)["per_class"]
    recalls = recall_score(p.labels, p.scores.argmax(axis=1), average=None)
    for k, name in enumerate(p.classes):
        true, scores = p.labels == k, p.scores[:, k]
        x = np.stack([1 - scores, scores], axis=1)
        alone = slow_metrics(
            Predictions(p.ids, p.patients, true.astype(int), x, ["no", "yes"]),
            Choices(None, 0.5, 0.5),
        )
        assert per_class[name]["recall"] == pytest.approx(recalls[k])
        for metric in ("auc", "average_precision", *CALIBRATION):
            expected = pytest.approx(alone[metric], rel=1e-5)
            assert per_class[name][metric] == expected


# Intervals.


def resampled(p, choices, seed, n_draws):
    """Recordings of drawn patients, one after the other, with the choices for
    each."""
    patients = np.array(p.patients)
    names = np.unique(patients)
    share = np.full(len(names), 1 / len(names))

    def of_rows(values, rows, n_dims):
        return values if np.ndim(values) < n_dims else values[rows]

    for times in np.random.default_rng(seed).multinomial(
        len(names), share, n_draws
    ):
        rows = np.concatenate(
            [np.flatnonzero(patients == q) for q in np.repeat(names, times)]
        )
        yield (
            p.take(rows),
            Choices(
                of_rows(choices.prevalence, rows, 2),
                of_rows(choices.at_specificity, rows, 1),
                of_rows(choices.at_sensitivity, rows, 1),
            ),
        )


def on_log_odds(value, draws, p, k=None):
    """Student's t, with the patients of a class."""
    of_pairs = k is None
    n_of = {
        c: len({q for q, label in zip(p.patients, p.labels) if label == c})
        for c in set(p.labels.tolist())
    }
    k = min(n_of, key=n_of.get) if k is None else k
    few = n_of[k]
    # A patient of several classes has pairs of its own, too; a metric of pairs
    # counts those of one fold.
    same_fold = of_pairs and p.folds is not None
    folds = p.folds if same_fold else [0] * len(p.labels)
    units = {*zip(p.patients, p.labels.tolist(), folds)}
    pairs = [
        (a, b)
        for a, label, fold in units
        if label == k
        for b in {q for q, c, f in units if c != k and f == fold}
    ]
    least = 0.5 / len(pairs)
    spread = np.std(logit(np.clip(draws, least, 1 - least)))
    t = student.isf(0.025, df=few - 1)
    centre = logit(np.clip(value, least, 1 - least))
    return [expit(centre - t * spread), expit(centre + t * spread)]


@pytest.mark.parametrize("case", ["two", "three", "folds"])
def test_intervals_are_those_of_patients_physically_resampled(case):
    n_classes = 3 if case == "three" else 2
    p = random_predictions(n=90, n_patients=30, n_classes=n_classes)
    choices = with_points(
        p, np.array([0.5, 0.3, 0.2]) if case == "three" else None
    )
    if case == "folds":
        p, choices = two_folds(p)
    block = evaluate(p, choices, seed=3, n_draws=20)
    draws = [slow_metrics(*drawn) for drawn in resampled(p, choices, 3, 20)]
    assert block["bootstrap_degenerate"] == 0
    assert block["no_interval"] is None
    for name in METRICS:
        # The calibration error of draws exceeds that of the recordings.
        if draws[0][name] is None or name == "ece":
            assert block[f"{name}_ci95"] is None
            continue
        values = np.array([d[name] for d in draws])
        expected = np.quantile(values, [0.025, 0.975])
        if name in LIMITING_CLASS:
            k = LIMITING_CLASS[name]
            expected = on_log_odds(block[name], values, p, k)
        assert block[f"{name}_ci95"] == pytest.approx(expected, rel=1e-4), name


def test_degenerate_draws_are_left_out_and_counted():
    p = own_patients(random_predictions(n=40))
    p.labels = (np.arange(40) < 5).astype(int)
    choices = with_points(p)
    # A draw misses the five with (35/40)^40, every 200th time.
    block = evaluate(p, choices, seed=1, n_draws=400)
    aucs = [
        roc_auc_score(q.labels, q.scores[:, 1])
        for q, _ in resampled(p, choices, 1, 400)
        if q.labels.any()
    ]
    assert 0 < block["bootstrap_degenerate"] == 400 - len(aucs)
    expected = on_log_odds(block["auc"], np.array(aucs), p)
    assert block["auc_ci95"] == pytest.approx(expected)


@pytest.mark.parametrize(
    "n_positive, interval", [(1, False), (4, False), (5, True)]
)
def test_too_few_patients_of_a_class_have_no_interval(n_positive, interval):
    p = own_patients(random_predictions(n=30))
    p.labels = (np.arange(30) < n_positive).astype(int)
    block = evaluate(p, with_points(p), n_draws=200)
    for name in set(METRICS) - set(CALIBRATION):
        assert block[name] is not None
        has_one = interval and name != "ece"
        assert (block[f"{name}_ci95"] is not None) == has_one
    assert (block["no_interval"] is None) == interval


def test_a_metric_that_no_draw_changes_has_no_interval():
    p = own_patients(random_predictions(n=30))
    p.scores = np.where(np.eye(2)[p.labels] == 1, 0.9, 0.1)
    block = evaluate(p, with_points(p), n_draws=200)
    for name, value in (("auc", 1), ("accuracy", 1), ("brier", 0.01)):
        assert block[name] == pytest.approx(value)
        assert block[f"{name}_ci95"] is None
    # All 15 positive patients are found: Clopper and Pearson.
    expected = [0.025 ** (1 / 15), 1]
    assert block["sensitivity_at_spec80_ci95"] == pytest.approx(expected)


# Choices, units and folds.


def test_three_classes_have_no_operating_point():
    choices = choose(random_predictions(n_classes=3))
    assert choices.at_specificity is None and choices.at_sensitivity is None


def test_operating_points_come_from_validation():
    valid, test = random_predictions(seed=1), random_predictions(seed=2)
    blocks = evaluate_run(valid, test, n_draws=9)
    for unit in ("recording", "patient"):
        of_valid = valid.by_unit(unit)
        of_valid = of_valid.labels, of_valid.scores[:, 1]
        block = blocks["test"][unit]
        assert blocks["valid"][unit]["specificity_at_threshold"] >= 0.8
        assert blocks["valid"][unit]["sensitivity_at_threshold_sens80"] >= 0.8
        assert block["threshold"] == threshold_at_specificity(*of_valid)
        assert block["threshold_sens80"] == threshold_at_sensitivity(*of_valid)
    # The thresholds of the test split itself are others.
    threshold = evaluate_run(test, test)["test"]["recording"]["threshold"]
    assert threshold != blocks["test"]["recording"]["threshold"]


@pytest.mark.parametrize("how", AGGREGATIONS)
def test_blocks_are_by_recording_and_by_patient(how):
    valid, test = random_predictions(seed=1), random_predictions(seed=2)
    prevalence = np.array([0.8, 0.2])
    blocks = evaluate_run(
        valid, test, prevalence, 50, patient_score=how, seed=4
    )
    choices = choose(valid, prevalence)
    of_patients = choose(valid.by_patient(how), prevalence, how)
    for split, p in (("valid", valid), ("test", test)):
        assert blocks[split] == {
            "recording": evaluate(p, choices, 4, 50),
            "patient": evaluate(p.by_patient(how), of_patients, 4, 50),
        }
    patients = blocks["test"]["patient"]
    assert patients["n"] == len(set(zip(test.patients, test.labels)))
    assert patients["n_patients"] == len(set(test.patients))


@pytest.mark.parametrize("unit", ["recording", "patient"])
def test_pooled_folds_keep_their_thresholds(unit):
    folds = []
    for seed in range(3):
        test = random_predictions(seed=seed)
        test.patients = [f"{q} of fold {seed}" for q in test.patients]
        valid = random_predictions(seed=seed + 10).by_unit(unit)
        prevalence = np.array([0.5, 0.5]) + [0.1 * seed, -0.1 * seed]
        folds.append((test.by_unit(unit), choose(valid, prevalence)))
    assert len({choices.at_specificity for _, choices in folds}) == 3
    joined, choices = pooled(folds)
    for key in ("prevalence", "at_specificity", "at_sensitivity"):
        expected = [
            np.broadcast_to(value, (len(part.ids), *np.shape(value)))
            for part, c in folds
            for value in [getattr(c, key)]
        ]
        assert np.array_equal(getattr(choices, key), np.concatenate(expected))
    block = evaluate(joined, choices, n_draws=0)
    assert block["n"] == sum(len(part.ids) for part, _ in folds)
    assert block["threshold"] is None and block["threshold_sens80"] is None


def test_a_pool_with_a_fold_without_threshold_has_none():
    p = random_predictions()
    one_class = p.take(np.flatnonzero(p.labels == 0))
    uneven = np.array([0.9, 0.1])
    joined, choices = pooled([(p, choose(p, uneven)), (p, choose(one_class))])
    assert choices.at_specificity is None and choices.at_sensitivity is None
    # A fold of unknown prevalence calls the most probable class.
    expected = [*(p.scores[:, 1] > 0.1).astype(int), *p.scores.argmax(axis=1)]
    assert choices.balanced_predictions(joined.scores).tolist() == expected
