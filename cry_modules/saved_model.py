"""A trained model that stands by itself: a description that is only data, and
weights that are only numbers. To load it runs nothing of what it says.

``model.json`` says what the model is made of and what is known of it,
``model.safetensors`` holds its weights. ``export.py`` writes both; a run of a
train script can be loaded as it is.

Authors
 * The contributors of cry-ssl 2026
"""

import hashlib
import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from cry_modules.checkpoints import differences, load_beside, load_encoder
from cry_modules.cnn14 import Cnn14
from cry_modules.embeddings import HEARD, READOUTS, Embedder
from cry_modules.experiment import settings as plain_settings
from cry_modules.front_ends import FRONT_ENDS, make_front_end
from cry_modules.heads import ClassificationHead, Posterior
from cry_modules.views import AugmentedFeatures, SpecAugment
from data_prep.errors import InputError

MODEL_FILE, WEIGHTS_FILE = "model.json", "model.safetensors"
#: SpeechBrain's way to say what a model is made of; it can run code.
YAML_FILE = "hyperparams.yaml"
FORMAT = "cry-ssl model 1"
HEAD_FILE = "head.ckpt"
#: Goes with every score.
CAUTION = (
    "For research. Not a medical device: a score is no finding about an "
    "infant, and must not decide on one's care."
)

#: A description is no longer than this, bytes, and a model no wider.
_LONGEST, _WIDEST, _MOST_CLASSES = 1 << 20, 256, 10000


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


def _threshold(point) -> Optional[float]:
    """Of the operating point that ``model.json`` has, or not."""
    if point is None:
        return None
    found = point.get("threshold") if isinstance(point, dict) else None
    if not _is_number(found) or not 0 <= found <= 1:
        raise ValueError(f"its operating point has the threshold {found!r}")
    return found


def _is_number(value) -> bool:
    is_real = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_real and math.isfinite(value)


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
    """

    blueprint: Blueprint
    embedder: Embedder
    posterior: Optional[Posterior]
    about: Dict

    def threshold(self) -> Optional[float]:
        """Lowest score of the positive class that counts as positive, chosen
        on validation; None where there is no such point."""
        if "test" in self.about:
            return self.about["test"]["recording"]["threshold"]
        return _threshold(self.about.get("operating_point"))

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

    Arguments
    ---------
    blueprint : Blueprint
        What it is made of.
    about : dict or None
        What is known of it.

    Returns
    -------
    SavedModel

    Example
    -------
    >>> model = build(Blueprint(1, classes=["a", "b"], log_prior=[0.0, 0.0]))
    >>> model.posterior(model.embedder(torch.zeros(3, 8000))).shape
    torch.Size([3, 2])
    """
    logmel = make_front_end(blueprint.front_end)
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
        head = ClassificationHead(embedder.dimension(), len(blueprint.classes))
        posterior = Posterior(head, blueprint.log_prior).eval()
    return SavedModel(blueprint, embedder, posterior, about or {})


def load_model(source: str, savedir: Optional[str] = None) -> SavedModel:
    """A model from where it was left. Nothing that is there is executed.

    Arguments
    ---------
    source : str
        A folder that ``cry_modules.export`` wrote, the results folder of a
        train script, or a Hugging Face id.
    savedir : str or None
        Where to put what is downloaded; None: the hub's cache.

    Returns
    -------
    SavedModel

    Raises
    ------
    InputError
        Nothing is there, or what is there is foreign, damaged or would have
        to run code.
    """
    folder = Path(str(source))
    if folder.is_file():
        raise InputError(f"{source} is a file; pass the model's folder")
    if not folder.is_dir():
        return load_exported(_from_hub(str(source), savedir))
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
        "cry_modules.export writes it) nor a run of a train script"
    )


def load_exported(folder: Path) -> SavedModel:
    """A model from ``model.json`` and ``model.safetensors``.

    Arguments
    ---------
    folder : pathlib.Path
        That holds both.

    Returns
    -------
    SavedModel

    Raises
    ------
    InputError
        A file is missing, leads out of the folder, is not the one that was
        written, or does not fit the description.
    """
    about = read_description(folder)
    described = about.get("model")
    try:
        if not isinstance(described, dict):
            raise ValueError("it describes no model")
        model = build(Blueprint(**described), about)
        model.threshold()  # refuses what is none
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{folder}/{MODEL_FILE} cannot be used ({error}); get or export "
            "the model again"
        )
    weights = inside(folder, WEIGHTS_FILE)
    files = about.get("files")
    written = files.get(WEIGHTS_FILE) if isinstance(files, dict) else None
    if written != sha256(weights):
        raise InputError(
            f"{weights} is not the file that {MODEL_FILE} was written with "
            "(SHA-256 differs): truncated or exchanged; get it again"
        )
    _load_weights(model, weights)
    return model


