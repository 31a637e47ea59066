"""Tiny models of transformers' and SpeechBrain's own classes, saved as those who
publish them do."""

import json
from pathlib import Path
from typing import Optional

import torch
from speechbrain.lobes.models.beats import BEATs
from transformers import (
    HubertConfig,
    HubertModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Model,
    WavLMConfig,
    WavLMModel,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperModel,
)

from cry_modules.pretrained.beats import BeatsEncoder

#: One second, in place of 30.
_WHISPER_FRAMES = 50
_SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "conv_dim": [8, 8, 8],
    "conv_kernel": [10, 8, 4],
    "conv_stride": [5, 8, 4],
    "num_conv_pos_embeddings": 5,
    "num_conv_pos_embedding_groups": 2,
    "layerdrop": 0.5,
    "mask_time_prob": 0.5,
}
#: Settings of the large models of each kind, in which every layer of the
#: feature extractor normalises, and the transformer normalises first.
LARGE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}
LARGE["conv_bias"] = True
_WHISPER = {
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24,
    "max_source_positions": _WHISPER_FRAMES,
    "vocab_size": 8,
    "encoder_layerdrop": 0.5,
    **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"), 1),
    "decoder_start_token_id": 1,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
}
#: As in the published files, smaller.
BEATS = {
    "input_patch_size": 16,
    "embed_dim": 6,
    "encoder_layers": 2,
    "encoder_embed_dim": 8,
    "encoder_ffn_embed_dim": 12,
    "encoder_attention_heads": 2,
    "conv_pos": 8,
    "conv_pos_groups": 2,
    "relative_position_embedding": True,
    "num_buckets": 20,
    "max_distance": 40,
    "gru_rel_pos": True,
    "deep_norm": True,
    "encoder_layerdrop": 0.5,
    "finetuned_model": False,
}
#: Arguments of an ECAPA-TDNN.
ECAPA = {
    "input_size": 80,
    "channels": [16, 16, 16, 16, 24],
    "kernel_sizes": [5, 3, 3, 3, 1],
    "dilations": [1, 2, 3, 4, 1],
    "groups": [1, 1, 1, 1, 1],
    "attention_channels": 6,
    "se_channels": 4,
    "res2net_scale": 4,
    "global_context": True,
    "lin_neurons": 10,
}
CLASSES = {
    "wav2vec2": (Wav2Vec2Config, Wav2Vec2Model),
    "hubert": (HubertConfig, HubertModel),
    "wavlm": (WavLMConfig, WavLMModel),
    "whisper": (WhisperConfig, WhisperModel),
}


def tiny(kind: str, seed: int = 0, **changes):
    """A model with random weights, in evaluation mode."""
    config_class, model_class = CLASSES[kind]
    settings = _WHISPER if kind == "whisper" else _SMALL
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = model_class(config_class(**{**settings, **changes}))
        for name, weight in model.named_parameters():
            if "norm" in name:  # not the ones and zeros that they begin with
                torch.nn.init.normal_(weight, mean=0.5)
    return model.eval()


def preprocessor(model, do_normalize: Optional[bool] = None, rate: int = 16000):
    """The extractor of a model's input, as its folder describes it."""
    if model.config.model_type == "whisper":
        return WhisperFeatureExtractor(chunk_length=1)
    normalises = model.config.model_type != "wavlm"
    if do_normalize is not None:
        normalises = do_normalize
    return Wav2Vec2FeatureExtractor(do_normalize=normalises, sampling_rate=rate)


def save(model, folder: Path, **settings) -> Path:
    """Save a model and its preprocessor as on the hub."""
    model.save_pretrained(folder)
    preprocessor(model, **settings).save_pretrained(folder)
    return folder


def published_beats(folder: Path, seed: int = 0):
    """A file as published, and SpeechBrain's model of it."""
    torch.manual_seed(seed)
    path = folder / "BEATs.pt"
    encoder = BeatsEncoder(json.dumps(BEATS))
    state = encoder.beats.state_dict()
    shared = "encoder.layers.0.self_attn.relative_attention_bias.weight"
    copies = {shared.replace("0", "1"): state[shared]}
    torch.save({"cfg": BEATS, "model": {**state, **copies}}, path)
    return path, BEATs(str(path), freeze=True, output_all_hiddens=True)


def check_unread(encoder, place: str):
    """The gradient at a place reaches all layers but those it leaves unread."""

    def reached(module):
        grads = [p.grad for p in module.parameters()]
        return any(g is not None and g.abs().sum() > 0 for g in grads)

    unread = encoder.unread([place])
    assert not any(map(reached, unread))
    parts = [*encoder.blocks, *encoder.last_norm]
    assert all(reached(part) for part in parts if part not in unread)
