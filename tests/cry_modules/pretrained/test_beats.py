"""BEATs: SpeechBrain's frames, whatever the padding."""

import json

import pytest
import torch

from cry_modules.pretrained.beats import BeatsEncoder, config_of
from tests.speech_models import BEATS, check_unread, published_beats


@torch.no_grad()
def test_each_layer_equals_speechbrain(tmp_path):
    path, theirs = published_beats(tmp_path)
    ours = BeatsEncoder(
        config_of(torch.load(path, weights_only=True)["cfg"])
    ).eval()
    state = torch.load(path, weights_only=True)["model"]
    del state["encoder.layers.1.self_attn.relative_attention_bias.weight"]
    ours.beats.load_state_dict(state)
    wavs = [0.1 * torch.randn(round(16000 * s)) for s in (0.5, 0.3, 0.5, 0.2)]
    feats = torch.zeros(4, 9000, 1)
    for row, wav in zip(feats, wavs):
        row[: len(wav), 0] = wav
    lengths = torch.tensor([len(wav) for wav in wavs]) / 9000
    embs = ours(feats, lengths, places=["layers", "embedding"])
    for emb, wav in zip(embs, wavs):
        (layers,) = theirs.extract_features(wav[None], torch.ones(1))
        layers = layers[:, :, 0]  # [layers, patches, dim]
        expected = layers.mean(dim=1) + layers.amax(dim=1)
        expected = torch.cat([expected.flatten(), expected[-1]])
        torch.testing.assert_close(emb, expected, rtol=1e-4, atol=1e-5)


def test_a_cry_shorter_than_a_patch_is_repeated():
    encoder = BeatsEncoder(json.dumps(BEATS)).eval()
    assert encoder.shortest == 400 + 15 * 160
    wav = 0.1 * torch.randn(1000)
    with torch.no_grad():
        one, three = (
            encoder(w[None, :, None]) for w in (wav, wav.repeat(3)[:2800])
        )
    torch.testing.assert_close(one, three)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("place", ["layer0", "layer1", "layers", "embedding"])
def test_layers_after_the_place_are_unread(place, first):
    order = {"layer_norm_first": first, "deep_norm": not first}
    encoder = BeatsEncoder(json.dumps({**BEATS, **order})).train()
    encoder(torch.randn(2, 8000, 1), places=[place]).sum().backward()
    check_unread(encoder, place)
