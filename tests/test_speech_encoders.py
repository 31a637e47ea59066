"""A wav2vec 2.0 through training, resume, export and inference."""

import json
import shutil

import numpy as np
import pytest
import torch

from cry_modules.checkpoints.encoders import EncoderSource
from cry_modules.checkpoints.state_dict import read_state_dict
from cry_modules.export.folder import export
from cry_modules.inference.classifier import CryClassifier
from cry_modules.metrics.predictions import Predictions
from cry_modules.training.derived_settings import with_encoder_settings
from data_prep.files.errors import InputError
from recipes.classification import train_cls
from tests.speech_models import save, tiny

TINY = {"batch_size": 4, "number_of_epochs": 2, "chunk_s": 0.5}
TINY.update(device="cpu", controls=False, figures=False, nuisance="null")
TINY["bootstrap_draws"] = 100


def train(yaml, **settings):
    options = [f"--{k}={v}" for k, v in {**TINY, **settings}.items()]
    train_cls.main([f"hparams/{yaml}.yaml", "--noprogressbar", *options])
    return json.loads((settings["output_folder"] / "metrics.json").read_text())


def check_use(run, out, clinic):
    """The exported model gives the scores of the run."""
    export(str(run), str(out))
    expected = Predictions.read(run / "predictions_test.csv")
    paths = [str(clinic / f"{name}.wav") for name in expected.ids]
    classifier = CryClassifier.from_hparams(source=str(out))
    scores = [score.scores for score in classifier.classify_files(paths)]
    np.testing.assert_allclose(scores, expected.scores, atol=1e-5)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save(tiny("wav2vec2"), tmp_path_factory.mktemp("hub") / "wav2vec2")


def test_a_wav2vec2_reaches_every_step(model, clinic, tmp_path, caplog):
    """Frozen with weighted layers, then its norms from that run, which needs
    the model's folder no more."""
    hub = shutil.copytree(model, tmp_path / "hub")
    run, out = tmp_path / "linear", tmp_path / "exported"
    metrics = train(
        "neuro_linear", data_folder=clinic, encoder_source=hub, output_folder=run, readout="layers",
    )  # fmt: skip
    # Three layers of 16 numbers: their BatchNorm, three weights, one layer.
    assert metrics["n_trainable"] == 2 * 48 + 3 + 2 * 16 + 2
    head = read_state_dict(EncoderSource(run).file().with_name("head.ckpt"))
    assert head["layer_weights"].abs().max() > 0
    ours = read_state_dict(EncoderSource(run).file())
    _, theirs, _ = EncoderSource(hub)._read(hub / "model.safetensors")
    assert ours.keys() and all(
        torch.equal(ours[k], v)
        for k, v in EncoderSource(hub)
        ._read(hub / "model.safetensors")[0]
        .items()
    )
    shutil.rmtree(hub)
    check_use(run, out, clinic)
    assert "`wav2vec2`" in (out / "README.md").read_text()
    assert "hidden_size" not in (out / "README.md").read_text()
    with pytest.raises(InputError, match="--onnx"):
        export(str(run), str(tmp_path / "onnx"), onnx=True)

    tuned = tmp_path / "tuned"
    metrics = train(
        "neuro_linear_bn", data_folder=clinic, encoder_source=run, output_folder=tuned,
    )  # fmt: skip
    # A GroupNorm of 8, a LayerNorm of 8 before and one of 16 in the
    # transformer, two of 16 in each of its two layers; the head.
    n_norms = 2 * (8 + 8 + 16 + 2 * 2 * 16)
    assert metrics["n_trainable"] == n_norms + 2 * 16 + 2 * 16 + 2
    moved = read_state_dict(EncoderSource(tuned).file())
    changed = {k for k in ours if not torch.equal(ours[k], moved[k])}
    assert changed and all("norm" in name for name in changed)
    check_use(tuned, tmp_path / "again", clinic)


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"readout": "layers", "solver": "lbfgs"}, "pass --solver adamw, or one"),
        ({"readout": "layers+logmel"}, "the head weights layers alone"),
        ({"readout": "layer3"}, "expected one or more of layer0, layer1, layer2"),
        ({"front_end": "fbank"}, "has waveform; leave out --front_end"),
        ({"architecture": "cnn14"}, "has wav2vec2; leave out --architecture"),
        ({"dropout": "0.3"}, "has its own; leave out --dropout"),
        ({"encoder_source": "null", "architecture": "wav2vec2"}, "leave it out, and pass --encoder_source"),
    ],
)  # fmt: skip
def test_options_that_do_not_fit(
    model, clinic, tmp_path, settings, words, capsys
):
    run = {"data_folder": clinic, "encoder_source": model}
    run.update(settings, output_folder=tmp_path / "run")
    with pytest.raises(SystemExit):
        train("neuro_linear", **run)
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert words in error and len(error) < 500


def test_the_read_out_of_blocks_is_replaced(model, tmp_path):
    """By the embedding, unless one is typed."""
    typed = {"encoder_source": str(model), "output_folder": str(tmp_path)}
    file = "hparams/small_linear.yaml"
    settings = with_encoder_settings(file, typed)
    assert settings["readout"] == "embedding"
    typed["readout"] = "layers"
    assert with_encoder_settings(file, typed)["readout"] == "layers"
