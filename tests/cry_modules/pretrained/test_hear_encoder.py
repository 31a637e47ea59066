"""Encoders behind HEAR's interface: embeddings, training, a model to share, and
one line for whatever is wrong with somebody else's module."""

import json
import re
import sys
import types

import numpy as np
import pytest
import torch

from cry_modules.architectures import architecture_of, make_encoder
from cry_modules.checkpoints.encoders import EncoderSource
from cry_modules.embeddings import Embedder, make_features
from cry_modules.export.folder import export
from cry_modules.front_ends import make_front_end
from cry_modules.inference.classifier import CryClassifier
from cry_modules.metrics.predictions import Predictions
from cry_modules.pretrained import hear, named
from cry_modules.pretrained.named import name_pretrained
from cry_modules.views.chunks_and_masks import SpecAugment
from data_prep.audio.read import resampled
from data_prep.files.errors import InputError
from recipes.classification import train_cls
from tests.cry_modules.pretrained.test_speech_embedding import options
from tests.toys import hear_module

TOY = "hear:tests.toys.hear_module"
LINEAR = "hparams/neuro_linear.yaml"


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch):
    """Each test is a process in which the user has named nothing."""
    monkeypatch.setattr(named, "_NAMED", {})
    hear.load.cache_clear()


def module_with(monkeypatch, **changes):
    """Name of a module like the toy with other functions or attributes."""
    names = (*hear.FUNCTIONS, "Levels")
    parts = {name: getattr(hear_module, name) for name in names}
    module = types.ModuleType("stranger")
    attributes = {k: v for k, v in changes.items() if k not in parts}
    if attributes:
        model = type("Levels", (hear_module.Levels,), attributes)
        parts["load_model"] = lambda path="": model()
    for name, part in {**parts, **changes}.items():
        if part is not None:
            setattr(module, name, part)
    monkeypatch.setitem(sys.modules, "stranger", module)
    return "hear:stranger"


def build(source):
    name_pretrained(source)
    return make_encoder(architecture_of(source), 0, 0)


