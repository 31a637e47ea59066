"""SpeechBrain's wav2vec 2.0, HuBERT, WavLM and Whisper as encoders."""

import json
import tempfile
import warnings
from pathlib import Path
from typing import List, Set

import torch
from speechbrain.integrations.huggingface.hubert import HuBERT
from speechbrain.integrations.huggingface.wav2vec2 import Wav2Vec2
from speechbrain.integrations.huggingface.wavlm import WavLM
from speechbrain.integrations.huggingface.whisper import Whisper
from torch import nn
from transformers import AutoConfig, AutoModel, WhisperFeatureExtractor

from cry_modules.pretrained.layered import LayeredEncoder, configuration

#: Added to the variance of a recording, as by transformers (SpeechBrain: 1e-5).
_LEAST_VARIANCE = 1e-7
#: Where the model was, and what its heads predict; weights are in 32 bits.
_NOT_OF_ENCODER = {"_name_or_path", "architectures", "transformers_version"}
_NOT_OF_ENCODER |= {"id2label", "label2id", "problem_type", "dtype"}


class _Unloaded:
    """Mixin for SpeechBrain's classes: built from a configuration alone, with
    random weights, which ``EncoderSource`` replaces strictly."""

    def override_config(self, config):
        """Turn off LayerDrop and SpecAugment; Whisper's decoder is empty."""
        off = {"layerdrop": 0.0, "encoder_layerdrop": 0.0, "decoder_layers": 0}
        off.update(mask_time_prob=0.0, mask_feature_prob=0.0)
        off["apply_spec_augment"] = False
        for name, value in off.items():
            if name in config.to_dict():
                setattr(config, name, value)
        return config

    def _from_pretrained(self, source, save_path, cache_dir, device=None):
        self.model = AutoModel.from_config(self.config)
        if self.config.model_type == "whisper":
            self.model.decoder = nn.Identity()

    def load_feature_extractor(self, source, cache_dir, **options):
        """Filters of Whisper; waveforms are normalised by ``Wav2Vec2Encoder``,
        as transformers does."""
        self.feature_extractor = WhisperFeatureExtractor(
            getattr(self.config, "num_mel_bins", 80)
        )
        self.feature_extractor.do_normalize = False


class Wav2Vec2Encoder(LayeredEncoder):
    """SpeechBrain's ``Wav2Vec2``; HuBERT and WavLM work alike.

    Arguments
    ---------
    source : str
        ``config.json`` of the model with ``do_normalize`` of its
        ``preprocessor_config.json``, as JSON.

    Example
    -------
    >>> small = {"hidden_size": 8, "num_hidden_layers": 2}
    >>> small.update(num_attention_heads=2, intermediate_size=8)
    >>> small.update(conv_dim=[4, 4], conv_kernel=[10, 3], conv_stride=[5, 2])
    >>> small.update(num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2)
    >>> config = {"model_type": "wav2vec2", "do_normalize": True, **small}
    >>> encoder = Wav2Vec2Encoder(json.dumps(config)).eval()
    >>> encoder(torch.randn(2, 800, 1)).shape, encoder.shortest
    (torch.Size([2, 8]), 20)
    """

    model_type, backbone_class = "wav2vec2", Wav2Vec2

    def __init__(self, source: str):
        backbone = _unloaded(self.backbone_class, source)
        settings = backbone.config
        shortest = 1
        for kernel, stride in zip(
            reversed(settings.conv_kernel), reversed(settings.conv_stride)
        ):
            shortest = (shortest - 1) * stride + kernel
        dim, n_layers = settings.hidden_size, settings.num_hidden_layers
        super().__init__(source, dim, n_layers, shortest)
        self.normalises = json.loads(source)["do_normalize"]
        self.add_module(self.model_type, backbone)

    @property
    def blocks(self) -> nn.ModuleList:
        """See ``LayeredEncoder``."""
        return self.get_submodule(f"{self.model_type}.model.encoder.layers")

    @property
    def last_norm(self) -> List[nn.Module]:
        """See ``LayeredEncoder``."""
        model = self.get_submodule(self.model_type).model
        is_last = model.config.do_stable_layer_norm
        return [model.encoder.layer_norm] if is_last else []

    def frames(self, wavs: torch.Tensor, all_layers: bool) -> torch.Tensor:
        """See ``LayeredEncoder``."""
        if self.normalises:
            variance, mean = torch.var_mean(
                wavs, dim=1, correction=0, keepdim=True
            )
            wavs = (wavs - mean) / (variance + _LEAST_VARIANCE).sqrt()
        backbone = self.get_submodule(self.model_type)
        backbone.output_all_hiddens = all_layers
        return backbone.extract_features(wavs)


class HubertEncoder(Wav2Vec2Encoder):
    """SpeechBrain's ``HuBERT``; see ``Wav2Vec2Encoder``."""

    model_type, backbone_class = "hubert", HuBERT


class WavLMEncoder(Wav2Vec2Encoder):
    """SpeechBrain's ``WavLM``; see ``Wav2Vec2Encoder``."""

    model_type, backbone_class = "wavlm", WavLM


class WhisperEncoder(LayeredEncoder):
    """Encoder of SpeechBrain's ``Whisper``: 30 s of log-mel, padded with
    silence as in its training; frames of the recording alone are pooled.

    It costs as much for a shorter recording as for 30 s.

    Arguments
    ---------
    source : str
        ``config.json`` of the model, as JSON.
    """

    #: Samples from one frame to the next.
    _HOP = 320

    def __init__(self, source: str):
        whisper = _unloaded(Whisper, source, encoder_only=True)
        settings = whisper.config
        super().__init__(
            source,
            settings.d_model,
            settings.encoder_layers,
            shortest=1,
            longest=settings.max_source_positions * self._HOP,
        )
        # They follow from the configuration; no file of weights holds them.
        filters = whisper._mel_filters
        del whisper._mel_filters
        whisper.register_buffer("_mel_filters", filters, persistent=False)
        self.whisper = whisper

    @property
    def blocks(self) -> nn.ModuleList:
        """See ``LayeredEncoder``."""
        return self.whisper.model.encoder.layers

    def frames(self, wavs: torch.Tensor, all_layers: bool) -> torch.Tensor:
        """See ``LayeredEncoder``."""
        self.whisper.output_all_hiddens = all_layers
        wavs = self.whisper.pad_or_trim(wavs, self.longest)
        # One by one: SpeechBrain clips below the loudest of the whole batch.
        mels = [self.whisper.log_mel_spectrogram(wav) for wav in wavs]
        return self.whisper.forward_encoder(torch.stack(mels))

    def valid(self, frames: torch.Tensor, n_samples: int) -> torch.Tensor:
        """See ``LayeredEncoder``."""
        return frames[..., : -(-n_samples // self._HOP), :]


def known_settings(kind: str) -> Set[str]:
    """Settings of ``config.json`` that build a model of this type."""
    return {*AutoConfig.for_model(kind).to_dict()} - _NOT_OF_ENCODER


def _unloaded(cls, config: str, **options) -> nn.Module:
    """Build SpeechBrain's class from a configuration, which it reads from a
    folder."""
    configuration(config)
    kind = type(cls.__name__, (_Unloaded, cls), {})
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # SpeechBrain calls what transformers has renamed.
        warnings.simplefilter("ignore", FutureWarning)
        (Path(folder) / "config.json").write_text(config, "utf-8")
        return kind(folder, folder, **options)
