"""An encoder whose own pooling keeps frequency, through every step."""

import json
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from cry_modules.architectures import (
    ARCHITECTURES,
    Architecture,
    include,
    make_encoder,
)
from cry_modules.checkpoints.description import Blueprint
from cry_modules.checkpoints.encoders import EncoderSource
from cry_modules.checkpoints.saved_model import load_model
from cry_modules.export.folder import export
from cry_modules.export.run_onnx import OnnxClassifier
from cry_modules.inference.classifier import CryClassifier
from cry_modules.metrics.predictions import Predictions
from data_prep.files.errors import InputError
from recipes.adaptation import train_adapt
from recipes.classification import train_cls
from recipes.simclr import train_simclr

TINY = ["--width=1", "--batch_size=4", "--number_of_epochs=1", "--chunk_s=0.5"]
TINY += ["--device=cpu", "--noprogressbar"]
FREQUENCY = "--pooling=frequency"


@pytest.mark.slow
def test_pooling_reaches_every_step(corpus, clinic, tmp_path):
    pretrained, adapted, run, out = (
        tmp_path / name for name in ("simclr", "adapted", "cls", "out")
    )
    options = [f"--data_folder={corpus / 'vggsound'}", "--warmup_epochs=0"]
    options += [f"--output_folder={pretrained}", FREQUENCY]
    train_simclr.main(["hparams/small_simclr.yaml", *TINY, *options])
    loss = json.loads((pretrained / "history.json").read_text())[-1]
    assert np.isfinite(loss["train_loss"])
    encoder = load_model(str(pretrained)).embedder.encoder
    assert encoder.pooling == "frequency" and encoder.emb_dim == 64

    options = [f"--cry_folder={corpus / 'cry'}", "--warmup_epochs=0"]
    options += [f"--encoder_source={pretrained}", "--valid_share=0.2"]
    options += [f"--output_folder={adapted}", FREQUENCY]
    train_adapt.main(["hparams/small_adapt.yaml", *TINY, *options])

    options = [f"--data_folder={clinic}", f"--encoder_source={adapted}"]
    options += ["--controls=False", "--figures=False", "--nuisance=null"]
    options += [f"--output_folder={run}", "--bootstrap_draws=100", FREQUENCY]
    train_cls.main(["hparams/neuro_linear.yaml", *TINY, *options])
    expected = Predictions.read(run / "predictions_test.csv")
    paths = [str(clinic / f"{name}.wav") for name in expected.ids]
    has_onnx = find_spec("onnx") and find_spec("onnxruntime")
    export(str(run), str(out), onnx=bool(has_onnx))
    settings = json.loads((out / "model.json").read_text())
    assert settings["model"]["pooling"] == "frequency"
    assert settings["emb_dim"] == 64
    assert "pooling\n`frequency`" in (out / "README.md").read_text()
    for source, options in ((run, {}), (out, {}), (out, {"trust": True})):
        classifier = CryClassifier.from_hparams(source=str(source), **options)
        scores = [s.scores for s in classifier.classify_files(paths)]
        np.testing.assert_allclose(scores, expected.scores, atol=1e-5)
    if has_onnx:
        onnx = OnnxClassifier(str(out / "model.onnx"))
        scores = [onnx.score(path).scores for path in paths]
        np.testing.assert_allclose(scores, expected.scores, atol=1e-4)


@pytest.mark.parametrize("kept", ["mean", "frequency"])
def test_another_pooling_is_refused_in_one_line(kept, tmp_path):
    other = "frequency" if kept == "mean" else "mean"
    path = tmp_path / "encoder.ckpt"
    torch.save(make_encoder("cnn14", 80, 1, other).state_dict(), path)
    words = f"it has the pooling {other}: pass --pooling {other}$"
    with pytest.raises(InputError, match=f"^--encoder_source .*; {words}"):
        EncoderSource(path).load(make_encoder("cnn14", 80, 1, kept), "fbank")
    EncoderSource(path).load(make_encoder("cnn14", 80, 1, other), "fbank")


def test_an_architecture_without_a_choice_refuses_it(monkeypatch):
    toy = Architecture(
        "tests.toys.encoder.ToyEncoder",
        marker="layer.weight",
        yaml="tests/toys/encoder.yaml",
    )
    monkeypatch.setitem(ARCHITECTURES, "toy", toy)
    with pytest.raises(InputError, match="^pooling is frequency, and the arch"):
        include("toy", pooling="frequency")
    with pytest.raises(InputError, match="pass --pooling mean$"):
        make_encoder("toy", 80, 1, "frequency")
    assert make_encoder("toy", 80, 1).emb_dim == 4


def test_a_description_without_pooling_is_the_mean():
    assert Blueprint(width=1).pooling == "mean"
    with pytest.raises(ValueError, match="pooling is 'x'; one of mean, freq"):
        Blueprint(width=1, pooling="x")