def test_embeddings_are_those_of_the_module_whatever_the_batch():
    torch.manual_seed(0)
    sigs = [0.1 * torch.randn(n) for n in (16000, 40000, 23456, 4000)]
    wavs = torch.nn.utils.rnn.pad_sequence(sigs, batch_first=True)
    lengths = torch.tensor([len(sig) / wavs.shape[1] for sig in sigs])
    front_end = make_front_end("waveform")
    features = make_features(front_end, SpecAugment(0, 0), False)
    embedder = Embedder(features, build(TOY), "embedding+timestamps").eval()
    model = hear_module.load_model()
    for sig, emb in zip(sigs, embedder(wavs, lengths)):
        # The first length tried that holds a frame of the module, repeated.
        shortest = 8000 if len(sig) < 8000 else len(sig)
        sig = sig.repeat(shortest // len(sig))
        audio = resampled(sig, 16000, 22050)[None]
        scene = hear_module.get_scene_embeddings(audio, model)[0]
        frames, _ = hear_module.get_timestamp_embeddings(audio, model)
        expected = [scene, frames[0].mean(0), frames[0].std(0, correction=0)]
        torch.testing.assert_close(emb, torch.cat(expected))


@pytest.mark.parametrize("readout", ["embedding", "timestamps"])
def test_trained_resumed_exported_and_loaded_by_name(
    clinic, tmp_path, capsys, readout
):
    weights, run, out = (tmp_path / n for n in ("w.pt", "run", "model"))
    torch.save({"scale": torch.tensor([1.0, -1.0, 0.5, 2.0])}, weights)
    source = f"{TOY}:{weights}"
    more = [f"--encoder_source={source}", f"--readout={readout}"]
    command = [LINEAR, *options(clinic, run, *more)]
    train_cls.main(command)
    train_cls.main(command)  # resumes, and is done
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["encoder_source"] == f"{TOY}:w.pt"

    description = export(str(run), str(out))
    assert description["origin"] == [TOY]
    assert str(tmp_path) not in (out / "model.json").read_text()
    assert (
        f"`--encoder_source {TOY}[:WEIGHTS]`" in (out / "README.md").read_text()
    )
    with pytest.raises(InputError, match="hear_module; leave it out"):
        export(str(run), str(tmp_path / "onnx"), onnx=True)

    # Another process: a stranger's model names a module of a stranger.
    named._NAMED.clear()
    for path in (out, run):
        with pytest.raises(InputError, match="only imported when you name it"):
            CryClassifier.from_hparams(source=str(path))
    name_pretrained(TOY)
    with pytest.raises(InputError, match="other weights of hear"):
        CryClassifier.from_hparams(source=str(out))
    name_pretrained(source)
    classifier = CryClassifier.from_hparams(source=str(out))
    expected = Predictions.read(run / "predictions_test.csv")
    paths = [str(clinic / f"{name}.wav") for name in expected.ids]
    scores = [score.scores for score in classifier.classify_files(paths)]
    np.testing.assert_allclose(scores, expected.scores, atol=1e-5)


def nan(audio, model):
    return torch.full((1, 4), float("nan"))


def fails(*args):
    raise RuntimeError("kernel size can't be greater\nthan input")


def random(audio, model):
    return torch.rand(1, 4)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"get_scene_embeddings": None}, "no function get_scene_embeddings"),
        ({"load_model": fails}, r"load_model fails \(RuntimeError: kernel"),
        ({"get_scene_embeddings": nan}, r"NaN or infinity \(4 of 4"),
        (
            {"get_scene_embeddings": lambda a, m: torch.ones(4)},
            r"returns \[4\] for one sound, and its model says \[1, 4\]",
        ),
        (
            {"get_scene_embeddings": lambda a, m: np.ones((1, 4))},
            "returns ndarray, not a tensor",
        ),
        ({"get_scene_embeddings": random}, "differently each time"),
        (
            {"get_timestamp_embeddings": lambda a, m: torch.ones(1, 2, 3)},
            "returns Tensor, and HEAR's returns embeddings and timestamps",
        ),
        (
            {"get_timestamp_embeddings": fails},
            r"embeddings of 10.00 s fails \(RuntimeError: kernel",
        ),
        ({"sample_rate": 0}, "sample_rate of its model is 0"),
        ({"sample_rate": "16k"}, "sample_rate of its model is '16k'"),
        ({"scene_embedding_size": None}, "scene_embedding_size .* None"),
    ],
)
def test_a_wrong_module_is_refused_in_one_line(monkeypatch, changes, words):
    source = module_with(monkeypatch, **changes)
    with pytest.raises(InputError, match=words) as error:
        build(source)
    assert str(error.value).startswith("hear:stranger")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "source, words",
    [
        ("hear", "does not name a module"),
        ("hear:", "does not name a module"),
        ("hear:my/module.py", "does not name a module"),
        ("hear:no_such_module", r"import fails \(ModuleNotFoundError"),
        (f"{TOY}:/no/weights.pt", "the weights /no/weights.pt do not exist"),
        (f"{TOY}:{__file__}", "load_model fails"),
        (f"{TOY}:", "ends in a colon; write its weights there, or leave"),
        ("hear:os", "no function load_model"),
    ],
)
def test_a_wrong_source_ends_before_anything_is_written(
    tmp_path, capsys, source, words
):
    run = tmp_path / "run"
    with pytest.raises(SystemExit):
        train_cls.main(
            [LINEAR, *options("x", run, f"--encoder_source={source}")]
        )
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert re.search(words, error)
    assert not run.exists()


def test_a_run_of_a_module_is_not_its_source(clinic, tmp_path, capsys):
    """The settings of a run, which a stranger may have sent, import nothing."""
    run, other = tmp_path / "run", tmp_path / "other"
    train_cls.main([LINEAR, *options(clinic, run, f"--encoder_source={TOY}")])
    named._NAMED.clear()
    for command in (
        [LINEAR, *options(clinic, other, f"--encoder_source={run}")],
        [str(run / "hyperparams.yaml")],
    ):
        with pytest.raises(SystemExit):
            train_cls.main(command)
        assert "only imported when you name it" in capsys.readouterr().err
    train_cls.main([str(run / "hyperparams.yaml"), f"--encoder_source={TOY}"])
    assert EncoderSource(TOY).name == TOY
