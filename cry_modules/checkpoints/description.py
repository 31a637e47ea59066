"""A trained model that stands by itself: a description that is only data, and
weights that are only numbers. To load it runs nothing of what it says.

``model.json`` says what the model is made of and what is known of it,
``model.safetensors`` holds its weights. ``export.py`` writes both; a run of a
train script can be loaded as it is.
"""

import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import torch
from ruamel.yaml.error import YAMLError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from cry_modules.checkpoints.encoders import (
    differences,
    load_beside,
    load_encoder,
)
from cry_modules.checkpoints.settings import check_chunk, plain_settings
from cry_modules.checkpoints.state_dict import (
    FORMAT,  # noqa: F401  (others have it from here)
    MODEL_FILE,
    inside,
    read_description,
    sha256,
)
from cry_modules.cnn14 import Cnn14
from cry_modules.embeddings import HEARD, READOUTS, Embedder
from cry_modules.front_ends import FRONT_ENDS, AugmentedFeatures, make_front_end
from cry_modules.heads import ClassificationHead, Posterior
from cry_modules.metrics.predictions import Predictions
from cry_modules.views import SpecAugment
from data_prep.files.errors import InputError

WEIGHTS_FILE = "model.safetensors"
#: SpeechBrain's way to say what a model is made of; it can run code.
YAML_FILE = "hyperparams.yaml"
HEAD_FILE = "head.ckpt"
#: Goes with every score.
CAUTION = (
    "For research. Not a medical device: a score is no finding about an "
    "infant, and must not decide on one's care."
)

#: A model is no wider than this.
_WIDEST, _MOST_CLASSES = 256, 10000
#: The weights of CNN14's convolutions, for each unit of its width squared.
_BYTES_OF_WIDTH = 4 * 18423


@dataclass
class Blueprint:
    """What it takes to build a model.

    Arguments
    ---------
    width : int
        Of CNN14.
    front_end : str
        Of ``front_ends.FRONT_ENDS``.
    readout : str
        See ``Embedder``.
    tested_on : str
        See ``Embedder``.
    chunk_s : float
        Seconds.
    classes : list of str
        The positive one last; empty for an encoder alone.
    log_prior : list of float
        See ``Posterior``; one a class.

    Raises
    ------
    ValueError
        A value that no model of ours has.

    Example
    -------
    >>> Blueprint(8, classes=["healthy", "injury"], log_prior=[0.0])
    Traceback (most recent call last):
    ...
    ValueError: log_prior has 1 number(s) for 2 classes
    """

    width: int
    front_end: str = "fbank"
    readout: str = "encoder"
    tested_on: str = "recordings"
    chunk_s: float = 4.0
    classes: List[str] = field(default_factory=list)
    log_prior: List[float] = field(default_factory=list)

    def __post_init__(self):
        if type(self.width) is not int or not 1 <= self.width <= _WIDEST:
            raise ValueError(f"width is {self.width!r}; 1 to {_WIDEST}")
        for name, known in (
            ("front_end", FRONT_ENDS),
            ("readout", READOUTS),
            ("tested_on", HEARD),
        ):
            value = getattr(self, name)
            if not isinstance(value, str) or value not in known:
                raise ValueError(
                    f"{name} is {value!r}; one of {', '.join(known)}"
                )
        if not _is_number(self.chunk_s) or not 0.3 <= self.chunk_s <= 3600:
            raise ValueError(f"chunk_s is {self.chunk_s!r}; 0.3 to 3600 s")
        self._check_classes()

    def _check_classes(self):
        classes, prior = self.classes, self.log_prior
        if not isinstance(classes, list) or not isinstance(prior, list):
            raise ValueError("classes and log_prior must be lists")
        if len(classes) == 1 or len(classes) > _MOST_CLASSES:
            raise ValueError(f"there are {len(classes)} classes; 2 at least")
        if not all(isinstance(name, str) for name in classes):
            raise ValueError("a class is no text")
        if len(set(classes)) < len(classes):
            raise ValueError("a class is there twice")
        if len(prior) != len(classes):
            raise ValueError(
                f"log_prior has {len(prior)} number(s) for {len(classes)} "
                "classes"
            )
        if not all(_is_number(share) for share in prior):
            raise ValueError("log_prior holds what is no number")


def threshold_of(about: Dict, n_classes: int) -> Optional[float]:
    """Of the operating point that ``model.json`` has, or not.

    Example
    -------
    >>> threshold_of({"operating_point": {"threshold": 0.25}}, 2)
    0.25
    """
    point = about.get("operating_point")
    if point is None:
        return None
    found = point.get("threshold") if isinstance(point, dict) else None
    # Above 1, by a bit, where no recording is to be called.
    if not _is_number(found) or not 0 <= found < 1.001 or n_classes != 2:
        raise ValueError(
            f"its operating point has the threshold {found!r} for {n_classes} "
            "classes; 0 to 1 for two"
        )
    return found