def read_description(folder: Path) -> Dict:
    """``model.json``.

    Arguments
    ---------
    folder : pathlib.Path
        That holds it.

    Returns
    -------
    dict

    Raises
    ------
    InputError
        It is missing, too long, no JSON or of another format.
    """
    path = inside(folder, MODEL_FILE)
    if path.stat().st_size > _LONGEST:
        raise InputError(f"{path} has more than 1 MiB; it is no {MODEL_FILE}")
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no JSON ({error}); get it again")
    found = about.get("format") if isinstance(about, dict) else None
    if found != FORMAT:
        raise InputError(
            f"{path} has the format {found!r}, and this is for {FORMAT!r}; "
            "install the version that wrote it, or export again"
        )
    return about


def inside(folder: Path, name: str) -> Path:
    """A file of a model's folder, and of no other.

    Arguments
    ---------
    folder : pathlib.Path
        Of the model.
    name : str
        Of the file.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    InputError
        It is missing, or a link that leads out of the folder. What lies in
        the Hugging Face cache's own ``blobs`` may be linked to.
    """
    path, root = Path(folder) / name, Path(folder).resolve()
    real = path.resolve()
    blobs = root.parents[1] / "blobs" if len(root.parents) > 1 else root
    if real.parent not in (root, blobs):
        raise InputError(
            f"{path} is a link that leads out of the folder; put the file "
            "itself there"
        )
    if not real.is_file():
        raise InputError(f"{path} does not exist; get the model again")
    return path


def sha256(path: Path) -> str:
    """Checksum of a file.

    Arguments
    ---------
    path : pathlib.Path
        To read.

    Returns
    -------
    str
        Hexadecimal.

    Example
    -------
    >>> path = getfixture("tmpdir").join("a")
    >>> path.write("")
    >>> sha256(path)[:8]
    'e3b0c442'
    """
    found = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 22), b""):
            found.update(block)
    return found.hexdigest()


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
    for part, module in model.parts().items():
        start = f"{part}."
        own = {k[len(start) :]: v for k, v in state.items() if k.startswith(start)}  # fmt: skip
        module.load_state_dict(own, strict=True)


def load_run(folder: Path) -> SavedModel:
    """The best checkpoint of a train script's results folder.

    Its ``hyperparams.yaml`` is read as text: nothing of it is built.

    Arguments
    ---------
    folder : pathlib.Path
        Of ``train_cls.py``, or of a script that trains an encoder.

    Returns
    -------
    SavedModel

    Raises
    ------
    InputError
        The run is not finished, is one of several folds, or is damaged.
    """
    blueprint, metrics = read_run(folder)
    model = build(blueprint, metrics)
    path = load_encoder(
        model.embedder.encoder, str(folder), blueprint.front_end
    )
    if model.posterior is not None:
        load_beside(path, HEAD_FILE, model.posterior.head)
    return model


def read_run(folder: Path) -> Tuple[Blueprint, Dict]:
    """What the model of a results folder is made of, and its metrics.

    Arguments
    ---------
    folder : pathlib.Path
        Of a train script.

    Returns
    -------
    blueprint : Blueprint
    metrics : dict
        ``metrics.json``; empty where the run trained an encoder.

    Raises
    ------
    InputError
        As ``load_run``.
    """
    settings = run_settings(folder)
    known = {
        "width": int(settings["width"]),
        "front_end": settings.get("front_end", "fbank"),
        "chunk_s": float(settings["chunk_s"]),
    }
    if "finetune_mode" not in settings:
        return Blueprint(**known), {}
    path = Path(folder) / "metrics.json"
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
    """Plain settings of a run, read as text.

    Arguments
    ---------
    folder : pathlib.Path
        Of a train script.

    Returns
    -------
    dict

    Raises
    ------
    InputError
        It is none.
    """
    path = Path(folder) / YAML_FILE
    if not path.is_file():
        raise InputError(
            f"{folder} has no {YAML_FILE}; pass the folder that a train "
            "script wrote"
        )
    settings = plain_settings(path.read_text(encoding="utf-8"))
    missing = [name for name in ("width", "chunk_s") if name not in settings]
    if missing:
        raise InputError(
            f"{path} has no {missing[0]!r}: it is not of these train scripts"
        )
    return settings


def _from_hub(repository: str, savedir: Optional[str]) -> Path:
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
        for name in (WEIGHTS_FILE, MODEL_FILE):
            path = hf_hub_download(repository, name, local_dir=savedir)
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
