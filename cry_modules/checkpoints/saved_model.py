"""Models from an exported folder, a run's results folder, or Hugging Face.

An exported model is a description that is only data (``model.json``) and
weights that are only numbers (``model.safetensors``); of a run's settings the
text is read. Loading executes nothing of either.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Optional, Tuple

import torch
from ruamel.yaml.error import YAMLError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from cry_modules.architectures import (
    is_configured,
    is_pretrained,
    make_encoder,
    short_name,
)
from cry_modules.checkpoints.checkpointer import damaged, read_meta
from cry_modules.checkpoints.description import (
    MODEL_FILE,
    Blueprint,
    check_unchanged,
    read_description,
    threshold_of,
)
from cry_modules.checkpoints.encoders import EncoderSource, load_companion
from cry_modules.checkpoints.public import download, is_hub_id
from cry_modules.checkpoints.settings import (
    YAML_FILE,
    check_chunk,
    plain_settings,
)
from cry_modules.checkpoints.state_dict import check_fit
from cry_modules.checkpoints.versions import check_settings_version
from cry_modules.embeddings import (
    Embedder,
    layers_of,
    make_features,
    readout_dim,
)
from cry_modules.front_ends import make_front_end
from cry_modules.heads import ClassificationHead, Posterior
from cry_modules.metrics.predictions import Predictions
from cry_modules.metrics.saved import METRICS_FILE, TRAINING, read_metrics
from cry_modules.pretrained.named import NotNamed
from cry_modules.views.chunks_and_masks import SpecAugment
from data_prep.files.errors import InputError, require
from data_prep.files.folders import file_inside
from data_prep.files.shapes import mismatch

WEIGHTS_FILE = "model.safetensors"
HEAD_FILE = "head.ckpt"
#: Model of all recordings, in the folder of a run with folds.
FINAL = "final"
#: Entries of ``metrics.json`` that a run's model needs, and its export.
_OF_RUN = (
    "task", "finetune_mode", "seed", "label_fraction", "readout", "tested_on",
    "balance", "classes", "prevalence", "n_trainable", "n_parameters", "test",
)  # fmt: skip


def between_scores(threshold: Optional[float], scores) -> Optional[float]:
    """Move a threshold half-way down to the next lower score.

    A threshold chosen on validation is the score of a recording. Another
    batch or machine reproduces that score except for the last digits, and the
    recording would fall now on one side and now on the other.
    """
    if threshold is None or threshold > scores.max():
        return threshold
    lower = scores[scores < threshold]
    return float(threshold + max(lower, default=0.0)) / 2


@dataclass
class SavedModel:
    """A model with its settings, metadata and decision threshold."""

    blueprint: Blueprint
    embedder: Embedder  #: in evaluation mode
    posterior: Optional[Posterior]  #: None for an encoder without a classifier
    #: ``model.json`` of an exported model, ``metrics.json`` of a run, or empty
    facts: Dict
    #: Score from which the positive class is predicted, chosen on validation.
    threshold: Optional[float] = None

    def state(self) -> Dict[str, torch.Tensor]:
        """Weights by name, ``encoder.*`` and ``head.*``."""
        return {
            f"{part}.{name}": value.contiguous()
            for part, module in self.parts().items()
            for name, value in module.state_dict().items()
        }

    def parts(self) -> nn.ModuleDict:
        """Modules with weights: ``encoder`` and, for a classifier, ``head``."""
        parts = nn.ModuleDict({"encoder": self.embedder.encoder})
        if self.posterior is not None:
            parts["head"] = self.posterior.head
        return parts


def build(blueprint: Blueprint, facts: Optional[Dict] = None) -> SavedModel:
    """Build a model with random weights; ``facts`` is its metadata."""
    logmel = make_front_end(blueprint.front_end)
    check_chunk(blueprint.chunk_s, logmel)
    features = make_features(logmel, SpecAugment(0, 0), False)
    encoder = _encoder(blueprint, logmel.n_mels)
    embedder = Embedder(
        features,
        encoder,
        blueprint.readout,
        blueprint.tested_on,
        blueprint.chunk_s,
        logmel.sample_rate,
    ).eval()
    posterior = None
    if blueprint.classes:
        # Computed rather than tried: a chunk may have any length.
        dimension = readout_dim(blueprint.readout, encoder, logmel.n_mels)
        n_layers = layers_of(blueprint.readout, encoder)
        head = ClassificationHead(dimension, len(blueprint.classes), n_layers)
        posterior = Posterior(head, blueprint.log_prior).eval()
    return SavedModel(blueprint, embedder, posterior, facts or {})


def _encoder(blueprint, n_mels) -> nn.Module:
    return make_encoder(
        *(blueprint.architecture, n_mels, blueprint.width, blueprint.pooling)
    )


def load_model(
    source: str,
    savedir: Optional[str] = None,
    revision: Optional[str] = None,
) -> SavedModel:
    """Load a model from a folder or a Hugging Face id; no code runs.

    Raises
    ------
    InputError
        The model is missing, damaged, or of another version.
    """
    folder = Path(str(source))
    if folder.is_file():
        raise InputError(f"{source} is a file; pass the model's folder")
    if not folder.is_dir():
        return load_exported(_from_hub(str(source), savedir, revision))
    if (folder / MODEL_FILE).exists() or (folder / MODEL_FILE).is_symlink():
        return load_exported(folder)
    if (folder / "save").is_dir() or (folder / METRICS_FILE).is_file():
        return load_run(folder)
    if (folder / YAML_FILE).is_file():
        raise InputError(
            f"{source} has no {MODEL_FILE}, and its {YAML_FILE} can run any "
            "code; if you trust its author, pass trust=True (--trust)"
        )
    raise InputError(
        f"{source} holds no model, neither {MODEL_FILE} nor a train script's run; "
        "pass another folder, or export a run with python -m "
        "cry_modules.export"
    )


def load_exported(folder: Path) -> SavedModel:
    """Load a model from ``model.json`` and ``model.safetensors``."""
    facts = read_description(folder)
    weights = file_inside(folder, WEIGHTS_FILE)
    check_unchanged(weights)
    try:
        model = _build_described(facts, weights)
    except NotNamed:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{folder}/{MODEL_FILE} cannot be used ({error}); get or export "
            "the model again"
        )
    _load_weights(model, weights)
    return model


def _build_described(facts: Dict, weights: Path) -> SavedModel:
    settings = facts.get("model")
    if not isinstance(settings, dict):
        raise ValueError("it describes no model")
    key = "training_recordings"
    if problem := mismatch(facts.get(key), TRAINING, key):
        raise ValueError(problem)
    blueprint = Blueprint(**settings)
    name = blueprint.architecture
    # SpeechBrain's BEATs is always built in memory.
    if not (is_pretrained(name) or short_name(name) == "beats"):
        _check_size(blueprint, weights)
    model = build(blueprint, facts)
    model.threshold = threshold_of(facts, len(blueprint.classes))
    return model


def _check_size(blueprint: Blueprint, weights: Path) -> None:
    """Refuse a size before memory is taken for weights that are not there."""
    n_mels = make_front_end(blueprint.front_end).n_mels
    with torch.device("meta"):
        encoder = _encoder(blueprint, n_mels)
    n_bytes = sum(value.nbytes for value in encoder.state_dict().values())
    if weights.stat().st_size < n_bytes:
        raise ValueError(
            f"width is {blueprint.width}, which {WEIGHTS_FILE} is too small for"
            if not is_configured(blueprint.architecture)
            else f"{WEIGHTS_FILE} is too small for its architecture"
        )


def _load_weights(model, path):
    try:
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} holds no tensors ({error}); get it again")
    check_fit(model.parts(), state, str(path), lambda: f"; see {MODEL_FILE}")
    for name, value in state.items():
        if not value.isfinite().all():
            raise InputError(
                f"{path}: {name} holds NaN or infinity; get it again"
            )
    model.parts().load_state_dict(state, strict=True)


def load_run(folder: Path) -> SavedModel:
    """Load a results folder's best checkpoint on validation, else the newest.

    Its ``hyperparams.yaml`` is read as text: nothing of it is built. Of a run
    with folds, the final model is loaded.
    """
    folder = folder_of_model(folder)
    blueprint, metrics = read_run(folder)
    model = build(blueprint, metrics)
    # Not an encoder.ckpt in the folder itself, which has no head.
    checkpoints = Path(folder) / "save"
    if not checkpoints.is_dir():
        raise InputError(
            f"{checkpoints} does not exist; pass a complete results folder"
        )
    source = EncoderSource(checkpoints, option="")
    path = source.load(model.embedder.encoder, blueprint.front_end)
    if model.posterior is None:
        return model
    score = (read_meta(path.parent) or {}).get("score", math.inf)
    for other, reason in damaged(checkpoints).items():
        # The metrics of the run are those of its best checkpoint.
        meta = read_meta(other)
        require(
            meta is not None and meta.get("score", -math.inf) <= score,
            f"{other} is damaged ({reason}) and may be the best checkpoint, "
            "whose metrics these are",
            "bring that file back, or train again in another --output_folder",
        )
    if not load_companion(path, HEAD_FILE, model.posterior.head):
        raise InputError(
            f"{path.parent} has no {HEAD_FILE}; let that run finish, or train "
            "again"
        )
    if "final" in metrics:
        # The priors of the blueprint are recalibrated already.
        with torch.no_grad():
            for value in model.posterior.head.linear.parameters():
                value.mul_(metrics["final"]["slope"])
    valid = Predictions.read(Path(folder) / "predictions_valid.csv")
    model.threshold = between_scores(
        metrics["test"]["recording"]["threshold"], valid.scores[:, -1]
    )
    return model


def folder_of_model(folder: Path) -> Path:
    """Folder of the final model of a run with folds; of others, the same."""
    final = Path(folder) / FINAL
    return final if (final / METRICS_FILE).is_file() else Path(folder)


def read_run(folder: Path) -> Tuple[Blueprint, Dict]:
    """Settings that rebuild the model of a results folder, and its metrics."""
    settings = run_settings(folder)
    try:
        return _blueprint(Path(folder), settings)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{folder} is damaged, or not of these train scripts ({error!r}); "
            "pass another run"
        )


def _blueprint(folder, settings) -> Tuple[Blueprint, Dict]:
    encoder = {
        "width": int(settings["width"]),
        "front_end": settings["front_end"],
        "architecture": settings["architecture"],
        "pooling": settings.get("pooling", "mean"),
        "chunk_s": float(settings["chunk_s"]),
    }
    if "finetune_mode" not in settings:
        return Blueprint(**encoder), {}
    metrics = read_metrics(folder, _OF_RUN)
    if "folds" in metrics:
        raise InputError(
            f"{folder} holds one model a fold; run the same train_cls.py "
            "command again with --final True for a model of all recordings, or "
            f"pass one of them, such as {folder}/{metrics['folds'][0]}"
        )
    prior = [0.0] * len(metrics["classes"])
    if metrics["balance"] != "none":
        prior = [math.log(share) for share in metrics["prevalence"]]
    if "final" in metrics:
        slope, shift = (metrics["final"][name] for name in ("slope", "shift"))
        prior = [slope * p + s for p, s in zip(prior, shift, strict=True)]
    blueprint = Blueprint(
        **encoder,
        readout=metrics["readout"],
        tested_on=metrics["tested_on"],
        classes=metrics["classes"],
        log_prior=prior,
    )
    return blueprint, metrics


def run_settings(folder: Path) -> Dict[str, str]:
    """Settings in the yaml file of a results folder, as text by key."""
    path = Path(folder) / YAML_FILE
    if not path.is_file():
        raise InputError(
            f"{folder} has no {YAML_FILE}; pass the results folder of a train "
            "script"
        )
    try:
        text = path.read_text(encoding="utf-8")
        settings = plain_settings(text)
    except (
        OSError, ValueError, TypeError, AttributeError, RecursionError,
        YAMLError,
    ) as error:  # fmt: skip
        reason = str(error).strip().split("\n")[0]
        raise InputError(f"{path} cannot be read ({reason}); pass another run")
    check_settings_version(path, text)
    missing = [name for name in ("width", "chunk_s") if name not in settings]
    if missing:
        raise InputError(
            f"{path} has no {missing[0]!r}: it is not of these train scripts; "
            "pass another run"
        )
    return settings


def _from_hub(repository, savedir, revision) -> Path:
    """Download the two files of a Hugging Face repository; their folder."""
    if not is_hub_id(repository):
        raise InputError(
            f"{repository} does not exist; pass a model's folder, the results "
            "folder of a train script, or a Hugging Face id"
        )
    cure = f"download {MODEL_FILE} and {WEIGHTS_FILE} of it into a folder and pass that"  # fmt: skip
    options = {"revision": revision, "local_dir": savedir}
    for name in (MODEL_FILE, WEIGHTS_FILE):
        path = download(repository, name, repository, cure, **options)
        if path is None:
            raise InputError(
                f"{repository} on the Hugging Face hub has no {name}; if it "
                f"has a {YAML_FILE}, which can run any code, and you trust its "
                "author, pass trust=True (--trust)"
            )
    return path.parent
