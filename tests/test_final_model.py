"""The final model after folds: trained on everybody, tested by nobody."""

import json

import numpy as np
import pytest
import torch

from cry_modules.checkpoints.saved_model import FINAL, load_model
from cry_modules.export.folder import export
from cry_modules.inference.classifier import CryClassifier
from cry_modules.metrics.predictions import Predictions
from cry_modules.metrics.ranking import threshold_at_specificity
from data_prep import manifest
from data_prep.files.errors import InputError
from recipes.classification.folds import (
    chosen_by_folds,
    recalibrated,
    recalibration,
)

TINY = ["--width=1", "--batch_size=4", "--device=cpu", "--noprogressbar"]
TINY += ["--bootstrap_draws=100", "--controls=False", "--figures=False"]
TINY += ["--nuisance=null", "--folds=all", "--encoder_source=random_calibrated"]


@pytest.fixture
def train(script, clinic, tmp_path):
    """Train with folds; returns the run folder and the output."""

    def train(mode, *options, status=0, folder="run"):
        arguments = [f"hparams/neuro_{mode}.yaml", f"--data_folder={clinic}"]
        folder = tmp_path / folder
        done = script(
            *["train_cls.py", *arguments, f"--output_folder={folder}"],
            *[*TINY, *options],
            status=status,
        )
        return folder, done.output

    return train


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def oof(run):
    return Predictions.read(run / "predictions_test.csv")


@pytest.mark.parametrize(
    "mode, options",
    [
        ("linear", ["--solver=lbfgs"]),
        pytest.param(
            "linear", ["--number_of_epochs=6"], marks=pytest.mark.slow
        ),
        pytest.param(
            "linear_bn", ["--number_of_epochs=3"], marks=pytest.mark.slow
        ),
    ],
)
def test_one_model_of_everybody(mode, options, train, clinic, tmp_path):
    run, output = train(mode, *options, "--final=True")
    final, folds = run / FINAL, metrics_of(run)["folds"]
    trained_on = manifest.read(final / "manifest/train.csv")
    assert len(trained_on) == 36
    assert not (final / "manifest/test.csv").exists()
    assert not (final / "predictions_test.csv").exists()
    chosen = [metrics_of(run / name)["chosen"] for name in folds]
    metrics = metrics_of(final)
    if "--solver=lbfgs" in options:
        assert metrics["final"]["c"] == sorted(c["c"] for c in chosen)[1]
    else:
        epochs = sorted(c["epoch"] for c in chosen)[1]
        history = json.loads((final / "history.json").read_text())
        assert len(history) == epochs == metrics["final"]["epochs"]
        # The learning rate's schedule is that of the folds.
        first = json.loads((run / folds[0] / "history.json").read_text())
        for row, other in zip(history, first):
            assert row["lr"] == pytest.approx(other["lr"], rel=0.2)
            assert "valid_auc" not in row
    known = metrics["training_recordings"]
    assert known["length_s"] == [0.6, 1.7] and known["level_dbfs"]
    assert known["distance"][0] < known["distance"][1]
    assert "training_recordings" not in metrics_of(run)
    pooled, of_folds = metrics["test"], metrics_of(run)["test"]
    assert pooled["recording"]["auc"] == of_folds["recording"]["auc"]
    # Each thing once, with a line a fold; the files are whole.
    assert output.count("Fold ") == len(folds) == 3
    for words in ("Prepared:", "Number of Trainable", " on 12 recordings:"):
        assert output.count(words) <= 1, words
    for folder in [*folds, FINAL]:
        assert "Number of Trainable" in (run / folder / "log.txt").read_text()
    line = output.strip().split("\n")[-1]
    assert line.startswith("final model of all 18 patients")
    assert "tested by nobody" in line and "cry_modules.export" in line
    assert "tested by nobody" in (run / "report.md").read_text()
    check_calibration(run, final, metrics)
    check_export(run, clinic, tmp_path)


def check_calibration(run, final, metrics):
    """Threshold and recalibration come from the out-of-fold scores."""
    before = np.array(metrics_of(run)["prevalence"])
    scores = oof(run).at_prevalence(before, np.array(metrics["prevalence"]))
    expected = recalibrated(scores, *recalibration(scores))
    kept = Predictions.read(final / "predictions_valid.csv")
    np.testing.assert_allclose(kept.scores, expected.scores, rtol=1e-6)
    threshold = threshold_at_specificity(kept.labels, kept.scores[:, 1])
    assert metrics["test"]["recording"]["threshold"] == threshold
    below = kept.scores[:, 1][kept.scores[:, 1] < threshold]
    model = load_model(str(run))
    assert model.threshold == pytest.approx(
        (threshold + max(below, default=0)) / 2
    )


