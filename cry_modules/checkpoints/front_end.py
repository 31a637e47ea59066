"""The front end that an encoder was trained with.

Weights fit any front end with as many bands, and give wrong embeddings in
silence behind another than their own.
"""

import math
import os
from pathlib import Path
from typing import Dict, NamedTuple, Optional, Tuple

from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import Node
from torch import nn

from cry_modules.architectures import ARCHITECTURES, name_of
from cry_modules.checkpoints.description import (
    MODEL_FILE,
    check_unchanged,
    read_description,
)
from cry_modules.checkpoints.public import public_encoder
from cry_modules.checkpoints.settings import YAML_FILE, yaml_nodes
from cry_modules.front_ends import FRONT_ENDS, make_front_end
from data_prep.files.errors import InputError

#: Mean over deviation of a band, median over the bands: below this the
#: features were mean-normalised. Measured on 36 cries, 23 sounds, noise,
#: decaying tones and bursts in silence, chunks of 1 and 4 s, with and without
#: masks: at most 0.016 with mean normalisation (0 without masks), 0.24 to 8.3
#: with log1p, 1.2 to 7.8 with panns.
_NORMALISED_BELOW = 0.06
#: After fewer batches, the 0 and 1 that a BatchNorm begins with still count.
_LEAST_BATCHES = 100


class Known(NamedTuple):
    """Front end that an encoder was trained with, and how that is known."""

    front_end: str
    evidence: str


def recorded_front_end(source: str, path: Path, meta: Dict) -> Optional[Known]:
    """Find the front end that an encoder was trained with; None if unknown.

    Evidence: the exported model that ``path`` is in, a public encoder's id,
    the ``meta`` of its checkpoint, or the yaml file of its folder or run.
    """
    if os.path.lexists(path.parent / MODEL_FILE):
        return _of_exported(path)
    public = None if Path(source).exists() else public_encoder(source)
    if public is not None:
        return Known(public.front_end, "its Hugging Face id says so")
    if "version" in meta:
        # Checkpoints without this entry are older than the other front ends.
        name = meta.get("front_end", "fbank")
        return Known(name, "its CKPT.yaml says so")
    return _of_yaml(run_folder(path.parent) / YAML_FILE)


def recorded_architecture(path: Path) -> Optional[str]:
    """Architecture in the description of an exported model, or in the settings
    of a run, that an encoder's file is in; None if unknown."""
    if os.path.lexists(path.parent / MODEL_FILE):
        return read_description(path.parent)["model"].get("architecture")
    settings = run_folder(path.parent) / YAML_FILE
    node = (
        _nodes(settings)[1].get("architecture") if settings.is_file() else None
    )
    return None if node is None else str(node.value)


def _of_exported(path) -> Known:
    check_unchanged(path)
    described = path.with_name(MODEL_FILE)
    model = read_description(path.parent).get("model")
    if not isinstance(model, dict) or "front_end" not in model:
        raise InputError(
            f"{described} does not name the front end of its encoder; get or "
            "export the model again"
        )
    return Known(str(model["front_end"]), f"{described} says so")


def run_folder(folder) -> Path:
    """Folder of the run that an encoder in this folder belongs to."""
    if folder.name.startswith("CKPT"):
        return folder.parent.parent
    if folder.name in ("pretrained", "interpolated"):  # of train_adapt.py
        return folder.parent
    return folder


def _of_yaml(path) -> Optional[Known]:
    """From the settings of a run of ours or of a SpeechBrain recipe.

    They are read as text; nothing of them is built.
    """
    if not path.is_file():
        return None
    text, nodes = _nodes(path)
    if "front_end" in nodes:
        return Known(str(nodes["front_end"].value), f"{path} says so")
    if "compute_stft" in nodes:  # SpeechBrain's ESC50/classification
        return Known("log1p", f"{path} says so")
    # SpeechBrain's models of cries; ours name their front end.
    is_fbank = "mean_var_norm" in nodes and "cry_modules." not in text
    return Known("fbank", f"{path} says so") if is_fbank else None


def recorded_objective(path: Path) -> Optional[str]:
    """Self-supervised objective that an encoder's file was trained with, from
    the yaml file of its run; None if that does not say so."""
    path = run_folder(path.parent) / YAML_FILE
    if not path.is_file():
        return None
    text, nodes = _nodes(path)
    if "objective" in nodes:
        return str(nodes["objective"].value)
    # Runs without this setting are older than the other objectives.
    is_older = "temperature" in nodes and "cry_modules." in text
    return "nt_xent" if is_older else None


def _nodes(path) -> Tuple[str, Dict[str, Node]]:
    """Text and top-level nodes of a yaml file."""
    try:
        text = path.read_text(encoding="utf-8")
        return text, yaml_nodes(text)
    except (YAMLError, ValueError, TypeError, AttributeError, RecursionError):
        raise InputError(
            f"{path} is not a yaml file of settings; correct it, or move the "
            "encoder to a folder of its own"
        )


def check_statistics(encoder: nn.Module, front_end: str, title: str) -> None:
    """Refuse an encoder whose first BatchNorm contradicts ``mean_norm``.

    The means of its bands are around zero if the features were
    mean-normalised, and far from it if not.
    """
    name = name_of(encoder)
    if name is None or not ARCHITECTURES[name].first_norm:
        return
    norm = encoder.get_submodule(ARCHITECTURES[name].first_norm)
    deviation = norm.running_var.clamp(min=1e-12).sqrt()
    offset = (norm.running_mean.abs() / deviation).median().item()
    few = norm.num_batches_tracked < _LEAST_BATCHES
    if few or not math.isfinite(offset):
        return
    normalised = offset < _NORMALISED_BELOW
    if normalised == FRONT_ENDS[front_end].mean_norm:
        return
    fitting = " or ".join(
        kind.name
        for kind in map(make_front_end, FRONT_ENDS)
        if kind.mean_norm == normalised and kind.n_mels == norm.num_features
    )
    cure = f"pass --front_end {fitting}" if fitting else "pass another encoder"
    raise InputError(
        f"{title} was trained on features "
        f"{'with' if normalised else 'without'} mean normalisation (the means "
        f"of its bands are {offset:.2g} deviations from zero), and the front "
        f"end {front_end} is the opposite; {cure}"
    )
