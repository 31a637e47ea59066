"""Weights of encoders that others have published, by the names of ours, and what
their files tell of the encoder."""

from pathlib import Path
from typing import Dict, Optional, Tuple

import torch

from cry_modules.checkpoints import hub_models, panns
from cry_modules.checkpoints.front_end import Known
from cry_modules.checkpoints.state_dict import below, read_state_dict
from cry_modules.front_ends import WAVEFORM
from data_prep.files.errors import require

#: Weights that only SpeechBrain's ECAPA-TDNN and BEATs have.
_ECAPA, _BEATS = "asp.conv.conv.weight", "patch_embedding.weight"


def read_weights(
    path: Path, title: str
) -> Tuple[Dict[str, torch.Tensor], Optional[Known]]:
    """State dict of a file, by our names, and its front end if they tell it."""
    if hub_models.is_weights(path):
        known = Known(WAVEFORM, f"its {hub_models.CONFIG_FILE} says so")
        return hub_models.read_weights(path, title), known
    state = read_state_dict(path, title)
    if panns.MARKER in state:
        return panns.converted(state, title), Known(
            "panns", "its names are PANNs'"
        )
    if ecapa := below(state, _ECAPA):
        return {f"ecapa.{name}": value for name, value in ecapa.items()}, None
    if beats := below(state, _BEATS):
        known = Known(WAVEFORM, "its names are those of BEATs")
        return {f"beats.{k}": v for k, v in beats.items() if _is_read(k)}, known
    return state, None


def _is_read(name: str) -> bool:
    """Leave out the classes of a fine-tuned BEATs, and copies of the first
    layer's relative positions."""
    copied = name.endswith("relative_attention_bias.weight")
    is_copy = copied and not name.startswith("encoder.layers.0.")
    return not is_copy and not name.startswith("predictor.")


def configured_name(
    kind: str, path: Path, state: Dict[str, torch.Tensor], title: str
) -> str:
    """Name of the architecture of published weights, with its configuration."""
    if hub_models.is_weights(path):
        return f"{kind}:{hub_models.read_config(path.parent, title)}"
    if kind == "ecapa":
        from cry_modules.pretrained.ecapa import config_of

        return f"{kind}:{config_of(below(state, _ECAPA))}"
    require(
        kind == "beats",
        f"{title} has no {hub_models.CONFIG_FILE} in its folder",
        f"download {hub_models.FILES} of the model into one folder",
    )
    from cry_modules.pretrained.beats import config_of

    description = torch.load(path, map_location="cpu", weights_only=True)
    cfg = description.get("cfg")
    require(
        isinstance(cfg, dict),
        f"{title} holds no settings (cfg) of its BEATs",
        "get the file of its authors",
    )
    return f"{kind}:{config_of(cfg)}"
