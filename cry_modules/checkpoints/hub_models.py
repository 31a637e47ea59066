"""Models of transformers: their configuration and weights, from the Hugging Face
hub or a folder, read as data.

Nothing of a model's repository is executed: its Python files are not read, and
of a pickle only tensors.
"""

import json
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

import torch

from cry_modules.architectures import encoder_class
from cry_modules.checkpoints.public import download
from cry_modules.checkpoints.state_dict import below, read_state_dict
from data_prep.files.errors import InputError, require
from data_prep.files.folders import file_inside

CONFIG_FILE = "config.json"
PREPROCESSOR_FILE = "preprocessor_config.json"
#: Files of weights, the first that exists is read.
WEIGHTS_FILES = ("model.safetensors", "pytorch_model.bin")
FILES = f"{CONFIG_FILE}, {PREPROCESSOR_FILE} and {' or '.join(WEIGHTS_FILES)}"

#: ``model_type``, which is also the architecture: a weight of every such model,
#: after its prefix, and what our names begin with.
_MODELS = {
    "wav2vec2": ("feature_projection.projection.weight", "wav2vec2.model."),
    "hubert": ("feature_projection.projection.weight", "hubert.model."),
    "wavlm": ("feature_projection.projection.weight", "wavlm.model."),
    "whisper": ("conv1.weight", "whisper.model.encoder."),
}
#: The two factors of a weight, by the names that older files have.
_FACTORS = {
    "weight_g": "parametrizations.weight.original0",
    "weight_v": "parametrizations.weight.original1",
}
_RATE = 16000
#: Largest size of a description, bytes.
_LONGEST = 1 << 20


def is_model(folder: Path) -> bool:
    """Check whether a folder holds a model of transformers."""
    return (Path(folder) / CONFIG_FILE).is_file()


def is_weights(path: Path) -> bool:
    """Check whether a file holds the weights of a model of transformers."""
    return path.name in WEIGHTS_FILES and is_model(path.parent)


def fetch(source: str, title: str, cure: str) -> Optional[Path]:
    """Download a model of the hub; its file of weights, or None if the
    repository is not of transformers."""
    if download(source, CONFIG_FILE, title, cure) is None:
        return None
    download(source, PREPROCESSOR_FILE, title, cure)
    for name in WEIGHTS_FILES:
        path = download(source, name, title, cure)
        if path is not None:
            return path
    raise InputError(
        f"{title} on the Hugging Face hub holds no "
        f"{' or '.join(WEIGHTS_FILES)}; pass another id"
    )


def weights_file(folder: Path, title: str) -> Path:
    """The file with a model's weights."""
    for name in WEIGHTS_FILES:
        if (Path(folder) / name).is_file():
            return file_inside(folder, name)
    parts = [
        f for n in WEIGHTS_FILES for f in Path(folder).glob(f"{n}.index.*")
    ]
    require(
        not parts,
        f"{title} has its weights in several files",
        f"save them as one: transformers' save_pretrained(FOLDER, "
        f"max_shard_size='100GB') writes {WEIGHTS_FILES[0]}",
    )
    raise InputError(
        f"{title} has a {CONFIG_FILE} and no {' or '.join(WEIGHTS_FILES)}; "
        "download its weights into that folder"
    )


def read_config(folder: Path, title: str) -> str:
    """Read the settings that build a model's encoder, as JSON: the known ones of
    ``config.json``, and ``do_normalize`` of ``preprocessor_config.json``.

    Raises
    ------
    InputError
        A file is missing or damaged, or the model is not one that this version
        reads, at 16 kHz.
    """
    kind, config = _kind_and_config(folder, title)
    require(
        not config.get("add_adapter"),
        f"{title} has an adapter after its last layer, which this version does "
        "not read",
        "pass the model that it was made from",
    )
    preprocessor = _preprocessor(folder, title)
    rate = preprocessor.get("sampling_rate", _RATE)
    require(
        rate == _RATE,
        f"{title} takes audio at {rate!r:.80} Hz ({PREPROCESSOR_FILE}), and "
        f"recordings are read at {_RATE} Hz",
        f"pass a model of {_RATE} Hz",
    )
    encoder_class(kind)  # explains a missing package
    from cry_modules.pretrained.transformer import known_settings

    settings = {k: v for k, v in config.items() if k in known_settings(kind)}
    settings["model_type"] = kind
    settings["do_normalize"] = preprocessor.get("do_normalize", True) is True
    return json.dumps(settings, sort_keys=True, separators=(",", ":"))


def read_weights(path: Path, title: str) -> Dict[str, torch.Tensor]:
    """Weights of a model's encoder, by the names of ours."""
    kind, _ = _kind_and_config(path.parent, title)
    state = read_state_dict(path, title)
    anchor, ours = _MODELS[kind]
    state = below(state, anchor)
    require(
        bool(state),
        f"{title} holds no {anchor}: its weights are not those of a {kind}, "
        f"which {CONFIG_FILE} says",
        "get the files of one model",
    )
    # Replaces masked frames in pre-training.
    state.pop("masked_spec_embed", None)
    return {ours + _renamed(name): value for name, value in state.items()}


def _renamed(name):
    rest, _, last = name.rpartition(".")
    return f"{rest}.{_FACTORS[last]}" if last in _FACTORS else name


def _kind_and_config(folder, title) -> Tuple[str, Dict[str, Any]]:
    config = _json(folder, CONFIG_FILE, title)
    kind = config.get("model_type")
    require(
        isinstance(kind, str) and kind in _MODELS,
        f"{title}: {CONFIG_FILE} has the model_type {kind!r:.80}",
        f"pass a model of the type {', '.join(_MODELS)}",
    )
    return kind, config


def _preprocessor(folder, title) -> Dict[str, Any]:
    """Description of a model's input, also as transformers 5 saves it."""
    joint = "processor_config.json"
    if (Path(folder) / PREPROCESSOR_FILE).is_file() or not (
        Path(folder) / joint
    ).is_file():
        return _json(folder, PREPROCESSOR_FILE, title)
    inner = _json(folder, joint, title).get("feature_extractor")
    return inner if isinstance(inner, dict) else {}


def _json(folder, name, title) -> Dict[str, Any]:
    """A description of a model, a JSON object."""
    path = Path(folder) / name
    require(
        path.is_file(),
        f"{title} has no {name}",
        f"download {FILES} of the model into one folder",
    )
    path = file_inside(folder, name)
    try:
        too_long = path.stat().st_size > _LONGEST
        content = None if too_long else json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError):
        content = None
    require(
        isinstance(content, dict),
        f"{path} is not a JSON object",
        "get it again",
    )
    return content
