"""Comparison of runs against formulas, slow loops, DeLong's test and
simulations in which the truth is known."""

import json

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import (
    norm,
    t as student,
)
from sklearn.metrics import average_precision_score, roc_auc_score

from cry_modules.metrics.bootstrap import (
    N_DRAWS,
    fewest_patients,
    logit_interval,
    patient_weights,
)
from cry_modules.metrics.choices import Choices
from cry_modules.metrics.compare import ONE_SEED, Report, compare
from cry_modules.metrics.compare_report import report
from cry_modules.metrics.evaluate import evaluate
from cry_modules.metrics.paired import (
    LEAST_DRAWS,
    metric_draws,
    paired_difference,
)
from data_prep.files.errors import InputError
from tests.cry_modules.metrics.compared import (
    exact,
    models,
    predictions,
    run_set,
    shuffled,
)
from tests.cry_modules.metrics.made import delong, random_predictions

# The paired difference.


@pytest.mark.parametrize("metric", ["auc", "average_precision"])
def test_difference_equals_the_loop_over_draws_and_patients(metric):
    a, b = models(np.random.default_rng(0), 8, 20, (0.7, 0.85))
    score = {
        "auc": roc_auc_score,
        "average_precision": average_precision_score,
    }[metric]
    patients = np.array(a.patients)

    def difference(rows):
        return score(a.labels[rows], b.scores[rows, 1]) - score(
            a.labels[rows], a.scores[rows, 1]
        )

    value = difference(np.arange(len(patients)))
    draws = []
    for weights in np.concatenate(list(patient_weights(patients, 3, 100))):
        rows = np.repeat(np.arange(len(patients)), weights.astype(int))
        if len(set(a.labels[rows])) == 2:
            draws.append(difference(rows))
    # Welch's degrees of freedom, from leaving each patient out.
    without, is_positive = [], []
    for patient in sorted(set(patients)):
        without.append(difference(np.flatnonzero(patients != patient)))
        is_positive.append(a.labels[patients == patient][0] == 1)
    without, is_positive = np.array(without), np.array(is_positive)
    pos, neg = (
        np.sum((without[who] - without.mean()) ** 2)
        for who in (is_positive, ~is_positive)
    )
    freedom = (pos + neg) ** 2 / (pos**2 / 7 + neg**2 / 19)
    spread = np.std(draws, ddof=1)
    reach = student.ppf(0.975, freedom) * spread

    result = paired_difference(a, b, seed=3, n_draws=100, metric=metric)
    assert result["difference"] == pytest.approx(value)
    assert result["ci95"] == pytest.approx([value - reach, value + reach])
    p = 2 * student.sf(abs(value) / spread, freedom)
    assert result["p"] == pytest.approx(p)
    assert result["no_interval"] is None


def test_three_classes_are_macro_one_against_rest():
    a, b = (random_predictions(90, n_classes=3, seed=seed) for seed in (0, 1))
    b.patients = a.patients
    expected = [
        roc_auc_score(p.labels, p.scores, multi_class="ovr") for p in (a, b)
    ]
    result = paired_difference(a, b)
    assert result["difference"] == pytest.approx(expected[1] - expected[0])


EVEN = np.arange(40) % 2
NOISE = np.random.default_rng(0).normal(size=40)


@pytest.mark.parametrize(
    "labels, first, second, p, why",
    [
        (0 * EVEN, NOISE, NOISE[::-1], None, "all are healthy"),
        (np.arange(40) < 4, NOISE, NOISE[::-1], None, "injury has 4 patients"),
        (EVEN, NOISE, 0 * NOISE, None, "scores of the second model are equal"),
        (EVEN, 0 * NOISE, NOISE, None, "scores of the first model are equal"),
        (EVEN, 0 * NOISE, 0 * NOISE, None, "are equal"),
        (EVEN, NOISE, NOISE, 1, "no draw"),
    ],
)
@pytest.mark.parametrize("metric", ["auc", "average_precision"])
def test_a_missing_interval_has_a_reason(labels, first, second, p, why, metric):
    labels = np.asarray(labels, dtype=int)
    pair = predictions(labels, first), shuffled(predictions(labels, second))
    result = paired_difference(*pair, metric=metric)
    assert why in result["no_interval"]
    assert (result["difference"] is None) == (not labels.any())
    assert result["ci95"] is None and result["p"] == p
    sets = [run_set("a", pair[:1]), run_set("b", [predictions(labels, second)])]
    result = compare(sets, metric=metric)
    json.dumps(result, allow_nan=False)
    assert "nan" not in report(result)


