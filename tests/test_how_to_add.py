"""Each addition that README describes is one file or one row; everything else
follows from it."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from cry_modules.evaluation.outcome import (
    EvaluationOptions,
    Outcome,
    evaluate_outcomes,
)
from cry_modules.evaluation.report import page
from cry_modules.export.facts import figures_of_test
from cry_modules.metrics.__main__ import main as compare_runs
from cry_modules.metrics.figures import METRICS
from cry_modules.metrics.predictions import Predictions
from tests.toys.metric import ROW


def noisy_predictions(n=60, seed=0):
    """Two recordings of each patient, half of them positive."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) // 2 % 2
    positive = 1 / (1 + np.exp(1 - 2 * labels - rng.normal(size=n)))
    return Predictions(
        [f"r{i}" for i in range(n)],
        [f"p{i // 2}" for i in range(n)],
        labels,
        np.stack([1 - positive, positive], axis=1),
        ["healthy", "injury"],
    )


def test_a_metric_is_one_row(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(METRICS, "f1", ROW)
    p, even = noisy_predictions(), np.array([0.5, 0.5])
    outcome = Outcome(noisy_predictions(seed=1), p, even)
    site = {ID: "ab"[i % 4 // 2 != i // 4 % 2] for i, ID in enumerate(p.ids)}
    metrics = evaluate_outcomes(
        [outcome],
        {"logmel_svm": [outcome]},
        EvaluationOptions(n_draws=100, columns={"site": site}),
    )
    block = metrics["test"]["recording"]
    expected = f1_score(p.labels, p.scores.argmax(axis=1))
    assert block["f1"] == pytest.approx(expected)
    low, high = block["f1_ci95"]
    assert low < block["f1"] < high
    assert "f1_ci95" in metrics["controls"]["logmel_svm"]["patient"]
    assert "f1_ci95" in metrics["subgroups"]["site"]["groups"]["a"]

    words = f"{block['f1']:.3f} ({low:.3f} to {high:.3f})"
    metrics.update(label_column="neuro", finetune_mode="linear", corpus="toy")
    metrics.update(encoder_source=None, classes=p.classes)
    report = page({**metrics, "patient_score": "mean_log_odds"})
    assert f"| F1 score | {words} |" in report  # as in the model card
    assert " | accuracy | F1 score | " in report  # the table of controls
    card = figures_of_test(metrics)["recording"]
    assert card["f1"] == block["f1"] and card["f1_ci95"] == [low, high]

    p.write(tmp_path / "a.csv")
    compare_runs([str(tmp_path / "a.csv"), "--metric=f1", "--n_draws=100"])
    printed = capsys.readouterr().out
    assert "F1 score by recording: 60 recordings" in printed
    assert f"| {block['f1']:.3f} |" in printed
