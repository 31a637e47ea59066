"""Blocks of ``metrics.json`` against scikit-learn, formulas and slow loops."""

import json

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

from cry_modules.evaluation.outcome import (
    EvaluationOptions,
    Outcome,
    evaluate_outcomes,
)
from cry_modules.metrics.choices import Choices, choose, pooled
from cry_modules.metrics.evaluate import evaluate
from cry_modules.metrics.predictions import AGGREGATIONS, Predictions
from cry_modules.metrics.ranking import (
    threshold_at_sensitivity,
    threshold_at_specificity,
)

FIGURES = (
    "auc",
    "average_precision",
    "balanced_accuracy",
    "accuracy",
    "sensitivity_at_spec80",
    "specificity_at_threshold",
    "sensitivity_at_threshold_sens80",
    "specificity_at_sens80",
    "brier",
    "ece",
    "calibration_slope",
    "calibration_intercept",
)


def summarise(
    valid, test, prevalence=None, patient_score="mean_log_odds", seed=0,
    n_draws=2000,
):  # fmt: skip
    """The blocks of one run, by recording and by patient."""
    asked = EvaluationOptions(patient_score, seed, n_draws)
    found = evaluate_outcomes([Outcome(valid, test, prevalence)], {}, asked)
    return {split: found[split] for split in ("valid", "test")}


def random_predictions(n=60, n_patients=25, n_classes=2, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % n_classes
    logits = rng.normal(size=(n, n_classes)) + np.eye(n_classes)[labels]
    scores = np.exp(logits.round(1))  # so that there are ties
    return Predictions(
        [f"r{i}" for i in range(n)],
        [f"p{i}" for i in rng.integers(n_patients, size=n)],
        labels,
        scores / scores.sum(axis=1, keepdims=True),
        ["healthy", "injury", "other"][:n_classes],
    )


def own_patients(p):
    """The same recordings, each of a patient of its own."""
    return Predictions(p.ids, p.ids, p.labels, p.scores, p.classes)


def of_rows(values, rows):
    """Choices of some recordings: one for all stays as it is."""
    return values if np.ndim(values) < 1 else values[rows]


def slow_figures(p, choices):
    """Every figure of some recordings, by scikit-learn and loops."""
    n_classes = len(p.classes)
    one_against_rest = [
        (p.labels == k, p.scores[:, k])
        for k in ([1] if n_classes == 2 else range(n_classes))
    ]
    prevalence = 1.0 if choices.prevalence is None else choices.prevalence
    called = (p.scores / prevalence).argmax(axis=1)
    most_probable = p.scores.argmax(axis=1)
    found = dict.fromkeys(FIGURES)
    found.update(
        auc=np.mean([roc_auc_score(*x) for x in one_against_rest]),
        average_precision=np.mean(
            [average_precision_score(*x) for x in one_against_rest]
        ),
        balanced_accuracy=balanced_accuracy_score(p.labels, called),
        accuracy=accuracy_score(p.labels, most_probable),
        brier=sum(brier_score_loss(*x) for x in one_against_rest),
    )
    if n_classes > 2:
        claimed, happened = p.scores.max(axis=1), most_probable == p.labels
        found["ece"] = slow_calibration_error(claimed, happened)
        return found
    claimed, happened = p.scores[:, 1], p.labels == 1
    model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-9)
    model.fit(logit(claimed)[:, None], happened)
    at_specificity = claimed >= choices.at_specificity
    at_sensitivity = claimed >= choices.at_sensitivity
    found.update(
        ece=slow_calibration_error(claimed, happened),
        sensitivity_at_spec80=recall_score(p.labels, at_specificity),
        specificity_at_threshold=specificity(p.labels, at_specificity),
        sensitivity_at_threshold_sens80=recall_score(p.labels, at_sensitivity),
        specificity_at_sens80=specificity(p.labels, at_sensitivity),
        calibration_slope=model.coef_[0, 0],
        calibration_intercept=brentq(
            lambda a: (happened - expit(a + logit(claimed))).sum(), -30, 30
        ),
    )
    return found


def specificity(labels, called):
    return recall_score(labels, called, pos_label=0)