def check_export(run, clinic, tmp_path):
    out = tmp_path / "exported"
    description = export(str(run), str(out))
    card = " ".join((out / "README.md").read_text().split())
    assert "This very model has been tested by nobody" in card
    assert "In cross-validation" in card or "in cross-validation" in card
    assert "80 % specificity on out-of-fold scores" in card
    assert set(description["corpus"]["splits"]) == {"train"}
    path = str(clinic / "cry_p0_0.wav")
    scores = []
    for source in (run, run / FINAL, out):
        model = CryClassifier.from_hparams(source=str(source))
        scores.append(model.classify_file(path)[0].exp())
    assert torch.allclose(scores[0], scores[1])
    assert torch.allclose(scores[0], scores[2], atol=1e-6)


@pytest.mark.slow
def test_a_finished_run_of_folds_gets_its_final_model_later(train, tmp_path):
    options = ["--number_of_epochs=1"]
    run, _ = train("linear", *options)
    before = (run / "predictions_test.csv").read_bytes()
    with pytest.raises(InputError, match="again with --final True"):
        export(str(run), str(tmp_path / "out"))
    assert "--final True" in (run / "report.md").read_text()
    train("linear", *options, "--final=True")
    assert (run / "predictions_test.csv").read_bytes() == before
    export(str(run), str(tmp_path / "out"))


@pytest.mark.parametrize(
    "options, words",
    [
        (["--folds=null"], "--final is True without --folds; pass --folds all"),
        (["--label_fraction=0.5"], "--label_fraction is 0.5"),
        (["--encoder_source=a_{fold}"], "--encoder_source has a {fold}"),
    ],
)
def test_what_no_final_model_can_be_made_of(options, words, script, clinic):
    names = {option.partition("=")[0] for option in options}
    tiny = [o for o in TINY if o.partition("=")[0] not in names]
    done = script(
        *["train_cls.py", "hparams/neuro_linear.yaml", "--final=True", *tiny],
        *[f"--data_folder={clinic}", "--output_folder=unused", *options],
        status=2,
    )
    assert words in done.output


def test_the_median_of_the_folds():
    epochs = [{"chosen": {"epoch": n}} for n in (3, 40, 10)]
    assert chosen_by_folds(epochs) == {"epochs": 10}
    penalties = [{"chosen": {"c": c}} for c in (1.0, 0.01, 0.1, 10.0)]
    assert chosen_by_folds(penalties) == {"c": 0.1}


def test_recalibration_is_logistic_regression():
    """Scores whose log-odds are twice too large, and one class too probable."""
    rng = np.random.default_rng(0)
    logit = rng.normal(0, 1.5, 4000)
    labels = (rng.random(4000) < 1 / (1 + np.exp(-logit))).astype(int)
    p = 1 / (1 + np.exp(-(2 * logit + 1)))
    scores = Predictions([], [], labels, np.stack([1 - p, p], 1), ["a", "b"])
    slope, shift = recalibration(scores)
    assert slope == pytest.approx(0.5, abs=0.05)
    # log-odds = slope * (2 * logit + 1) + shift[1] - shift[0]
    assert shift[1] - shift[0] == pytest.approx(-0.5, abs=0.1)
    good = recalibrated(scores, slope, shift).scores[:, 1]
    np.testing.assert_allclose(good, 1 / (1 + np.exp(-logit)), atol=0.04)


@pytest.mark.parametrize("sign", [1, -1])
def test_recalibration_of_extreme_scores_is_finite_and_keeps_the_order(sign):
    """Classes that are separated, or ranked the wrong way round."""
    p = np.linspace(0.01, 0.99, 20)[::sign]
    labels = np.repeat([0, 1], 10)
    scores = Predictions([], [], labels, np.stack([1 - p, p], 1), ["a", "b"])
    slope, shift = recalibration(scores)
    assert 0 < slope < 100 and np.isfinite(shift).all()
    new = recalibrated(scores, slope, shift).scores[:, 1]
    assert (np.diff(new) * sign > 0).all()
