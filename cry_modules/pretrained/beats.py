"""SpeechBrain's BEATs as an encoder."""

import json
import tempfile
from pathlib import Path
from typing import Any, Dict, List

import torch
from speechbrain.lobes.models.beats import BEATs, BEATsConfig
from torch import nn

from cry_modules.pretrained.layered import LayeredEncoder, configuration

#: Bands of the log-mel.
_BANDS = 128


class _Unloaded(BEATs):
    """SpeechBrain's class, built from a configuration alone: it takes that from
    a file with weights, and unpickles it."""

    def __init__(self, config: Dict[str, Any]):
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "beats.pt")
            torch.save({"cfg": config, "model": {}}, path)
            super().__init__(path, freeze=False)

    def load_state_dict(self, state_dict, *args, **options):
        """Load weights, or nothing while it is built."""
        return state_dict and super().load_state_dict(
            state_dict, *args, **options
        )


class BeatsEncoder(LayeredEncoder):
    """BEATs (https://arxiv.org/abs/2212.09058): log-mel of 128 bands in patches
    of 16 bands and 16 frames; all patches of a recording are pooled.

    The last frames that do not fill a patch are left out, as by its authors.

    Arguments
    ---------
    source : str
        ``cfg`` of its file as JSON.
    """

    def __init__(self, source: str):
        beats = _Unloaded({**configuration(source), "encoder_layerdrop": 0.0})
        settings, patch = beats.cfg, beats.cfg.input_patch_size
        # Of frames of 25 ms every 10 ms.
        shortest = 400 + (patch - 1) * 160
        super().__init__(
            source,
            settings.encoder_embed_dim,
            settings.encoder_layers,
            shortest,
        )
        # The first layer's, which the others do not use.
        for layer in beats.encoder.layers[1:]:
            layer.self_attn.relative_attention_bias = None
        beats.predictor = None  # of a fine-tuned one: its classes
        self.beats = beats

    @property
    def blocks(self) -> nn.ModuleList:
        """See ``LayeredEncoder``."""
        return self.beats.encoder.layers

    @property
    def last_norm(self) -> List[nn.Module]:
        """See ``LayeredEncoder``."""
        is_last = self.beats.encoder.layer_norm_first
        return [self.beats.encoder.layer_norm] if is_last else []

    def frames(self, wavs: torch.Tensor, all_layers: bool) -> torch.Tensor:
        """See ``LayeredEncoder``."""
        self.beats.output_all_hiddens = all_layers
        (frames,) = self.beats.extract_features(wavs, wavs.new_ones(len(wavs)))
        if all_layers:
            return frames.transpose(1, 2)
        # SpeechBrain normalises the output only where it gives all layers.
        for norm in self.last_norm:
            frames = norm(frames)
        return frames


def config_of(description: Dict[str, Any]) -> str:
    """Known settings of the ``cfg`` of a BEATs file, as JSON."""
    known = {k: v for k, v in description.items() if k in vars(BEATsConfig())}
    known["finetuned_model"] = False
    return json.dumps(known, sort_keys=True, separators=(",", ":"))