def slow_calibration_error(claimed, happened):
    total = 0.0
    for b in range(10):
        inside = (b / 10 <= claimed) & (claimed < (b + 1) / 10)
        if inside.any():
            gap = claimed[inside].mean() - happened[inside].mean()
            total += inside.mean() * abs(gap)
    return total


def settled(p, prevalence=None):
    """Operating points in the middle of the scores."""
    if len(p.classes) > 2:
        return Choices(prevalence)
    return Choices(prevalence, 0.55, 0.35)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_figures_are_scikit_learns(n_classes, seed):
    p = random_predictions(n_classes=n_classes, seed=seed)
    prevalence = np.array([0.7, 0.3] if n_classes == 2 else [0.6, 0.3, 0.1])
    choices = settled(p, prevalence)
    found = evaluate(p, choices, n_draws=0)
    expected = slow_figures(p, choices)
    assert found.keys() >= expected.keys()
    for name, value in expected.items():
        assert found[name] == (value and pytest.approx(value, rel=1e-5)), name
        assert found[f"{name}_ci95"] is None
    called = (p.scores / prevalence).argmax(axis=1)
    expected = confusion_matrix(p.labels, called)
    assert found["confusion_matrix"] == expected.tolist()
    assert (called != p.scores.argmax(axis=1)).any()  # both calls are tested


def test_counts():
    p = random_predictions(n=61)
    p.patients = ["a"] * 30 + ["b"] * 20 + ["c"] * 11
    found = evaluate(p, settled(p), n_draws=7)
    assert found["n"] == 61 and found["n_patients"] == 3
    assert found["bootstrap_draws"] == 7
    assert found["majority_accuracy"] == pytest.approx(31 / 61)
    assert found["threshold"] == 0.55 and found["threshold_sens80"] == 0.35
    assert found["per_class"]["healthy"]["n"] == 31
    assert found["per_class"]["injury"]["n"] == 30
    assert found["per_class"]["healthy"]["n_patients"] == 3
    p.labels[20:] = 0
    found = evaluate(p, settled(p), n_draws=0)
    assert found["per_class"]["injury"]["n_patients"] == 1


@pytest.mark.parametrize("n_classes", [2, 3])
def test_each_class_is_told_from_the_rest(n_classes):
    p = random_predictions(n_classes=n_classes)
    found = evaluate(p, settled(p), n_draws=0)["per_class"]
    recalls = recall_score(p.labels, p.scores.argmax(axis=1), average=None)
    for k, name in enumerate(p.classes):
        true, scores = p.labels == k, p.scores[:, k]
        x = np.stack([1 - scores, scores], axis=1)
        alone = slow_figures(
            Predictions(p.ids, p.patients, true.astype(int), x, ["no", "yes"]),
            Choices(None, 0.5, 0.5),
        )
        assert found[name]["recall"] == pytest.approx(recalls[k])
        for figure in (
            "auc",
            "average_precision",
            "calibration_slope",
            "calibration_intercept",
        ):
            expected = pytest.approx(alone[figure], rel=1e-5)
            assert found[name][figure] == expected


def test_three_classes_have_no_operating_point():
    p = random_predictions(n_classes=3)
    choices = choose(p)
    assert choices.at_specificity is None and choices.at_sensitivity is None
    found = evaluate(p, choices, n_draws=9)
    for name in FIGURES[4:8] + FIGURES[10:]:
        assert found[name] is None and found[f"{name}_ci95"] is None


def resampled(p, choices, seed, n_draws):
    """Recordings of the drawn patients, one after the other, and what was
    chosen for each."""
    patients = np.array(p.patients)
    names = np.unique(patients)
    share = np.full(len(names), 1 / len(names))
    for times in np.random.default_rng(seed).multinomial(
        len(names), share, n_draws
    ):
        rows = np.concatenate(
            [np.flatnonzero(patients == q) for q in np.repeat(names, times)]
        )
        prevalence = choices.prevalence
        yield (
            p.take(rows),
            Choices(
                prevalence[rows] if np.ndim(prevalence) > 1 else prevalence,
                of_rows(choices.at_specificity, rows),
                of_rows(choices.at_sensitivity, rows),
            ),
        )


def of_two_folds(p):
    """Two halves, each with its own operating points and prevalence."""
    half = len(p.ids) // 2
    return pooled(
        [
            (p.take(range(half)), Choices(np.array([0.7, 0.3]), 0.6, 0.4)),
            (
                p.take(range(half, len(p.ids))),
                Choices(np.array([0.4, 0.6]), 0.5, 0.2),
            ),
        ]
    )


