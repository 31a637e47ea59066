"""Study-size planning, sources of variance, and an independent check of the
bootstrap over patients."""

import json

import numpy as np
import pytest

from cry_modules.metrics import plan as planning
from cry_modules.metrics.__main__ import main
from cry_modules.metrics.compare import compare
from cry_modules.metrics.figures import rarest_class_interval
from cry_modules.metrics.paired import metric_draws
from cry_modules.metrics.plan import (
    Design,
    detectable,
    half_width,
    plan,
    smallest,
)
from cry_modules.metrics.variance import (
    components,
    fold_component,
    variance_sentence,
)
from tests.cry_modules.metrics.clustered import obuchowski
from tests.cry_modules.metrics.compared import models, run_set, write
from tests.cry_modules.metrics.made import delong, own_patients


def pair(seed=0, n_pos=40, n_neg=80, aucs=(0.75, 0.85), **options):
    return models(np.random.default_rng(seed), n_pos, n_neg, aucs, **options)


# Obuchowski's variance.


def test_obuchowski_with_one_recording_each_is_delong():
    a, b = map(own_patients, pair())
    positive = a.labels == 1
    for scores in ([a], [a, b]):
        scores = [p.scores[:, 1] for p in scores]
        value, error = obuchowski(positive, a.patients, *scores)
        expected = delong(positive, *scores)
        # Sums of products of both classes differ by a patient in each.
        assert (value, error) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("mixed", [False, True])
def test_the_patient_bootstrap_has_obuchowskis_variance(mixed):
    """Of an AUC and of a paired difference, also where patients have
    recordings of both classes."""
    a, b = pair(3, 60, 120)
    if mixed:
        labels = a.labels ^ (np.random.default_rng(1).random(len(a.ids)) < 0.2)
        for p in (a, b):
            p.labels = labels
    positive = a.labels == 1
    draws = metric_draws([a, b], "auc", 0, 4000).draws
    scores = [p.scores[:, 1] for p in (a, b)]
    for computed, which in (
        (draws[0], scores[:1]),
        (draws[1] - draws[0], scores),
    ):
        _, error = obuchowski(positive, a.patients, *which)
        assert computed.std() == pytest.approx(error, rel=0.06)
    # It is not that of recordings, of which a patient has up to six.
    _, naive = delong(positive, scores[0])
    if not mixed:
        assert draws[0].std() > 1.15 * naive


# Study size.


def test_a_study_of_the_pilots_size_has_the_pilots_interval():
    (a, _) = pair()
    design = Design([[a]], "auc", False, 3, 500)
    draws = metric_draws([a], "auc", 3, 500)
    low, high = rarest_class_interval(draws.values[0], draws.draws[0], a)
    assert half_width(design, 120) == pytest.approx((high - low) / 2)


