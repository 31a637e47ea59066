"""Decisions of a run: net benefit, other prevalences and abstention; and a
row for each left-out site."""

import json

import numpy as np
import pytest

from cry_modules.evaluation import report
from cry_modules.evaluation.clinical import abstention_lines, decision_lines
from cry_modules.evaluation.outcome import (
    EvaluationOptions,
    Outcome,
    evaluate_outcomes,
)
from tests.cry_modules.metrics.made import random_predictions


@pytest.mark.parametrize("column", ["site", "fold"])
def test_each_left_out_site_is_a_row_with_its_interval(column):
    each = [
        {
            "fold": name, "n": 40, "n_patients": 20, "auc": auc,
            "auc_ci95": ci95, "average_precision": auc,
            "average_precision_ci95": ci95, "no_interval": why,
        }
        for name, auc, ci95, why in (
            ("north", 0.8, [0.7, 0.9], None),
            ("south", None, None, "all are healthy"),
        )
    ]  # fmt: skip
    metrics = {"by_fold": {"each": each, "n_patients_of_several": 2}}
    metrics["fold_column"] = column
    assert report.fold_rows(metrics) == [
        f"left-out {column} north: AUC 0.800 (0.700 to 0.900), 40 recordings "
        "of 20 patients",
        f"left-out {column} south: AUC not defined, 40 recordings of 20 "
        "patients (all are healthy)",
    ]
    assert report.fold_rows({}) == []


def test_a_run_says_what_its_decisions_are_worth():
    """Of two classes net benefit, prevalences and abstention, of three the
    last."""
    for n_classes in (2, 3):
        test = random_predictions(200, 60, n_classes)
        outcome = Outcome(test, test, np.full(n_classes, 1 / n_classes))
        options = EvaluationOptions(n_draws=100)
        entry = evaluate_outcomes([outcome], {}, options)["clinical"]
        assert json.loads(json.dumps(entry, allow_nan=False)) == entry
        shares = [row["prevalence"] for row in entry.get("prevalences", [])]
        assert shares == [0.01, 0.05, 0.1][: 3 * (n_classes == 2)]
        lines = decision_lines(entry)
        assert bool(lines) == (n_classes == 2)
        assert "| 90 % |" in "\n".join(abstention_lines(entry))
    rows = clinical_of_folds()["prevalences"]
    assert rows[0]["ppv"] is not None and rows[0]["threshold"] is None


def clinical_of_folds():
    """Two folds, each with its own threshold."""
    parts = [random_predictions(100, 40, seed=k) for k in range(2)]
    for k, p in enumerate(parts):
        p.ids = [f"{k}-{ID}" for ID in p.ids]
    outcomes = [Outcome(p, p, np.array([0.5, 0.5])) for p in parts]
    options = EvaluationOptions(n_draws=100)
    return evaluate_outcomes(outcomes, {}, options)["clinical"]


def test_the_number_of_comparisons_with_controls_is_said():
    ps = {"logmel_logistic": 0.02, "logmel_svm": 0.03}
    controls = {
        name: {"recording": {"difference": {"p": p}}} for name, p in ps.items()
    }
    _, text = report._number_of_tests(controls)
    assert "p of these 2 comparisons" in text
    assert text.count("p = 0.040") == 2  # Holm
    assert report._number_of_tests({"a": controls["logmel_svm"]}) == []