@pytest.mark.parametrize("case", ["two", "three", "folds"])
def test_intervals_are_those_of_patients_physically_resampled(case):
    p = random_predictions(
        n=90, n_patients=30, n_classes=3 if case == "three" else 2
    )
    choices = settled(p, np.array([0.5, 0.3, 0.2]) if case == "three" else None)
    if case == "folds":
        p, choices = of_two_folds(p)
    found = evaluate(p, choices, seed=3, n_draws=20)
    draws = [slow_figures(*drawn) for drawn in resampled(p, choices, 3, 20)]
    assert found["bootstrap_degenerate"] == 0
    assert found["no_interval"] is None
    for name in FIGURES:
        if draws[0][name] is None:
            assert found[f"{name}_ci95"] is None
            continue
        values = np.array([d[name] for d in draws])
        expected = np.quantile(values, [0.025, 0.975])
        if name == "ece":  # of draws it is larger than of the recordings
            assert found["ece_ci95"] is None
            continue
        if name in OF_THE_CLASS:
            expected = on_log_odds(found[name], values, p, OF_THE_CLASS[name])
        assert found[f"{name}_ci95"] == pytest.approx(expected, rel=1e-4), name


#: By whose patients the width is reckoned; None: the rarest class's.
OF_THE_CLASS = {
    "auc": None,
    "average_precision": None,
    "balanced_accuracy": None,
    "sensitivity_at_spec80": 1,
    "sensitivity_at_threshold_sens80": 1,
    "specificity_at_threshold": 0,
    "specificity_at_sens80": 0,
}


def on_log_odds(value, draws, p, of_class=None):
    """Student's t, by the patients of a class."""
    patients = [
        {q for q, label in zip(p.patients, p.labels) if label == k}
        for k in set(p.labels.tolist())
    ]
    rarest = min(len(own) for own in patients)
    if of_class is not None:
        rarest = len(patients[of_class])
    least = 0.5 / (rarest * (len(set(p.patients)) - rarest))
    spread = np.std(logit(np.clip(draws, least, 1 - least)))
    t = student.isf(0.025, df=rarest - 1)
    centre = logit(np.clip(value, least, 1 - least))
    return [expit(centre - t * spread), expit(centre + t * spread)]


def test_degenerate_draws_are_left_out_and_counted():
    p = own_patients(random_predictions(n=40))
    p.labels = (np.arange(40) < 5).astype(int)
    choices = settled(p)
    # A draw misses the five with (35/40)^40, every 200th time.
    found = evaluate(p, choices, seed=1, n_draws=400)
    drawn = [q for q, _ in resampled(p, choices, 1, 400)]
    aucs = [
        roc_auc_score(q.labels, q.scores[:, 1]) for q in drawn if q.labels.any()
    ]
    assert 0 < found["bootstrap_degenerate"] == 400 - len(aucs)
    expected = on_log_odds(found["auc"], np.array(aucs), p)
    assert found["auc_ci95"] == pytest.approx(expected)


def test_interval_is_over_patients_not_recordings():
    """Ten copies of every recording bring no information."""
    p = own_patients(random_predictions(n=40))
    tenfold = Predictions.joined([p] * 10)
    found = evaluate(tenfold, settled(p), n_draws=100)
    expected = evaluate(p, settled(p), n_draws=100)
    assert found["n"] == 10 * expected["n"]
    for name in FIGURES:
        assert found[name] == pytest.approx(expected[name]), name
        interval = f"{name}_ci95"
        assert found[interval] == pytest.approx(expected[interval]), name


@pytest.mark.parametrize(
    "n_positive, interval", [(1, False), (4, False), (5, True)]
)
def test_too_few_patients_of_a_class_have_no_interval(n_positive, interval):
    p = own_patients(random_predictions(n=30))
    p.labels = (np.arange(30) < n_positive).astype(int)
    found = evaluate(p, settled(p), n_draws=200)
    for name in FIGURES[:-2]:
        assert found[name] is not None
        has_one = interval and name != "ece"
        assert (found[f"{name}_ci95"] is not None) == has_one
    assert (found["no_interval"] is None) == interval


