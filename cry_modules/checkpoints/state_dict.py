"""The description of an exported model, ``model.json``, and the files beside
it that are its own.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Dict

from data_prep.files.errors import InputError

MODEL_FILE = "model.json"
FORMAT = "cry-ssl model 1"

#: A description is no longer than this, bytes.
_LONGEST = 1 << 20


def read_description(folder: Path) -> Dict:
    """``model.json``."""
    path = inside(folder, MODEL_FILE)
    if path.stat().st_size > _LONGEST:
        raise InputError(f"{path} has more than 1 MiB; it is no {MODEL_FILE}")
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise InputError(f"{path} is no JSON ({error}); get it again")
    found = about.get("format") if isinstance(about, dict) else None
    if found != FORMAT:
        raise InputError(
            f"{path} has the format {found!r:.80}, and this is for {FORMAT!r}; "
            "install the version that wrote it, or export again"
        )
    return about


def inside(folder: Path, name: str) -> Path:
    """A file of a model's folder, and of no other."""
    path = Path(folder) / name
    # Not Path.resolve, which raises where links go round.
    root, real = (Path(os.path.realpath(p)) for p in (folder, path))
    allowed = [root]
    if root.parent.name == "snapshots":
        allowed.append(root.parent.parent / "blobs")
    if real.parent not in allowed:
        raise InputError(
            f"{path} is a link that leads out of the folder; put the file "
            "itself there"
        )
    if not real.is_file():
        raise InputError(f"{path} does not exist; get the model again")
    return path


def check_written(path: Path) -> None:
    """Refuse a file of an exported model that was exchanged since.

    Example
    -------
    >>> check_written(Path("no/encoder.ckpt"))
    """
    if not os.path.lexists(path.parent / MODEL_FILE):
        return
    files = read_description(path.parent).get("files")
    written = files.get(path.name) if isinstance(files, dict) else None
    if written != sha256(path):
        raise InputError(
            f"{path} is not the file that {MODEL_FILE} was written with "
            "(SHA-256 differs): truncated or exchanged; get it again, or move "
            "a file of your own to a folder of its own"
        )


def sha256(path: Path) -> str:
    """Checksum of a file.

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
