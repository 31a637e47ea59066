"""linear+BN and end to end on a block's features: train, resume, use."""

import shutil
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from cry_modules.checkpoints.checkpointer import best_checkpoint
from cry_modules.export.folder import export
from cry_modules.export.run_onnx import OnnxClassifier
from cry_modules.inference.classifier import CryClassifier
from cry_modules.metrics.predictions import Predictions
from cry_modules.metrics.saved import read_metrics
from recipes.classification import train_cls
from tests.runs import checkpoints, history

TINY = ["--width=1", "--batch_size=4", "--number_of_epochs=2", "--chunk_s=0.5"]
TINY += ["--device=cpu", "--noprogressbar", "--bootstrap_draws=100"]
TINY += ["--controls=False", "--figures=False", "--nuisance=null"]
BANDS = {"block2": 20, "block3": 10}
CHANNELS = {"block2": 2, "block3": 4}


@pytest.fixture
def train(clinic, tmp_path):
    def train(mode, name, *options):
        folder = tmp_path / name
        arguments = [f"--data_folder={clinic}", f"--output_folder={folder}"]
        yaml = f"hparams/neuro_{mode}.yaml"
        train_cls.main([yaml, *TINY, *arguments, *options])
        return folder

    return train


def check_scores(run, out, clinic):
    """Run, exported model and ONNX give the scores of the run."""
    expected = Predictions.read(run / "predictions_test.csv")
    paths = [str(clinic / f"{name}.wav") for name in expected.ids]
    has_onnx = bool(find_spec("onnx") and find_spec("onnxruntime"))
    export(str(run), str(out), onnx=has_onnx)
    for source in (run, out):
        classifier = CryClassifier.from_hparams(source=str(source))
        scores = [s.scores for s in classifier.classify_files(paths)]
        np.testing.assert_allclose(scores, expected.scores, atol=1e-5)
    if has_onnx:
        model = OnnxClassifier(str(out / "model.onnx"))
        scores = [model.score(path).scores for path in paths]
        np.testing.assert_allclose(scores, expected.scores, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "mode, readout",
    [
        ("linear_bn", "block3"),
        ("linear_bn", "block2+block3+logmel"),
        ("end_to_end", "block3"),
        ("end_to_end", "block2+block3"),
    ],
)
def test_a_mode_on_block_features(mode, readout, train, clinic, tmp_path):
    options = [f"--readout={readout}", "--ckpt_interval_steps=1"]
    run = train(mode, "run", *options)
    metrics = read_metrics(run, ("n_trainable", "controls"))
    assert metrics["controls"] == {}
    parts = readout.split("+")
    dims = sum(2 * BANDS[p] * CHANNELS[p] for p in parts if p in BANDS)
    dims += 160 * ("logmel" in parts)
    norms = 2 * 80 + sum(2 * 2 * c for c in (1, 2, 4))
    weights = sum(9 * (a * b + b * b) for a, b in ((1, 1), (1, 2), (2, 4)))
    encoder = norms + weights * (mode == "end_to_end")
    assert metrics["n_trainable"] == encoder + 2 * dims + 2 * dims + 2
    # The rest of the encoder stays as it was drawn.
    state = torch.load(best_checkpoint(run / "save") / "encoder.ckpt")
    counts = [
        int(state[f"conv_block{i}.norm2.num_batches_tracked"])
        for i in range(1, 7)
    ]
    assert counts[:3] == [counts[0]] * 3 and counts[0] > 0
    assert counts[3:] == [0, 0, 0]
    check_scores(run, tmp_path / "out", clinic)

    # Interrupted: only its first checkpoint is there.
    shutil.copytree(run, tmp_path / "whole")
    for checkpoint in checkpoints(run)[1:]:
        shutil.rmtree(checkpoint)
    train(mode, "run", *options)
    assert history(run) == history(tmp_path / "whole")
    for name in ("encoder", "head"):
        a, b = (
            torch.load(checkpoints(folder)[-1] / f"{name}.ckpt")
            for folder in (run, tmp_path / "whole")
        )
        assert all(torch.equal(a[key], b[key]) for key in a | b)


@pytest.mark.slow
def test_folds_on_block_features(train):
    run = train("linear_bn", "run", "--readout=block3", "--folds=all")
    metrics = read_metrics(run, ("folds", "test"))
    assert len(metrics["folds"]) == 3
    assert metrics["test"]["recording"]["n"] == 36