def test_a_figure_that_no_draw_moves_has_no_interval():
    p = own_patients(random_predictions(n=30))
    p.scores = np.where(np.eye(2)[p.labels] == 1, 0.9, 0.1)
    found = evaluate(p, settled(p), n_draws=200)
    for name, value in (("auc", 1), ("accuracy", 1), ("brier", 0.01)):
        assert found[name] == pytest.approx(value)
        assert found[f"{name}_ci95"] is None


def test_balanced_calls_are_by_the_probability_over_the_prevalence():
    p = random_predictions(n_classes=3)
    prevalence = np.array([0.7, 0.2, 0.1])
    found = Choices(prevalence).balanced_calls(p.scores)
    for scores, called in zip(p.scores, found):
        gains = [x / share for x, share in zip(scores, prevalence)]
        assert called == gains.index(max(gains))
    expected = p.scores.argmax(axis=1)
    assert np.array_equal(Choices().balanced_calls(p.scores), expected)
    # Of two: positive where that is more probable than it is frequent.
    p = random_predictions()
    found = Choices(np.array([0.9, 0.1])).balanced_calls(p.scores)
    assert np.array_equal(found == 1, p.scores[:, 1] > 0.1)


def test_operating_points_come_from_validation():
    valid, test = random_predictions(seed=1), random_predictions(seed=2)
    blocks = summarise(valid, test, n_draws=9)
    for unit, chosen_on, used_on in (
        ("recording", valid, test),
        ("patient", valid.by_patient(), test.by_patient()),
    ):
        of_valid = chosen_on.labels, chosen_on.scores[:, 1]
        found = blocks["test"][unit]
        assert blocks["valid"][unit]["specificity_at_threshold"] >= 0.8
        assert blocks["valid"][unit]["sensitivity_at_threshold_sens80"] >= 0.8
        for key, threshold, of_positives, of_negatives in (
            (
                "threshold",
                threshold_at_specificity(*of_valid),
                "sensitivity_at_spec80",
                "specificity_at_threshold",
            ),
            (
                "threshold_sens80",
                threshold_at_sensitivity(*of_valid),
                "sensitivity_at_threshold_sens80",
                "specificity_at_sens80",
            ),
        ):
            assert blocks["valid"][unit][key] == found[key] == threshold
            called = used_on.scores[:, 1] >= threshold
            expected = called[used_on.labels == 1].mean()
            assert found[of_positives] == pytest.approx(expected)
            expected = (~called[used_on.labels == 0]).mean()
            assert found[of_negatives] == pytest.approx(expected)
    # The thresholds of the test split itself are others.
    own = summarise(test, test, n_draws=0)["test"]["recording"]["threshold"]
    assert own != blocks["test"]["recording"]["threshold"]


@pytest.mark.parametrize("how", AGGREGATIONS)
def test_summary_is_by_recording_and_by_patient(how):
    valid, test = random_predictions(seed=1), random_predictions(seed=2)
    prevalence = np.array([0.8, 0.2])
    blocks = summarise(valid, test, prevalence, how, seed=4, n_draws=50)
    choices = choose(valid, prevalence)
    of_patients = choose(valid.by_patient(how), prevalence, how)
    assert blocks == {
        "valid": {
            "recording": evaluate(valid, choices, 4, 50),
            "patient": evaluate(valid.by_patient(how), of_patients, 4, 50),
        },
        "test": {
            "recording": evaluate(test, choices, 4, 50),
            "patient": evaluate(test.by_patient(how), of_patients, 4, 50),
        },
    }
    patients = blocks["test"]["patient"]
    assert patients["n"] == len(set(zip(test.patients, test.labels)))
    assert patients["n_patients"] == len(set(test.patients))


def test_the_same_seed_gives_the_same_block():
    p = random_predictions()
    once, again, other = (
        evaluate(p, settled(p), seed, n_draws=50) for seed in (0, 0, 1)
    )
    assert once == again
    assert once["auc"] == other["auc"]
    assert once["auc_ci95"] != other["auc_ci95"]


