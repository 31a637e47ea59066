"""Embeddings equal those of transformers, and no padding changes them."""

import json

import numpy as np
import pytest
import torch
from speechbrain.integrations.huggingface.hubert import HuBERT
from speechbrain.integrations.huggingface.wav2vec2 import Wav2Vec2
from speechbrain.integrations.huggingface.wavlm import WavLM
from speechbrain.integrations.huggingface.whisper import Whisper

from cry_modules.pretrained import transformer
from tests.speech_models import LARGE, check_unread, preprocessor, save, tiny

ENCODERS = {
    "wav2vec2": transformer.Wav2Vec2Encoder,
    "hubert": transformer.HubertEncoder,
    "wavlm": transformer.WavLMEncoder,
    "whisper": transformer.WhisperEncoder,
}
BACKBONES = {"wav2vec2": Wav2Vec2, "hubert": HuBERT, "wavlm": WavLM}
BACKBONES["whisper"] = Whisper
OPTIONS = {"whisper": {"encoder_only": True}}
KINDS = [(kind, {}) for kind in ENCODERS]
KINDS += [(kind, LARGE) for kind in ("wav2vec2", "hubert", "wavlm")]


def encoder_of(model, do_normalize):
    """Our encoder with the weights of a model of transformers."""
    config = {**model.config.to_dict(), "do_normalize": do_normalize}
    kind = model.config.model_type
    encoder = ENCODERS[kind](json.dumps(config)).eval()
    inner = encoder.get_submodule(kind).model
    if kind == "whisper":
        inner.encoder.load_state_dict(model.encoder.state_dict())
        return encoder
    state = model.state_dict()
    state.pop("masked_spec_embed")
    inner.load_state_dict(state)
    return encoder


def plain(model, extractor, wav):
    """Mean plus maximum over the frames of a recording, for each of
    transformers' hidden states and its last one."""
    inputs = extractor(wav.numpy(), sampling_rate=16000, return_tensors="pt")
    n_frames = None
    if model.config.model_type == "whisper":
        n_frames = int(np.ceil(len(wav) / 320))
        model = model.encoder
    with torch.no_grad():
        output = model(**inputs, output_hidden_states=True)
    frames = [*output.hidden_states, output.last_hidden_state]
    frames = [frame[0, :n_frames].numpy().astype(float) for frame in frames]
    return [frame.mean(axis=0) + frame.max(axis=0) for frame in frames]


def recordings(*seconds):
    torch.manual_seed(1)
    return [0.3 * torch.randn(round(16000 * s)) + 0.1 for s in seconds]


def batch_of(wavs, more=0):
    """Padded batch ``[batch, samples, 1]`` and lengths."""
    total = max(map(len, wavs)) + more
    feats = torch.zeros(len(wavs), total, 1)
    for row, wav in zip(feats, wavs):
        row[: len(wav), 0] = wav
    return feats, torch.tensor([len(wav) for wav in wavs]) / total


@pytest.mark.parametrize("kind,changes", KINDS)
@pytest.mark.parametrize("do_normalize", [False, True])
def test_each_layer_equals_transformers(kind, changes, do_normalize):
    if kind == "whisper" and do_normalize:
        pytest.skip("it reads log-mel")
    model = tiny(kind, **changes)
    encoder = encoder_of(model, do_normalize)
    wavs = recordings(0.31, 0.9, 0.31, 0.02)
    expected = [
        plain(model, preprocessor(model, do_normalize), wav) for wav in wavs
    ]
    places = ["layer0", "layer1", "layer2", "embedding"]
    assert list(encoder.places) == [*places, "layers"]
    with torch.no_grad():
        read = encoder(*batch_of(wavs, more=999), places=places)
        layers = encoder(*batch_of(wavs), places=["layers"])
    expected = np.stack([np.concatenate(layers) for layers in expected])
    np.testing.assert_allclose(read, expected, atol=2e-5)
    np.testing.assert_allclose(layers, expected[:, :48], atol=2e-5)


@pytest.mark.parametrize("kind", ENCODERS)
def test_speechbrain_gives_the_same_frames(kind, tmp_path):
    """Its own class, loaded from the same folder, as its users do."""
    model = tiny(kind)
    folder = str(save(model, tmp_path, do_normalize=False))
    theirs = BACKBONES[kind](folder, folder, **OPTIONS.get(kind, {})).eval()
    (wav,) = recordings(1.0)
    with torch.no_grad():
        if kind == "whisper":  # its input is always 30 s
            mel = theirs.log_mel_spectrogram(wav[None])
            frames = theirs.forward_encoder(mel)
        else:
            frames = theirs(wav[None])
        ours = encoder_of(model, False)(wav[None, :, None])
    expected = frames.mean(dim=1) + frames.amax(dim=1)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ENCODERS)
def test_long_recordings_are_averaged_over_windows(kind):
    encoder = encoder_of(tiny(kind), True)
    encoder.longest = 16000
    (wav,) = recordings(2.5)
    with torch.no_grad():
        whole = encoder(*batch_of([wav, wav[:8000]], more=7))
        starts = [0, 12000, 24000]  # evenly over the recording
        windows = [encoder(wav[None, i : i + 16000, None]) for i in starts]
        short = encoder(wav[None, :8000, None])
    mean = torch.stack(windows).mean(dim=0)
    torch.testing.assert_close(
        whole, torch.cat([mean, short]), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("kind", ["wav2vec2", "wavlm"])
def test_a_recording_without_a_frame_is_repeated(kind):
    encoder = encoder_of(tiny(kind), True)
    assert encoder.shortest == 165  # ((4 - 1) * 8 + 8 - 1) * 5 + 10
    (wav,) = recordings(0.005)
    twice = wav.repeat(3)[:165]
    with torch.no_grad():
        one = encoder(*batch_of([wav], more=500))
        expected = encoder(twice[None, :, None])
    torch.testing.assert_close(one, expected)


@pytest.mark.parametrize("kind", ENCODERS)
def test_only_dropout_is_random_in_training(kind):
    """No LayerDrop, no masks; all parameters that are read get a gradient."""
    off = dict.fromkeys(("hidden_dropout", "activation_dropout"), 0.0)
    off.update(attention_dropout=0.0, feat_proj_dropout=0.0, dropout=0.0)
    encoder = encoder_of(tiny(kind, **off), True)
    feats, lengths = batch_of(recordings(0.3, 0.4))
    with torch.no_grad():
        expected = encoder(feats, lengths)
    embs = encoder.train()(feats, lengths)
    torch.testing.assert_close(embs, expected)
    embs.square().sum().backward()
    trained = [p for p in encoder.parameters() if p.requires_grad]
    assert trained and all(p.grad is not None for p in trained)


@pytest.mark.parametrize("kind,changes", KINDS)
@pytest.mark.parametrize("place", ["layer0", "layer1", "layer2", "layers"])
def test_layers_after_the_place_are_unread(kind, changes, place):
    encoder = encoder_of(tiny(kind, **changes), True).train()
    encoder(*batch_of(recordings(0.3)), places=[place]).sum().backward()
    check_unread(encoder, place)