def test_a_constant_difference_has_no_p():
    """All right against all wrong: no patient moves it."""
    result = paired_difference(
        predictions(EVEN, EVEN), predictions(EVEN, -EVEN)
    )
    assert "no draw" in result.pop("no_interval")
    nothing = dict.fromkeys(("p", "ci95", "detectable"))
    assert result == {"difference": -1, **nothing}


@pytest.mark.parametrize("n_draws", [0, LEAST_DRAWS - 1])
def test_few_draws_give_the_difference_alone(n_draws):
    a, b = models(np.random.default_rng(0), 10, 30, (0.7, 0.8))
    result = paired_difference(a, b, n_draws=n_draws)
    assert result["difference"] == paired_difference(a, b)["difference"]
    assert (
        result["ci95"] is None and f"{n_draws} draws" in result["no_interval"]
    )


# Size, power, and another test.


@pytest.mark.parametrize("aucs", [(0.75, 0.75), (0.75, 0.85), (0.6, 0.9)])
@pytest.mark.parametrize("seed", range(3))
def test_p_is_delongs_where_patients_have_one_recording(aucs, seed):
    rng = np.random.default_rng(seed)
    a, b = models(rng, 60, 150, aucs, most=1)
    result = paired_difference(a, b, n_draws=4000)
    value, spread = delong(a.labels == 1, a.scores[:, 1], b.scores[:, 1])
    p = 2 * norm.sf(abs(value) / spread)
    assert result["p"] == pytest.approx(p, abs=0.02)
    width = np.diff(result["ci95"])[0] / 2
    assert width == pytest.approx(1.96 * spread, rel=0.05)


def share_proven(n_pairs, **kwargs):
    """Share of pairs of models that differ by p, and by the interval."""
    rng = np.random.default_rng(0)
    n_proven = 0
    for i in range(n_pairs):
        pair = models(rng, **kwargs)
        result = paired_difference(*pair, seed=i, n_draws=LEAST_DRAWS)
        low, high = result["ci95"]
        assert (result["p"] < 0.05) == (low > 0 or high < 0)
        n_proven += result["p"] < 0.05
    return n_proven / n_pairs


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "n_pairs, n_pos, n_neg, aucs, least, most",
    [
        # 0.05 and four of its standard errors for 120 pairs of models.
        (120, 10, 40, (0.75, 0.75), 0, 0.13),
        # Two models 0.15 apart, by about five standard errors.
        (40, 40, 80, (0.7, 0.85), 0.9, 1),
        pytest.param(2000, 40, 120, (0.75, 0.75), 0.025, 0.075, marks=SLOW),
        pytest.param(2000, 10, 120, (0.75, 0.75), 0.025, 0.075, marks=SLOW),
        pytest.param(2000, 40, 120, (0.98, 0.98), 0.025, 0.075, marks=SLOW),
    ],
)
def test_how_often_a_difference_is_reported(
    n_pairs, n_pos, n_neg, aucs, least, most
):
    share = share_proven(n_pairs, n_pos=n_pos, n_neg=n_neg, aucs=aucs)
    assert least <= share <= most


# Seeds and patients.