@pytest.mark.parametrize("unit", ["recording", "patient"])
def test_pooled_folds_call_each_by_its_own_threshold(unit):
    folds = []
    for seed in range(3):
        test = random_predictions(seed=seed)
        test.patients = [f"{q} of fold {seed}" for q in test.patients]
        valid = random_predictions(seed=seed + 10).by_unit(unit)
        prevalence = np.array([0.5, 0.5]) + [0.1 * seed, -0.1 * seed]
        folds.append((test.by_unit(unit), choose(valid, prevalence)))
    assert len({choices.at_specificity for _, choices in folds}) == 3
    p, choices = pooled(folds)
    block = evaluate(p, choices, n_draws=0)
    assert block["n"] == sum(len(part.ids) for part, _ in folds)
    assert block["threshold"] is None and block["threshold_sens80"] is None

    labels = np.concatenate([part.labels for part, _ in folds])

    def shares(calls):
        calls = np.concatenate(calls)
        return calls[labels == 1].mean(), 1 - calls[labels == 0].mean()

    found = block["sensitivity_at_spec80"], block["specificity_at_threshold"]
    assert found == pytest.approx(
        shares([q.scores[:, 1] >= c.at_specificity for q, c in folds])
    )
    found = (
        block["sensitivity_at_threshold_sens80"],
        block["specificity_at_sens80"],
    )
    assert found == pytest.approx(
        shares([q.scores[:, 1] >= c.at_sensitivity for q, c in folds])
    )
    balanced = shares([q.scores[:, 1] > c.prevalence[1] for q, c in folds])
    assert block["balanced_accuracy"] == pytest.approx(np.mean(balanced))


def test_a_pool_with_a_fold_that_has_no_threshold_has_none():
    p = random_predictions()
    one_class = p.take(np.flatnonzero(p.labels == 0))
    uneven = np.array([0.9, 0.1])
    joined, choices = pooled([(p, choose(p, uneven)), (p, choose(one_class))])
    assert choices.at_specificity is None and choices.at_sensitivity is None
    # A fold that knows no prevalence calls the most probable class.
    expected = [
        *(p.scores[:, 1] > 0.1).astype(int),
        *p.scores.argmax(axis=1),
    ]
    assert choices.balanced_calls(joined.scores).tolist() == expected


def of_one_class(k, n_classes=2):
    p = random_predictions(n_classes=n_classes)
    return p.take(np.flatnonzero(p.labels == k))


def scored(score):
    p = own_patients(random_predictions())
    p.scores = np.tile([1 - score, score], (len(p.ids), 1))
    return p


def certain():
    p = random_predictions()
    p.scores = np.eye(2)[p.labels]
    return p


def certain_and_sometimes_wrong():
    p = random_predictions()
    p.scores = np.eye(2)[np.where(np.arange(60) % 7, p.labels, 1 - p.labels)]
    return p


def one_positive_patient():
    p = random_predictions()
    positive = np.array(p.patients) == p.patients[0]
    p.labels = positive.astype(int)
    return p


def without_class(k):
    p = random_predictions(n_classes=3)
    return p.take(np.flatnonzero(p.labels != k))


