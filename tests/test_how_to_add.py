"""What a user adds in one place reaches training, export and inference."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from cry_modules.architectures import ARCHITECTURES, Architecture
from cry_modules.export.command import export
from cry_modules.export.run_onnx import OnnxClassifier
from cry_modules.inference.classifier import CryClassifier
from cry_modules.metrics.predictions import Predictions
from recipes.adaptation import train_adapt
from recipes.classification import train_cls
from recipes.simclr import train_simclr

TOYS = Path(__file__).with_name("toys")
TINY = {
    "width": 2,
    "batch_size": 4,
    "number_of_epochs": 1,
    "chunk_s": 0.5,
    "device": "cpu",
}


def options(**settings):
    merged = {**TINY, **settings}
    return ["--noprogressbar", *(f"--{k}={v}" for k, v in merged.items())]


def test_an_encoder_reaches_every_step(corpus, clinic, tmp_path, monkeypatch):
    """One module, one yaml file and one line of the registry."""
    monkeypatch.setitem(
        ARCHITECTURES,
        "toy",
        Architecture(
            "tests.toys.encoder.ToyEncoder",
            marker="layer.weight",
            yaml=str(TOYS / "encoder.yaml"),
        ),
    )
    pretrained, adapted, run, out = (
        tmp_path / name for name in ("simclr", "adapted", "cls", "exported")
    )
    train_simclr.main(
        ["hparams/small_simclr.yaml"]
        + options(
            architecture="toy",
            data_folder=corpus / "vggsound",
            warmup_epochs=0,
            output_folder=pretrained,
        )
    )
    train_adapt.main(
        ["hparams/small_adapt.yaml"]
        + options(
            architecture="toy",
            cry_folder=corpus / "cry",
            encoder_source=pretrained,
            adapt_layers="block",
            warmup_epochs=0,
            valid_share=0.2,
            output_folder=adapted,
        )
    )
    classify = {"controls": False, "figures": False, "nuisance": "null"}
    classify.update(bootstrap_draws=100, data_folder=clinic)
    classify.update(encoder_source=adapted, output_folder=run)
    with pytest.raises(SystemExit):  # the registry tells the weights apart
        train_cls.main(["hparams/neuro_linear.yaml", *options(**classify)])
    classify.update(architecture="toy")
    train_cls.main(["hparams/neuro_linear.yaml", *options(**classify)])
    has_onnx = find_spec("onnx") and find_spec("onnxruntime")
    export(str(run), str(out), onnx=bool(has_onnx))
    assert "`toy`" in (out / "README.md").read_text()
    expected = Predictions.read(run / "predictions_test.csv")
    paths = [str(clinic / f"{name}.wav") for name in expected.ids]
    classifier = CryClassifier.from_hparams(source=str(out))
    scores = [score.scores for score in classifier.classify_files(paths)]
    np.testing.assert_allclose(scores, expected.scores, atol=1e-5)
    if has_onnx:
        onnx = OnnxClassifier(str(out / "model.onnx"))
        scores = [onnx.score(path).scores for path in paths]
        np.testing.assert_allclose(scores, expected.scores, atol=1e-4)