def test_known_seed_noise_is_the_spread_between_seeds():
    noise = np.array([-2, 0, 1, 3, 3])
    seeds = [exact(e) for e in noise]
    expected = (9 + noise) / 20
    for p, value in zip(seeds, expected):
        assert roc_auc_score(p.labels, p.scores[:, 1]) == pytest.approx(value)
    (result,) = compare([run_set("a", seeds)])["sets"]
    assert result["by_seed"] == pytest.approx(expected)
    assert result["mean"] == pytest.approx(expected.mean())
    assert result["sd_between_seeds"] == pytest.approx(
        np.std(noise, ddof=1) / 20
    )
    # Another seed may be any of these: its interval is the wider one.
    given, new = result["ci95"], result["ci95_new_seed"]
    assert new[0] < given[0] and given[1] < new[1]


def auc_draws(p, seed):
    """AUC in 100 draws, [draws]."""
    return [
        roc_auc_score(p.labels, p.scores[:, 1], sample_weight=weights)
        for block in patient_weights(p.patients, seed, 100)
        for weights in block
    ]


def test_intervals_of_seeds_equal_the_loop():
    seeds = [exact(e) for e in (-2, 4, 3)]
    (result,) = compare([run_set("a", seeds)], n_draws=100, seed=7)["sets"]
    draws = np.array([auc_draws(p, seed=7) for p in seeds]).mean(axis=0)
    few = fewest_patients(seeds[0].labels, seeds[0].patients)
    others = len(set(seeds[0].patients)) - few  # nobody has both classes
    expected = logit_interval(result["mean"], draws, few, few * others)
    assert result["ci95"] == pytest.approx(expected)
    # One more seed: Student's t of the mean seed and of the new one.
    sd = logit(result["by_seed"]).std(ddof=1) * np.sqrt(1 + 1 / 3)
    over_patients = np.diff(logit(expected))[0] / 2
    reach = np.hypot(over_patients, student.ppf(0.975, 2) * sd)
    expected = expit(logit(result["mean"]) + reach * np.array([-1, 1]))
    assert result["ci95_new_seed"] == pytest.approx(expected)
    two = compare([run_set("a", seeds[:2])], n_draws=100)
    assert two["sets"][0]["ci95_new_seed"] is None
    assert "| needs 3 seeds |" in report(two)


@pytest.mark.slow
@pytest.mark.parametrize("n_seeds", [3, 5])
@pytest.mark.parametrize("n_patients", [40, 200])
def test_interval_of_a_new_seed_covers_its_auc(n_seeds, n_patients):
    rng = np.random.default_rng(0)
    covered, n_studies = 0, 200
    for _ in range(n_studies):
        aucs = np.clip(0.85 + 0.03 * rng.normal(size=n_seeds + 1), 0.6, 0.98)
        runs = models(rng, n_patients, 2 * n_patients, aucs[1:], most=2)
        (result,) = compare([run_set("a", runs)], n_draws=100)["sets"]
        low, high = result["ci95_new_seed"]
        covered += low <= aucs[0] <= high
    # Three standard errors of 95 % in so many studies.
    assert covered / n_studies >= 0.95 - 3 * 0.0154


def test_folds_and_none_are_not_compared():
    a, b = models(np.random.default_rng(0), 8, 20, (0.7, 0.85))
    a.folds = ["x"] * len(a.ids)
    for pair in ((a, b), (b, a)):
        with pytest.raises(InputError, match="has a column fold and the "):
            paired_difference(*pair)


def test_patients_with_several_classes_are_counted_once_in_words():
    p = random_predictions(n=80, n_patients=22)
    text = report(compare([run_set("a", [p])], "patient", n_draws=100))
    n = len(p.by_patient().ids)
    assert n > 22
    assert f"by patient: 22 patients, {n} patient-class pairs, 100" in text
    p.folds = ["x"] * 30 + ["y"] * 30 + ["z"] * 20
    p.labels[60:] = 0
    text = report(compare([run_set("a", [p])], n_draws=100))
    assert (
        "AUC by recording: 80 recordings of 22 patients, within 3 folds (20 in "
        "folds of one class are left out), 100 draws" in text
    )