AWKWARD = {
    "healthy alone": of_one_class(0),
    "injured alone": of_one_class(1),
    "one of three classes": of_one_class(1, n_classes=3),
    "one positive patient": one_positive_patient(),
    "constant": scored(0.3),
    "all even": scored(0.5),
    "all certainly healthy": scored(0.0),
    "all certainly injured": scored(1.0),
    "certain and right": certain(),
    "certain and sometimes wrong": certain_and_sometimes_wrong(),
    "no first class": without_class(0),
    "no last class": without_class(2),
    "a recording a patient": own_patients(random_predictions()),
    "one recording": random_predictions(n=1),
    "one recording of three": random_predictions(n=1, n_classes=3),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("how", AGGREGATIONS)
@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_data_have_metrics_without_nan(name, how):
    awkward = AWKWARD[name]
    good = random_predictions(n_classes=len(awkward.classes), seed=5)
    uneven = np.arange(1.0, len(awkward.classes) + 1)
    for valid, test in ((good, awkward), (awkward, good)):
        blocks = summarise(valid, test, uneven / uneven.sum(), how, 0, 20)
        json.dumps(blocks, allow_nan=False)
        for split in blocks.values():
            for block in split.values():
                check_defined(block)


def check_defined(block):
    """Every figure has an interval that holds draws about it, or none."""
    for name in FIGURES:
        interval = block[f"{name}_ci95"]
        if block[name] is None or block["no_interval"] is not None:
            assert interval is None
        if interval is not None:
            assert interval[0] < interval[1]
    for name in FIGURES[:8]:
        assert block[name] is None or 0 <= block[name] <= 1
    assert block["brier"] is not None and block["ece"] is not None
    assert block["accuracy"] is not None


def recording_block(name, **how):
    p = AWKWARD[name]
    return evaluate(p, settled(p), n_draws=60, **how)


@pytest.mark.parametrize("k, lacking", [(0, "sensitivity"), (1, "specificity")])
def test_one_class_can_be_called_but_not_ranked(k, lacking):
    block = recording_block(["healthy alone", "injured alone"][k])
    undefined = {
        "auc",
        "average_precision",
        "calibration_slope",
        "calibration_intercept",
        *(name for name in FIGURES if name.startswith(lacking)),
    }
    assert {name for name in FIGURES if block[name] is None} == undefined
    assert block["no_interval"] == f"all are {['healthy', 'injury'][k]}"
    assert block["bootstrap_degenerate"] == 60
    assert block["majority_accuracy"] == 1
    assert block["accuracy"] == block["balanced_accuracy"]


def test_a_valid_split_of_one_class_chooses_no_threshold():
    good = random_predictions(seed=5)
    block = summarise(of_one_class(0), good, n_draws=0)["test"]["recording"]
    assert block["threshold"] is None and block["threshold_sens80"] is None
    assert {name for name in FIGURES if block[name] is None} == set(
        FIGURES[4:8]
    )


def test_one_positive_patient_has_figures_and_no_interval():
    block = recording_block("one positive patient")
    assert all(block[name] is not None for name in FIGURES)
    assert all(block[f"{name}_ci95"] is None for name in FIGURES)
    expected = "injury has 1 patient, and an interval needs 5"
    assert block["no_interval"] == expected


@pytest.mark.parametrize("name", ["constant", "all even"])
def test_constant_scores_rank_nothing(name):
    block = recording_block(name)
    assert block["auc"] == 0.5 and block["auc_ci95"] is None
    assert block["average_precision"] == pytest.approx(0.5)
    assert block["calibration_slope"] is None
    claimed = AWKWARD[name].scores[0, 1]
    assert block["calibration_intercept"] == pytest.approx(
        logit(0.5) - logit(claimed), abs=1e-9
    )
    assert block["ece"] == pytest.approx(0.5 - claimed)


def test_certain_and_right_scores_have_no_slope():
    block = recording_block("certain and right")
    assert block["auc"] == block["accuracy"] == 1
    assert block["brier"] == block["ece"] == 0
    assert block["calibration_slope"] is None
    assert block["calibration_intercept"] == pytest.approx(0, abs=1e-3)


def test_an_absent_class_of_three_is_left_out():
    p = AWKWARD["no last class"]
    block = recording_block("no last class")
    absent = block["per_class"]["other"]
    assert absent.pop("n") == absent.pop("n_patients") == 0
    assert set(absent.values()) == {None}
    aucs = [roc_auc_score(p.labels == k, p.scores[:, k]) for k in (0, 1)]
    assert block["auc"] == pytest.approx(np.mean(aucs))
    recalls = [block["per_class"][name]["recall"] for name in p.classes[:2]]
    assert block["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    assert block["confusion_matrix"][2] == [0, 0, 0]


@pytest.mark.parametrize("how", AGGREGATIONS)
def test_with_one_recording_a_patient_both_units_are_the_same(how):
    p = own_patients(random_predictions())
    positive = np.random.default_rng(0).random(len(p.ids))
    p.scores = np.stack([1 - positive, positive], axis=1)
    blocks = summarise(p, p, patient_score=how, n_draws=60)["test"]
    # Calls of a maximum are made otherwise than those of a probability.
    same = how == "mean_log_odds"
    for name in [n for n in FIGURES if same or n != "balanced_accuracy"]:
        for key in (name, f"{name}_ci95"):
            by_recording = pytest.approx(blocks["recording"][key])
            assert blocks["patient"][key] == by_recording, key


def test_one_recording():
    block = recording_block("one recording")
    assert block["n"] == block["n_patients"] == 1
    assert block["auc"] is None
    assert block["accuracy"] in (0, 1)
    assert block["no_interval"] == "all are healthy"
