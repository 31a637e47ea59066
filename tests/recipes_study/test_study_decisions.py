"""Decisions of a study's best method, tests counted once, and the choice of the
method nested where it is made."""

import csv
import json
import re
from copy import copy
from dataclasses import replace

import numpy as np
import pytest
import studies
import yaml

from cry_modules.evaluation.outcome import (
    EvaluationOptions,
    Outcome,
    evaluate_outcomes,
)
from cry_modules.metrics.net_benefit import decision_curve
from cry_modules.metrics.predictions import Predictions
from cry_modules.metrics.words import p_in_words
from recipes.study.report import decisions, nested
from recipes.study.report.doubtful import best_method
from recipes.study.report.page import make_report
from recipes.study.report.results import Results
from recipes.study.stages import method_in_words

CLASSES = ["Bath", "Vaccination"]
NAMES = ["random_calibrated", "simclr"]
MODES = ["linear", "linear_blocks"]
FOLDS = ["SECRET-north", "SECRET-south", "SECRET-west"]
N_DRAWS = 50


def recordings(n_patients):
    """ID, patient, label and fold: two recordings of each patient."""
    return [
        (f"r{i}_{j}", f"SECRET-{i}", i // 3 % 2, FOLDS[i % 3])
        for i in range(n_patients)
        for j in range(2)
    ]


def write_database(folder, rows):
    folder.mkdir()
    with (folder / "recordings.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        head = "recording_id", "patient_id", "path", "Condition", "fold"
        writer.writerow(head)
        for ID, patient, k, fold in rows:
            writer.writerow([ID, patient, f"{ID}.wav", CLASSES[k], fold])
            (folder / f"{ID}.wav").touch()  # not read


def predicted(rows, rng, signal, prefix=""):
    labels = np.array([row[2] for row in rows])
    p = 1 / (1 + np.exp(-rng.normal(signal * (2 * labels - 1), 1.5)))
    return Predictions(
        [prefix + row[0] for row in rows], [prefix + row[1] for row in rows],
        labels, np.stack([1 - p, p], axis=1), CLASSES,
    )  # fmt: skip


def write_run(run, rows, folds):
    """Write what a run writes, of models whose validation is of others."""
    rng = np.random.default_rng([run.facts["seed"], len(run.name)])
    signal = 0.4 + 0.3 * NAMES.index(run.facts["encoder"])
    parts = [[r for r in rows if r[3] == fold] for fold in folds] or [rows]
    prevalence = np.array([0.5, 0.5])
    outcomes = [
        Outcome(
            predicted(part, rng, signal, "v"), predicted(part, rng, signal),
            prevalence, fold,
        )
        for part, fold in zip(parts, folds or [""])
    ]  # fmt: skip
    run.folder.mkdir(parents=True)
    metrics = {
        "task": run.facts["task"], "seed": run.facts["seed"],
        "balance": "loss", "n_trainable": 2, "n_parameters": 3,
        "controls": {}, "classes": CLASSES, "prevalence": [0.5, 0.5],
        "encoder_source": f"{run.facts['encoder']}/{run.facts['seed']}",
        **evaluate_outcomes(outcomes, {}, EvaluationOptions(n_draws=N_DRAWS)),
    }  # fmt: skip
    tests = [outcome.test for outcome in outcomes]
    whole = tests[0]
    if folds:
        whole = Predictions.joined(tests, folds)
        metrics["folds"] = [f"fold_{i}" for i in range(len(folds))]
        for block, fold in zip(metrics["by_fold"]["each"], folds):
            block["fold"] = fold
        for name, part in zip(metrics["folds"], tests):
            (run.folder / name).mkdir()
            (run.folder / name / "metrics.json").write_text("{}")
            part.write(run.folder / name / "predictions_test.csv")
    whole.write(run.folder / "predictions_test.csv")
    (run.folder / "metrics.json").write_text(json.dumps(metrics))


def make_study(folder, folds, n_patients=48):
    rows = recordings(n_patients)
    write_database(folder / "cries", rows)
    values = studies.real(
        folder, folder / "cries", folds=folds, nuisance=None, encoders=NAMES,
        modes=MODES, seeds=[1, 2], pretraining_seeds=[1, 2],
        tasks={"pain": {"label_column": "Condition", "classes": CLASSES}},
    )  # fmt: skip
    plan = studies.plan_of(values)
    (folder / "out").mkdir()
    (folder / "out/study.yaml").write_text(yaml.safe_dump(values))
    for run in plan.of_rule("train_cls"):
        write_run(run, rows, FOLDS if folds else [])
    return plan


@pytest.fixture(scope="module")
def by_place(tmp_path_factory):
    """A study whose folds are a column of places, and its folder."""
    folder = tmp_path_factory.mktemp("by_place")
    plan = make_study(folder, True)
    with studies.fewer_draws():
        make_report(folder / "out")
        yield plan, folder / "out", Results(plan)


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    """A study without folds."""
    folder = tmp_path_factory.mktemp("split")
    plan = make_study(folder, False)
    with studies.fewer_draws():
        make_report(folder / "out")
        yield plan, folder / "out", Results(plan)


def numbers_of(out):
    return json.loads((out / "results.json").read_text())


def test_decisions_are_those_of_the_first_seed_with_all_seeds_ends(split):
    plan, out, results = split
    entry = numbers_of(out)["decisions"]
    runs = plan.classifiers("pain", *best_method(results, "pain"))
    files = [run.folder / "predictions_test.csv" for run in runs]
    thresholds = [row["threshold"] for row in entry["net_benefit"]]
    curves = [
        decision_curve(Predictions.read(file), 0, N_DRAWS, thresholds)
        for file in files
    ]
    assert 0.5 in thresholds and entry["seed"] == 1
    for i, row in enumerate(entry["net_benefit"]):
        assert row["model"] == pytest.approx(curves[0]["model"][i])
        assert row["gain_ci95"] == pytest.approx(curves[0]["gain_ci95"][i])
        gains = [curve["gain"][i] for curve in curves]
        assert row["ends"] == pytest.approx([min(gains), max(gains)])
    page = (out / "report.html").read_text()
    for name in ("net-benefit", "abstention", "prevalences"):
        assert f'<table id="{name}">' in page
    for name in ("decisions_curve", "decisions_abstention"):
        assert f'id="figure-{name}"' in page
        assert (out / f"figures/{name}.svg").is_file()
    assert entry["variance"].startswith("Variance of the AUC. SimCLR")
    assert {*entry["components"]} == {"patients", "seeds", "folds"}
    assert entry["components"]["folds"] is None
    assert "no folds by a column" in " ".join(entry["missing"])
    text = (out / "paper.md").read_text()
    for sentence in entry["sentences"]:
        assert sentence in text


def test_each_left_out_place_is_a_row_without_its_name(by_place):
    plan, out, results = by_place
    entry = numbers_of(out)["decisions"]
    method = best_method(results, "pain")
    by_seed = [
        [fold["auc"] for fold in metrics["by_fold"]["each"]]
        for metrics in results.of("pain", *method)
    ]
    rows = entry["folds"]
    assert [row["auc"] for row in rows] == by_seed[0]
    assert [row["ends"] for row in rows] == [
        [min(both), max(both)] for both in zip(*by_seed)
    ]
    assert all(row["auc_ci95"] for row in rows)
    assert entry["components"]["folds"] is not None
    assert "folds" in entry["variance"]
    page = (out / "report.html").read_text()
    assert '<table id="left-out">' in page and "SECRET" not in page
    assert "SECRET" not in (out / "results.json").read_text()
    assert not entry["missing"]


@pytest.mark.parametrize("folds, has_rows", [("site", True), (3, False)])
def test_rows_are_of_folds_that_a_column_names(by_place, folds, has_rows):
    results = copy(by_place[2])
    results.settings = replace(results.settings, folds=folds)
    entry = decisions.decisions(results)
    assert (entry["folds"] is not None) == has_rows
    assert ("were made of patients" in str(entry["missing"])) != has_rows


def test_what_a_study_cannot_have_is_said(tmp_path):
    """Three classes, few patients, runs that are older than these figures."""
    values = studies.whole(tmp_path, seeds=[1])
    values["tasks"] = {"trigger": values["tasks"]["trigger"]}
    plan = studies.plan_of(values)
    studies.pretend(plan, 4)
    with studies.fewer_draws():
        entry = decisions.decisions(Results(plan))
    text = " ".join(entry["missing"])
    assert "its runs are older" in text
    assert "Intervals over patients: none" in text
    assert "too few patients" in text
    for run in plan.of_rule("train_cls"):
        path = run.folder / "metrics.json"
        metrics = json.loads(path.read_text())
        row = {"coverage": 1.0, "accuracy": 0.5, "accuracy_ci95": None,
               "auc": None, "auc_ci95": None, "kept": {}}  # fmt: skip
        metrics["clinical"] = {"abstention": [row]}
        path.write_text(json.dumps(metrics))
    with studies.fewer_draws():
        entry = decisions.decisions(Results(plan))
    assert entry["abstention"] and not entry["net_benefit"]
    text = " ".join(entry["missing"])
    assert "for two classes; trigger has 3" in text and "older" not in text


def auc_of(p):
    """Share of pairs in the right order, slowly."""
    score = p.scores[:, 1]
    pairs = [
        1.0 if high > low else 0.5 * (high == low)
        for high in score[p.labels == 1]
        for low in score[p.labels == 0]
    ]
    return np.mean(pairs)


def test_the_choice_of_the_method_is_nested_in_the_folds(by_place):
    plan, out, results = by_place
    methods = [(e, m) for e in NAMES for m in MODES]
    valid = {
        method: np.mean(
            [
                [fold["valid_auc"] for fold in metrics["by_fold"]["each"]]
                for metrics in results.of("pain", *method)
            ],
            axis=0,
        )
        for method in methods
    }
    chosen = [max(methods, key=lambda m: valid[m][i]) for i in range(3)]
    assert len({*chosen}) > 1, "the test needs folds that choose differently"
    by_seed = []
    for seed in range(2):
        folds, weights = [], []
        for i, method in enumerate(chosen):
            run = plan.classifiers("pain", *method)[seed]
            file = run.folder / f"fold_{i}/predictions_test.csv"
            part = Predictions.read(file)
            folds.append(auc_of(part))
            weights.append((part.labels == 1).sum())
        by_seed.append(np.average(folds, weights=weights))
    entry = numbers_of(out)["nested"]["Condition"]
    assert entry["auc"] == pytest.approx(np.mean(by_seed))
    low, high = entry["auc_ci95"]
    assert low < entry["auc"] < high
    best = results.cell("pain", *best_method(results, "pain"))
    assert entry["highest"] == pytest.approx(best.mean)
    assert entry["n_methods"] == 4
    assert sum(each["n"] for each in entry["chosen"]) == 3
    for name in ("report.html", "paper.md"):
        assert entry["sentence"] in (out / name).read_text()
    not_said = "\n".join(numbers_of(out)["paper"]["not_said"])
    said = f"in each fold by validation AUC reaches {entry['auc']:.3f}."
    assert said in not_said


def test_without_folds_the_method_is_chosen_by_validation_auc(split):
    _, out, results = split
    valid = {
        (e, m): np.mean(
            [
                metrics["valid"]["recording"]["auc"]
                for metrics in results.of("pain", e, m)
            ]
        )
        for e in NAMES
        for m in MODES
    }
    method = max(valid, key=valid.get)
    entry = numbers_of(out)["nested"]["Condition"]
    assert entry["auc"] == results.cell("pain", *method).mean
    assert entry["n_choices"] == 1 and entry["highest"] >= entry["auc"]
    assert method_in_words(*method) in entry["sentence"]
    same = method == best_method(results, "pain")
    assert ("chooses the same of 4 methods" in entry["sentence"]) == same


def test_a_method_is_not_chosen_without_its_validation_auc(tmp_path):
    """Runs of before, and a fold whose validation has one class."""
    plan = studies.plan_of(studies.settings(tmp_path))
    studies.pretend(plan, 10)
    with studies.fewer_draws():
        assert nested.nested(Results(plan), "neuro") is None
    fold = {"fold": "a", "valid_auc": None}
    runs = [{"folds": ["fold_0"], "by_fold": {"each": [fold]}}]
    assert nested._validation(runs) is None
    fold["valid_auc"] = 0.6
    assert nested._validation(runs) == {"a": 0.6}


def test_tests_are_counted_and_their_correction_is_said_once(split):
    _, out, _ = split
    data = numbers_of(out)
    page = (out / "report.html").read_text()
    (paragraph,) = re.findall('<p id="tests">(.*?)</p>', page, re.S)
    for text in (page, (out / "paper.md").read_text()):
        assert text.count("Holm") == 1
    assert "Holm" in paragraph
    families = [len(entry["rows"]) for entry in data["pairs"]]
    families += [1, len(data["claims"])]  # a control in the other mode
    assert f"of which there are {len(families)}:" in paragraph
    numbers = re.findall(r"(\d+) (?:difference|claim)s?\b", paragraph)
    assert [int(n) for n in numbers] == families
    claim = data["claims"][0]
    assert f"{claim['claim']}: {p_in_words(claim['p_holm'])}" in paragraph