def test_a_single_run_has_the_interval_of_its_report():
    a, b = models(np.random.default_rng(0), 12, 20, (0.7, 0.85))
    sets = [run_set("a", [a]), run_set("b", [b])]
    sets[0].reports, sets[1].reports = [Report(5, 300)], [Report(6, 200)]
    result = compare(sets)
    for run, p, report_ in zip(result["sets"], (a, b), ((5, 300), (6, 200))):
        block = evaluate(p, Choices(), *report_)
        assert run["ci95"] == block["auc_ci95"]
    assert (result["seed"], result["n_draws"]) == (0, N_DRAWS)
    sets[1].reports = sets[0].reports
    result = compare(sets)
    assert (result["seed"], result["n_draws"]) == (5, 300)
    expected = paired_difference(a, b, 5, 300)
    (difference,) = result["differences"]
    assert {key: difference[key] for key in expected} == expected
    # As asked for.
    assert compare(sets, seed=1)["sets"][0]["ci95"] != result["sets"][0]["ci95"]


def test_seeds_are_paired_where_their_folders_are_named_alike():
    noise = np.array([-2, 0, 1, 4])
    a = [exact(e) for e in noise]
    b = [exact(e + 1) for e in noise]
    sets = [run_set("a", a), run_set("b", b)]
    (result,) = compare(sets)["differences"]
    assert result["paired_by_seed"] and result["n_above"] == 4
    assert result["difference"] == pytest.approx(1 / 20)
    assert result["by_seed"] == pytest.approx([1 / 20] * 4)
    assert result["sd_between_seeds"] == pytest.approx(0, abs=1e-12)

    sets[1].files[3] = sets[1].files[3].parent.parent / "other/f.csv"
    (result,) = compare(sets)["differences"]
    assert not result["paired_by_seed"]
    # Two independent seeds: their variances add up.
    single = np.var(noise / 20, ddof=1)
    assert result["sd_between_seeds"] == pytest.approx(np.sqrt(2 * single))
    # Above 9.75 of 20, the mean of a.
    assert result["by_seed"] == pytest.approx((noise + 1 - 0.75) / 20)
    assert (result["n_above"], result["n_below"]) == (3, 1)

    sets[1] = run_set("b", b[:1])
    (result,) = compare(sets)["differences"]
    assert not result["paired_by_seed"]
    assert result["sd_between_seeds"] == pytest.approx(np.sqrt(single))


def test_difference_of_sets_is_that_of_their_means_under_the_same_draws():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    runs = [
        predictions(labels, 0.7 * labels + rng.normal(size=60), np.arange(60))
        for _ in range(5)
    ]
    sets = [run_set("a", runs[:2]), run_set("b", runs[2:])]
    (result,) = compare(sets, n_draws=100)["differences"]
    value = [roc_auc_score(labels, p.scores[:, 1]) for p in runs]
    draws = [auc_draws(p, seed=0) for p in runs]
    difference = np.mean(value[2:]) - np.mean(value[:2])
    spread = np.std(np.mean(draws[2:], 0) - np.mean(draws[:2], 0), ddof=1)
    assert result["difference"] == pytest.approx(difference)
    low, high = result["ci95"]
    assert (low + high) / 2 == pytest.approx(difference)
    # Of 58 degrees of freedom at most, and 29 at least.
    reach = (high - low) / 2 / spread
    assert student.ppf(0.975, 58) <= reach <= student.ppf(0.975, 29)


@pytest.mark.parametrize("how", ["mean_log_odds", "max", "noisy_or"])
def test_by_patient_compares_the_scores_of_patients(how):
    a, b = models(np.random.default_rng(0), 10, 30, (0.7, 0.8))
    result = compare([run_set("a", [a]), run_set("b", [b])], "patient", how)
    expected = paired_difference(a.by_patient(how), b.by_patient(how))
    (difference,) = result["differences"]
    assert {key: difference[key] for key in expected} == expected
    assert result["n"] == result["n_patients"] == 40
    assert "AUC by patient" in report(result)


