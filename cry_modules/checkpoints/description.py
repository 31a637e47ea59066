"""``model.json``: the description of an exported model, which is only data."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Optional

from cry_modules.architectures import (
    ARCHITECTURES,
    check_front_end,
    is_architecture,
)
from cry_modules.checkpoints.versions import written_before
from cry_modules.cnn14 import POOLINGS
from cry_modules.embeddings import INPUTS
from cry_modules.front_ends import FRONT_ENDS, is_front_end
from data_prep.files.errors import InputError
from data_prep.files.fingerprint import sha256
from data_prep.files.folders import file_inside

MODEL_FILE = "model.json"
FORMAT, _FORMAT_BEFORE = "cry-ssl model 2", "cry-ssl model 1"

#: Largest size of a description, bytes.
_LONGEST = 1 << 20
#: Bounds of a model's description.
_WIDEST, _MOST_CLASSES = 256, 10000


@dataclass
class Blueprint:
    """Settings that rebuild a model; see ``Embedder`` and ``Posterior``."""

    width: int  #: of the encoder, 1 to 256
    front_end: str = "fbank"
    readout: str = "embedding"
    tested_on: str = "recordings"
    chunk_s: float = 4.0  #: length of the training chunks, seconds
    #: The positive one last; empty for an encoder without a classifier.
    classes: List[str] = field(default_factory=list)
    log_prior: List[float] = field(default_factory=list)  #: one number a class
    architecture: str = "cnn14"
    pooling: str = "mean"  #: of frequency, at the end of the encoder

    def __post_init__(self):
        if type(self.width) is not int or not 1 <= self.width <= _WIDEST:
            raise ValueError(f"width is {self.width!r}; 1 to {_WIDEST}")
        for name, known in (
            ("architecture", ARCHITECTURES),
            ("front_end", FRONT_ENDS),
            ("pooling", POOLINGS),
            ("tested_on", INPUTS),
        ):
            value = getattr(self, name)
            if not isinstance(value, str) or not (
                value in known
                or (name == "architecture" and is_architecture(value))
                or (name == "front_end" and is_front_end(value))
            ):
                raise ValueError(
                    f"{name} is {value!r}; one of {', '.join(known)}"
                )
        check_front_end(self.architecture, self.front_end)
        if not isinstance(self.readout, str):
            raise ValueError(f"readout is {self.readout!r}; it must be a text")
        if not _is_number(self.chunk_s) or not 0.3 <= self.chunk_s <= 3600:
            raise ValueError(f"chunk_s is {self.chunk_s!r}; 0.3 to 3600 s")
        self._check_classes()

    def _check_classes(self):
        classes, prior = self.classes, self.log_prior
        if not isinstance(classes, list) or not isinstance(prior, list):
            raise ValueError("classes and log_prior must be lists")
        if len(classes) == 1 or len(classes) > _MOST_CLASSES:
            raise ValueError(f"there are {len(classes)} classes; 2 or more")
        if not all(isinstance(name, str) for name in classes):
            raise ValueError("a class is not a text")
        if len(set(classes)) < len(classes):
            raise ValueError("a class is listed twice")
        if len(prior) != len(classes):
            raise ValueError(
                f"log_prior has {len(prior)} number(s) for {len(classes)} "
                "classes"
            )
        if not all(map(_is_number, prior)):
            raise ValueError("log_prior holds a value that is not a number")


def read_description(folder: Path) -> Dict:
    """Read and check the ``model.json`` of an exported model."""
    path = file_inside(folder, MODEL_FILE)
    if path.stat().st_size > _LONGEST:
        raise InputError(
            f"{path} has more than 1 MiB: it is not a {MODEL_FILE}; get the "
            "model again"
        )
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise InputError(f"{path} is not JSON ({error}); get it again")
    is_dict = isinstance(description, dict)
    written = description.get("format") if is_dict else None
    if written == _FORMAT_BEFORE:
        raise written_before(path)
    if written != FORMAT:
        raise InputError(
            f"{path} has the format {written!r:.80}, and this version reads "
            f"{FORMAT!r}; install the version that wrote it, or export again"
        )
    return description


def check_unchanged(path: Path) -> None:
    """Refuse a file whose checksum differs from that in ``model.json``.

    A file without a ``model.json`` in its folder passes.
    """
    if not os.path.lexists(path.parent / MODEL_FILE):
        return
    files = read_description(path.parent).get("files")
    written = files.get(path.name) if isinstance(files, dict) else None
    if written != sha256(path):
        raise InputError(
            f"{path} is not the file that {MODEL_FILE} was written with "
            "(SHA-256 differs): truncated or exchanged; get it again, or move "
            "a file of your own to another folder"
        )


def threshold_of(description: Dict, n_classes: int) -> Optional[float]:
    """Decision threshold of the operating point; None without one."""
    point = description.get("operating_point")
    if point is None:
        return None
    threshold = point.get("threshold") if isinstance(point, dict) else None
    # Slightly above 1 where no recording is predicted to be positive.
    in_bounds = _is_number(threshold) and 0 <= threshold < 1.001
    if not in_bounds or n_classes != 2:
        raise ValueError(
            f"its operating point has the threshold {threshold!r} for "
            f"{n_classes} classes; 0 to 1 for two"
        )
    return threshold


def _is_number(value) -> bool:
    """Check that a value is a number, finite in single precision too."""
    is_real = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_real and abs(value) < 1e30
