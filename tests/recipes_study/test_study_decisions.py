"""Decisions of a study's best method, tests counted once, and the choice of the
method nested where it is made: issue 29, section 4."""

import csv
import json

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
from recipes.study.report import decisions
from recipes.study.report.doubtful import best_method
from recipes.study.report.page import make_report
from recipes.study.report.results import Results

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
    assert 'id="figure-decisions"' in page
    assert (out / "figures/decisions.svg").is_file()
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