def between_scores(threshold: Optional[float], scores) -> Optional[float]:
    """A threshold half-way to the next lower score.

    A threshold that was chosen is the score of a recording, which another
    batch or machine reproduces but for the last digits: that recording would
    now be called and now not.

    Example
    -------
    >>> import numpy as np
    >>> between_scores(0.5, np.array([0.1, 0.5, 0.9]))
    0.3
    """
    if threshold is None or threshold > scores.max():
        return threshold
    lower = scores[scores < threshold]
    return float(threshold + max(lower, default=0.0)) / 2


def _is_number(value) -> bool:
    """Finite in single precision, too."""
    is_real = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_real and abs(value) < 1e30


@dataclass
class SavedModel:
    """A model, and what is known of it.

    Arguments
    ---------
    blueprint : Blueprint
        What it is made of.
    embedder : Embedder
        Waveforms and lengths to embeddings; in evaluation mode.
    posterior : Posterior or None
        Embeddings to log posteriors; None for an encoder alone.
    about : dict
        ``model.json`` of an exported model, ``metrics.json`` of a run; empty
        where there is none.
    called_from : float or None
        See ``threshold``.
    """

    blueprint: Blueprint
    embedder: Embedder
    posterior: Optional[Posterior]
    about: Dict
    called_from: Optional[float] = None

    def threshold(self) -> Optional[float]:
        """Score of the positive class from which it is called, chosen on
        validation; None where there is no such point."""
        return self.called_from

    def state(self) -> Dict[str, torch.Tensor]:
        """Weights by name, ``encoder.*`` and ``head.*``."""
        return {
            f"{part}.{name}": value.contiguous()
            for part, module in self.parts().items()
            for name, value in module.state_dict().items()
        }

    def parts(self) -> Dict[str, nn.Module]:
        """What holds weights."""
        parts = {"encoder": self.embedder.encoder}
        if self.posterior is not None:
            parts["head"] = self.posterior.head
        return parts


def build(blueprint: Blueprint, about: Optional[Dict] = None) -> SavedModel:
    """A model with random weights.

    Example
    -------
    >>> model = build(Blueprint(1, classes=["a", "b"], log_prior=[0.0, 0.0]))
    >>> model.posterior(model.embedder(torch.zeros(3, 8000))).shape
    torch.Size([3, 2])
    """
    logmel = make_front_end(blueprint.front_end)
    check_chunk(blueprint.chunk_s, logmel)
    features = AugmentedFeatures(logmel, SpecAugment(0, 0), False)
    embedder = Embedder(
        features,
        Cnn14(logmel.n_mels, blueprint.width),
        blueprint.readout,
        blueprint.tested_on,
        blueprint.chunk_s,
        logmel.sample_rate,
    ).eval()
    posterior = None
    if blueprint.classes:
        # Computed, not tried: a chunk may be of any length.
        dimension = 32 * blueprint.width
        if blueprint.readout != "encoder":
            dimension += 2 * logmel.n_mels
        head = ClassificationHead(dimension, len(blueprint.classes))
        posterior = Posterior(head, blueprint.log_prior).eval()
    return SavedModel(blueprint, embedder, posterior, about or {})


def load_model(
    source: str,
    savedir: Optional[str] = None,
    revision: Optional[str] = None,
) -> SavedModel:
    """A model from where it was left. Nothing that is there is executed."""
    folder = Path(str(source))
    if folder.is_file():
        raise InputError(f"{source} is a file; pass the model's folder")
    if not folder.is_dir():
        return load_exported(_from_hub(str(source), savedir, revision))
    if (folder / MODEL_FILE).exists() or (folder / MODEL_FILE).is_symlink():
        return load_exported(folder)
    if (folder / "save").is_dir() or (folder / "metrics.json").is_file():
        return load_run(folder)
    if (folder / YAML_FILE).is_file():
        raise InputError(
            f"{source} has no {MODEL_FILE}, and its {YAML_FILE} can run any "
            "code; if you trust who wrote it, pass trust=True (--trust)"
        )
    raise InputError(
        f"{source} holds no model: neither {MODEL_FILE} (python -m "
        "cry_modules.export.command writes it) nor a run of a train script"
    )


def load_exported(folder: Path) -> SavedModel:
    """A model from ``model.json`` and ``model.safetensors``."""
    about = read_description(folder)
    weights = inside(folder, WEIGHTS_FILE)
    files = about.get("files")
    written = files.get(WEIGHTS_FILE) if isinstance(files, dict) else None
    if written != sha256(weights):
        raise InputError(
            f"{weights} is not the file that {MODEL_FILE} was written with "
            "(SHA-256 differs): truncated or exchanged; get it again"
        )
    try:
        model = _build_described(about, weights)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{folder}/{MODEL_FILE} cannot be used ({error}); get or export "
            "the model again"
        )
    _load_weights(model, weights)
    return model


def _build_described(about: Dict, weights: Path) -> SavedModel:
    described = about.get("model")
    if not isinstance(described, dict):
        raise ValueError("it describes no model")
    blueprint = Blueprint(**described)
    if weights.stat().st_size < _BYTES_OF_WIDTH * blueprint.width**2:
        # Before memory is taken for what is not there.
        raise ValueError(
            f"width is {blueprint.width}, which {WEIGHTS_FILE} is too small for"
        )
    model = build(blueprint, about)
    model.called_from = threshold_of(about, len(blueprint.classes))
    return model