@pytest.mark.parametrize("one", [False, True])
def test_the_planned_size_has_the_half_width(one):
    """Studies of that size from the same population: their standard error by
    Obuchowski, times 1.96, is about the half-width that was asked for."""
    (pilot, _) = pair(0, 200, 400, most=1 if one else 4)
    design = Design([[pilot]], "auc", one, 0, 1000)
    n = smallest(half_width, 0.04, design, lambda: None)
    assert half_width(design, n) == pytest.approx(0.04, rel=0.05)
    errors = []
    for seed in range(1, 6):
        (study, _) = pair(seed, n // 3, n - n // 3, most=1 if one else 4)
        scores = study.scores[:, 1]
        errors.append(obuchowski(study.labels == 1, study.patients, scores)[1])
    assert 1.96 * np.mean(errors) == pytest.approx(0.04, rel=0.15)


def test_one_recording_each_needs_more_patients_and_fewer_recordings():
    sets = [run_set(name, [p]) for name, p in zip("ab", pair())]
    result = plan(sets, 0.05, 0.05, n_draws=300)
    all_of, one = result["rows"][:2]
    assert all_of["n_patients"] < one["n_patients"]
    assert all_of["n"] > one["n"] == one["n_patients"]
    assert [row["question"] for row in result["rows"]] == (
        ["half_width"] * 2 + ["difference"] * 2
    )
    for row in result["rows"]:  # a third of the pilot's patients
        assert row["n_rarest"] == pytest.approx(row["n_patients"] / 3, abs=1)


@pytest.mark.slow
def test_the_planned_size_has_the_power():
    """Studies of two models whose AUCs differ by 0.06, at the size planned for
    that difference: about 80 % of them find it."""
    pilot = pair(5, 100, 200, (0.78, 0.84))
    design = Design([[p] for p in pilot], "auc", False, 0, 1000)
    n = smallest(detectable, 0.06, design, lambda: None)
    found, n_studies = 0, 200
    for seed in range(n_studies):
        study = pair(10 + seed, n // 3, n - n // 3, (0.78, 0.84))
        scores = [p.scores[:, 1] for p in study]
        value, error = obuchowski(
            study[0].labels == 1, study[0].patients, *scores
        )
        found += value / error > 1.96
    # The pilot's spread is an estimate, and so is this share (sd 0.03).
    assert 0.7 < found / n_studies < 0.9


def test_a_size_beyond_reach_is_said(monkeypatch):
    (a, _) = pair()
    monkeypatch.setattr(planning, "MOST_PATIENTS", 1000)
    result = plan([run_set("a", [a])], 0.002, n_draws=200)
    assert result["rows"][0]["n_patients"] is None
    assert "| above 1,000 |" in planning.report(result)


def test_the_command_plans(tmp_path, capsys):
    runs = [write(tmp_path / n, p) for n, p in zip("ab", pair())]
    out = tmp_path / "plan.json"
    main(["--plan", runs[0], "--with", runs[1], "--half_width", "0.08",
          "--n_draws", "200", "--out", str(out)])  # fmt: skip
    printed = capsys.readouterr().out
    first = json.loads(out.read_text())["rows"][0]
    assert f"| AUC within +-0.08 | {first['recordings_each']:.1f} |" in printed
    assert "| difference of 0.05 to b |" in printed
    assert printed.strip().split("\n")[-1].startswith("done: planned from 120")
    main(["--plan", runs[0], "--unit", "patient", "--n_draws", "200"])
    printed = capsys.readouterr().out
    assert "| goal | patients | of them injury |" in printed


@pytest.mark.parametrize(
    "options, words",
    [
        ("--plan a b", "b is one set too many with --plan"),
        ("--plan a --difference 0.1", "--difference needs the run that"),
        ("--plan a --half_width 5", "--half_width is 5"),
        ("--plan a --with b --difference 0", "--difference is 0"),
        ("--plan a --prevalence 0.1", "no effect with --plan"),
        ("--plan perfect", "no draw of patients changes the AUC"),
        ("--plan a --with same", "no draw of patients changes the AUC"),
        ("--plan few", "few cannot be a pilot: injury has 4 patients"),
        ("a --half_width 0.1", "pass the run to plan from with --plan RUN"),
        ("a --with b", "--with is for planning"),
        ("a --prevalence 5", "--prevalence is 5"),
        ("a --prevalence 0.1", "holds no metrics.json"),
        ("", "required: SET"),
    ],
)
def test_what_cannot_be_planned_is_refused(
    tmp_path, monkeypatch, capsys, options, words
):
    monkeypatch.chdir(tmp_path)
    a, b = pair()
    perfect = a.with_scores(np.eye(2)[a.labels])
    few = pair(0, 4, 20)[0]
    kinds = {"a": a, "b": b, "perfect": perfect, "same": a, "few": few}
    for name, p in kinds.items():
        write(tmp_path / name, p)
    with pytest.raises(SystemExit) as stop:
        main([*options.split(), *["--n_draws", "100"]])
    printed = capsys.readouterr()
    assert stop.value.code == 2 and printed.out == ""
    assert words in printed.err and printed.err.count("\n") == 1


# Sources of variance.


def test_components_of_patients_and_seeds():
    draws = np.array([[0.7, 0.8, 0.9], [0.5, 0.8, 1.1]])
    parts = components(draws, np.array([0.7, 0.8]))
    assert parts["patients"] == pytest.approx(0.2**2)
    assert parts["seeds"] == pytest.approx(0.1**2 / 2)
    assert components(draws[:1], np.array([0.7]))["seeds"] is None
    variance = {"patients": 0.0009, "seeds": 0.0003, "folds": None}
    entry = {"name": "SimCLR", "variance": variance, "n_seeds": 3}
    assert variance_sentence(entry) == (
        "SimCLR, sd of one run by source (share of its variance): patients "
        "0.030 (75 %), seeds 0.017 (25 %); standard error of the mean of 3 "
        "seeds 0.032."
    )
    entry["variance"] = {"patients": 0.0009, "seeds": None, "folds": None}
    assert variance_sentence(entry) is None


def test_folds_that_differ_by_their_patients_alone_add_nothing():
    """Over many runs the component is that of the folds' true AUCs."""
    rng = np.random.default_rng(0)
    found = []
    for spread in (0.0, 0.08):
        values = []
        for _ in range(12):
            aucs = np.clip(0.8 + spread * rng.normal(size=6), 0.55, 0.97)
            folds = [models(rng, 20, 40, (auc,))[0] for auc in aucs]
            values.append(fold_component(folds, "auc", 0, 200))
        found.append(np.mean(values))
    assert found[0] < 0.001
    assert found[1] == pytest.approx(0.08**2, rel=0.5)


def test_a_folder_of_seeds_says_how_its_variance_splits(tmp_path, capsys):
    rng = np.random.default_rng(0)
    (a, _) = pair()
    for seed in range(3):
        noise = rng.normal(0, 0.1, len(a.ids))
        scores = np.clip(a.scores[:, 1] + noise, 0, 1)
        p = a.with_scores(np.stack([1 - scores, scores], axis=1))
        write(tmp_path / "runs" / str(seed), p)
    folds = tmp_path / "folds"
    parts = [a.take(range(k, len(a.ids), 2)) for k in range(2)]
    for name, p in (("", a), ("fold_0", parts[0]), ("fold_1", parts[1])):
        write(folds / name, p)
    metrics = {"folds": ["fold_0", "fold_1"]}
    (folds / "metrics.json").write_text(json.dumps(metrics))
    main([str(tmp_path / "runs"), str(folds), "--n_draws", "200"])
    printed = capsys.readouterr().out
    assert "runs, sd of one run by source (share of its variance)" in printed
    assert "standard error of the mean of 3 seeds" in printed
    assert "folds, sd of one run by source" in printed


def test_holm_stands_beside_each_of_several_comparisons():
    a, b = pair()
    (c, d) = pair(0, aucs=(0.76, 0.78))
    sets = [run_set(name, [p]) for name, p in zip("abcd", (a, b, c, d))]
    differences = compare(sets)["differences"]
    ps = sorted(entry["p"] for entry in differences)
    smallest_p = min(differences, key=lambda entry: entry["p"])
    assert smallest_p["p_holm"] == pytest.approx(min(1, 6 * ps[0]))
    assert all(entry["p_holm"] >= entry["p"] for entry in differences)
    assert compare(sets[:2])["differences"][0]["p_holm"] == pytest.approx(
        compare(sets[:2])["differences"][0]["p"]
    )
