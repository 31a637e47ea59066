"""README's "how to add": a toy of each kind goes through training, evaluation,
export and inference without a change to the package."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

from cry_modules.export.command import export
from cry_modules.finetune import FINETUNE_MODES
from cry_modules.front_ends import FRONT_ENDS
from cry_modules.inference import CryClassifier
from cry_modules.metrics.predictions import Predictions
from tests.toys.front_end import CubeRootMel

ROOT = Path(__file__).resolve().parents[1]
TINY = ["--width=1", "--batch_size=4", "--number_of_epochs=2", "--device=cpu"]
TINY += ["--noprogressbar"]
EVALUATION = ["--controls=False", "--figures=False", "--nuisance=null"]
EVALUATION += ["--bootstrap_draws=100"]


def run(script, yaml, *options):
    recipe = "simclr" if script == "train_simclr" else "classification"
    main = importlib.import_module(f"recipes.{recipe}.{script}").main
    main([str(yaml), *map(str, options), *TINY])


def copy_of(yaml, folder, change):
    """A yaml file of the user's: one of hparams/ with a change."""
    (folder / "models").symlink_to(ROOT / "hparams/models")
    text = (ROOT / "hparams" / yaml).read_text(encoding="utf-8")
    path = folder / "toy.yaml"
    path.write_text(change(text), encoding="utf-8")
    return path


def check_use(folder, clinic, out):
    """Export a run; its scores are those of the run's own evaluation."""
    assert 0 <= metrics_of(folder)["test"]["recording"]["auc"] <= 1
    export(str(folder), str(out), licence="cc-by-4.0")
    model = CryClassifier.from_hparams(source=str(out))
    expected = Predictions.read(folder / "predictions_test.csv")
    for name, scores in zip(expected.ids, expected.scores):
        log_posteriors, *_ = model.classify_file(str(clinic / f"{name}.wav"))
        # Batches are padded to other lengths: other orders of float32 sums.
        np.testing.assert_allclose(
            log_posteriors.exp().numpy()[0], scores, atol=1e-5
        )


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_a_self_supervised_objective(corpus, clinic, tmp_path):
    loss = "\nloss: !new:tests.toys.objective.Agreement\n"
    yaml = copy_of("small_simclr.yaml", tmp_path, lambda text: text + loss)
    encoder, classifier = tmp_path / "encoder", tmp_path / "classifier"
    run(
        *["train_simclr", yaml, "--warmup_epochs=1"],
        *[f"--data_folder={corpus}/vggsound", f"--output_folder={encoder}"],
    )
    rows = json.loads((encoder / "history.json").read_text())
    for row in rows:
        assert row["valid_cosine"] == pytest.approx(1 - row["valid_loss"])
        assert "train_cosine" in row and "valid_accuracy" not in row
    run(
        *["train_cls", "hparams/neuro_linear.yaml", *EVALUATION],
        *[f"--data_folder={clinic}", f"--output_folder={classifier}"],
        f"--encoder_source={encoder}",
    )
    assert metrics_of(classifier)["encoder_source"] == str(encoder)
    check_use(classifier, clinic, tmp_path / "model")


def test_a_fine_tuning_mode(clinic, tmp_path, monkeypatch):
    # Only the running statistics of BatchNorm move.
    monkeypatch.setitem(FINETUNE_MODES, "statistics", ("none", True))
    mode = ("finetune_mode: linear", "finetune_mode: statistics")
    yaml = copy_of("neuro_linear.yaml", tmp_path, lambda t: t.replace(*mode))
    folder = tmp_path / "run"
    run(
        *["train_cls", yaml, *EVALUATION],
        *[f"--data_folder={clinic}", f"--output_folder={folder}"],
    )
    metrics = metrics_of(folder)
    assert metrics["finetune_mode"] == "statistics"
    # The head alone: BatchNorm and Linear.
    assert metrics["n_trainable"] == 2 * 32 + 32 * 2 + 2
    check_use(folder, clinic, tmp_path / "model")


def test_a_front_end(clinic, tmp_path, monkeypatch):
    monkeypatch.setitem(FRONT_ENDS, CubeRootMel.name, CubeRootMel)
    name = ("front_end: fbank", "front_end: cube_root")
    yaml = copy_of("neuro_linear.yaml", tmp_path, lambda t: t.replace(*name))
    folder = tmp_path / "run"
    run(
        *["train_cls", yaml, *EVALUATION, "--finetune_mode=linear_bn"],
        *[f"--data_folder={clinic}", f"--output_folder={folder}"],
    )
    check_use(folder, clinic, tmp_path / "model")
    about = json.loads((tmp_path / "model/model.json").read_text())
    assert about["model"]["front_end"] == "cube_root"