def test_methods_differ_by_patients_and_seeds():
    """Standard error and Satterthwaite's degrees of freedom by hand."""
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    runs = [
        predictions(labels, s * labels + rng.normal(size=60), np.arange(60))
        for s in (0.5, 0.7, 0.9, 1.1, 1.3, 1.2)
    ]
    sets = [run_set("a", runs[:3]), run_set("b", runs[3:])]
    (paired,) = compare(sets, n_draws=200)["differences"]
    sets[1].files[0] = sets[1].files[0].parent.parent / "other/f.csv"
    (unpaired,) = compare(sets, n_draws=200)["differences"]
    auc = np.array([roc_auc_score(labels, p.scores[:, 1]) for p in runs])
    draws = np.array([metric_draws([p], "auc", 0, 200).draws[0] for p in runs])
    spread = (draws[3:].mean(0) - draws[:3].mean(0)).std(ddof=1)
    reach = np.diff(paired["ci95"])[0] / 2 / spread  # over patients alone
    patients = brentq(lambda f: student.ppf(0.975, f) - reach, 5, 1e4)
    for result, varied in (
        (paired, [auc[3:] - auc[:3]]),
        (unpaired, [auc[:3], auc[3:]]),
    ):
        terms = [(spread**2, patients)]
        terms += [(x.var(ddof=1) / 3, 2) for x in varied]
        variance = sum(v for v, _ in terms)
        freedom = variance**2 / sum(v**2 / f for v, f in terms)
        t = result["difference"] / np.sqrt(variance)
        methods = result["methods"]
        assert methods["n_encoders"] == [3, 3]
        assert methods["p"] == pytest.approx(2 * student.sf(t, freedom), 1e-6)
        assert np.diff(methods["ci95"])[0] / 2 == pytest.approx(
            student.ppf(0.975, freedom) * np.sqrt(variance), rel=1e-6
        )
        quantiles = student.ppf([0.975, 0.8], freedom).sum()
        assert methods["detectable"] == pytest.approx(
            quantiles * np.sqrt(variance), rel=1e-6
        )
        assert methods["p"] > result["p"]


def test_heads_on_one_encoder_decide_nothing_about_methods():
    a, b = models(np.random.default_rng(0), 40, 80, (0.7, 0.9))
    sets = [run_set("a", [a] * 4), run_set("b", [b] * 4)]
    sets[1].encoders = ["simclr/1"] * 4
    (result,) = compare(sets)["differences"]
    assert result["p"] < 0.001
    assert result["methods"] == {
        "ci95": None,
        "p": None,
        "detectable": None,
        "no_interval": ONE_SEED,
        "n_encoders": [4, 1],
    }
    # Two heads on each of two encoders are two seeds.
    noise = [-2, -2, 3, 3]
    sets = [
        run_set("a", [exact(0)] * 4),
        run_set("b", [exact(e) for e in noise]),
    ]
    sets[1].encoders = ["1", "1", "2", "2"]
    values = sets[1].by_encoder(np.array(noise))
    assert values.tolist() == [-2, 3]
    (result,) = compare(sets)["differences"]
    assert result["methods"]["n_encoders"] == [4, 2]


@pytest.mark.slow
@pytest.mark.parametrize("n_seeds", [3, 5])
def test_equal_methods_are_seldom_called_different(n_seeds):
    """Pre-training seeds whose AUCs spread by 0.025: the test of methods says
    so in at most 5 %, the one of these models in 15 % and more."""
    rng = np.random.default_rng(0)
    called = {"methods": 0, "models": 0}
    n_studies = 150
    for _ in range(n_studies):
        aucs = 0.85 + 0.025 * rng.normal(size=2 * n_seeds)
        runs = models(rng, 60, 120, np.clip(aucs, 0.6, 0.98), most=2)
        sets = [run_set("a", runs[:n_seeds]), run_set("b", runs[n_seeds:])]
        (result,) = compare(sets, n_draws=100)["differences"]
        called["models"] += result["p"] < 0.05
        called["methods"] += result["methods"]["p"] < 0.05
    # Three standard errors of 5 % in so many studies.
    assert called["methods"] / n_studies <= 0.05 + 3 * 0.018
    assert called["models"] / n_studies >= 0.15