def _load_weights(model, path):
    try:
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} holds no tensors ({error}); get it again")
    wrong = differences(state, model.state())
    if wrong:
        raise InputError(
            f"{path} does not fit {MODEL_FILE}: {'; '.join(wrong[:3])}"
        )
    for name, value in state.items():
        if not value.isfinite().all():
            raise InputError(
                f"{path}: {name} holds what is no finite number; get it again"
            )
    for part, module in model.parts().items():
        start = f"{part}."
        own = {k[len(start) :]: v for k, v in state.items() if k.startswith(start)}  # fmt: skip
        module.load_state_dict(own, strict=True)


def load_run(folder: Path) -> SavedModel:
    """The best checkpoint of a train script's results folder.

    Its ``hyperparams.yaml`` is read as text: nothing of it is built.
    """
    blueprint, metrics = read_run(folder)
    model = build(blueprint, metrics)
    # Not what lies beside it: an encoder there has no head.
    checkpoints = Path(folder) / "save"
    if not checkpoints.is_dir():
        raise InputError(
            f"{checkpoints} does not exist; pass the results folder whole"
        )
    path = load_encoder(
        model.embedder.encoder,
        str(checkpoints),
        blueprint.front_end,
        option="",
    )
    if model.posterior is None:
        return model
    if not load_beside(path, HEAD_FILE, model.posterior.head):
        raise InputError(
            f"{path.parent} has no {HEAD_FILE}; let that run finish, or train "
            "again"
        )
    said = Predictions.read(Path(folder) / "predictions_valid.csv")
    model.called_from = between_scores(
        metrics["test"]["recording"]["threshold"], said.scores[:, -1]
    )
    return model


def read_run(folder: Path) -> Tuple[Blueprint, Dict]:
    """What the model of a results folder is made of, and its metrics."""
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
    known = {
        "width": int(settings["width"]),
        "front_end": settings.get("front_end", "fbank"),
        "chunk_s": float(settings["chunk_s"]),
    }
    if "finetune_mode" not in settings:
        return Blueprint(**known), {}
    path = folder / "metrics.json"
    if not path.is_file():
        raise InputError(f"{folder} has no metrics.json: let that run finish")
    metrics = json.loads(path.read_text(encoding="utf-8"))
    if "folds" in metrics:
        raise InputError(
            f"{folder} holds a model for each fold; pass one of them, such as "
            f"{folder}/{metrics['folds'][0]}"
        )
    prior = [0.0] * len(metrics["classes"])
    if metrics["balance"] != "none":
        prior = [math.log(share) for share in metrics["prevalence"]]
    return (
        Blueprint(
            **known,
            readout=metrics["readout"],
            tested_on=metrics["tested_on"],
            classes=metrics["classes"],
            log_prior=prior,
        ),
        metrics,
    )


def run_settings(folder: Path) -> Dict[str, str]:
    """Plain settings of a run, read as text."""
    path = Path(folder) / YAML_FILE
    if not path.is_file():
        raise InputError(
            f"{folder} has no {YAML_FILE}; pass the folder that a train "
            "script wrote"
        )
    try:
        settings = plain_settings(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, AttributeError, YAMLError) as error:
        reason = str(error).strip().split("\n")[0]
        raise InputError(f"{path} cannot be read ({reason}); pass another run")
    missing = [name for name in ("width", "chunk_s") if name not in settings]
    if missing:
        raise InputError(
            f"{path} has no {missing[0]!r}: it is not of these train scripts"
        )
    return settings


def _from_hub(repository, savedir, revision) -> Path:
    """Download the two files of a Hugging Face repository."""
    is_hub_id = re.fullmatch(r"[\w.-]+/[\w.-]+", repository)
    if not is_hub_id or Path(repository).parent.is_dir():
        raise InputError(
            f"{repository} does not exist; pass a model's folder, the results "
            "folder of a train script, or a Hugging Face id"
        )
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        LocalEntryNotFoundError,
    )

    try:
        for name in (MODEL_FILE, WEIGHTS_FILE):
            path = hf_hub_download(
                repository, name, revision=revision, local_dir=savedir
            )
    except LocalEntryNotFoundError:  # no network
        raise InputError(
            f"{repository} is no folder here, and the Hugging Face hub cannot "
            f"be reached; correct the path, or download {MODEL_FILE} and "
            f"{WEIGHTS_FILE} of that repository into a folder and pass it"
        )
    except EntryNotFoundError:
        raise InputError(
            f"{repository} on the Hugging Face hub has no {name}; if it has a "
            f"{YAML_FILE}, which can run any code, and you trust who wrote "
            "it, pass trust=True (--trust)"
        )
    except (OSError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise InputError(
            f"{repository} is neither a folder here nor to be had from the "
            f"Hugging Face hub ({reason}); correct it"
        )
    return Path(path).parent
