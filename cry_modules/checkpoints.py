"""Encoders from where they were left: strictly, and without running code.

Authors
 * The contributors of cry-ssl 2026
"""

import pickle
import re
from pathlib import Path
from typing import Dict, Optional

import torch
from torch import nn

from cry_modules import __version__
from cry_modules.checkpointer import read_meta, whole
from data_prep.errors import InputError

ENCODER_FILE = "encoder.ckpt"

#: What torch's reader raises, by what the bytes happen to look like.
_NOT_A_CHECKPOINT = (
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
)


def load_encoder(encoder: nn.Module, source: str) -> Path:
    """Load the encoder's weights; every key must be there and fit.

    Arguments
    ---------
    encoder : torch.nn.Module
        Changed in place.
    source : str
        A results folder or checkpoint folder of this project, a file with a
        state dict, or a Hugging Face id.

    Returns
    -------
    pathlib.Path
        The file it came from.

    Raises
    ------
    InputError
        Nothing there, not a checkpoint, or keys that are missing,
        unexpected or misshapen; the message names the first three.

    Example
    -------
    >>> path = str(getfixture("tmpdir").join("encoder.ckpt"))
    >>> torch.save(nn.Linear(2, 3).state_dict(), path)
    >>> load_encoder(nn.Linear(2, 3), path).name
    'encoder.ckpt'
    >>> load_encoder(nn.Linear(2, 4), path)
    Traceback (most recent call last):
    ...
    data_prep.errors.InputError: encoder_source ... does not fit this model: weight is (3, 2), here (4, 2); bias is (3,), here (4,)
    """
    path = find_encoder(source)
    _load_strictly(encoder, path)
    return path


def load_beside(path: Path, name: str, module: nn.Module) -> bool:
    """Load another module's weights from the folder of an encoder file.

    Arguments
    ---------
    path : pathlib.Path
        The encoder file.
    name : str
        The other file's name.
    module : torch.nn.Module
        Changed in place.

    Returns
    -------
    bool
        Whether there was such a file.

    Raises
    ------
    InputError
        As ``load_encoder``.

    Example
    -------
    >>> load_beside(Path("no/encoder.ckpt"), "projector.ckpt", nn.Linear(1, 1))
    False
    """
    beside = path.parent / name
    if not beside.is_file():
        return False
    _load_strictly(module, beside)
    return True


def _load_strictly(module: nn.Module, path: Path) -> None:
    state = read_state_dict(path)
    differences = _differences(state, module.state_dict())
    if differences:
        shown = "; ".join(differences[:3])
        more = len(differences) - 3
        raise InputError(
            f"encoder_source {path} does not fit this model: {shown}"
            + (f" (and {more} more)" if more > 0 else "")
            + _hint(state, module)
            + _version_hint(path)
        )
    module.load_state_dict(state, strict=True)


def find_encoder(source: str) -> Path:
    """The file behind an ``encoder_source``.

    A results folder stands for the checkpoint that its run ended with: the
    best on validation where the run chose by that, else the newest.

    Arguments
    ---------
    source : str
        See ``load_encoder``.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    InputError
        Nothing is there.
    """
    source = str(source)  # a folder may be called 2022
    path = Path(source)
    if path.is_file():
        return path
    if path.is_dir():
        if (path / ENCODER_FILE).is_file():
            return path / ENCODER_FILE
        save = path / "save" if (path / "save").is_dir() else path
        found = [p for p in save.glob("CKPT*") if read_meta(p) is not None]
        best = whole(sorted(found, key=_rank, reverse=True))
        if best is not None and (best / ENCODER_FILE).is_file():
            return best / ENCODER_FILE
        raise InputError(
            f"encoder_source {source} holds no {ENCODER_FILE}, in itself or in "
            "save/CKPT*/: has that run finished its first epoch?"
        )
    is_hub_id = re.fullmatch(r"[\w.-]+/[\w.-]+", source)
    if is_hub_id and not path.parent.is_dir():
        return _from_hub(source)
    raise InputError(
        f"encoder_source {source} does not exist; pass a results folder, a "
        "checkpoint file, a Hugging Face id, or null for a random encoder"
    )


def _rank(folder: Path):
    """Checkpoints by validation score where they have one, then by time."""
    meta = read_meta(folder)
    return meta.get("score", float("-inf")), meta["unixtime"]


def _from_hub(repository: str) -> Path:
    """Fetch the encoder of a Hugging Face repository."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        LocalEntryNotFoundError,
    )

    for name in (ENCODER_FILE, "embedding_model.ckpt"):
        try:
            return Path(hf_hub_download(repository, name))
        except LocalEntryNotFoundError:  # no network
            raise InputError(
                f"encoder_source {repository} is no file or folder here, and "
                "the Hugging Face hub cannot be reached; correct the path, or "
                "download the checkpoint and pass its file"
            )
        except EntryNotFoundError:
            continue
        except (OSError, ValueError) as error:
            reason = str(error).strip().split("\n")[0]
            raise InputError(
                f"encoder_source {repository} is neither a file or folder here "
                f"nor to be had from the Hugging Face hub ({reason}); correct "
                "the path, or download the checkpoint and pass its file"
            )
    raise InputError(
        f"encoder_source {repository} on the Hugging Face hub holds neither "
        f"{ENCODER_FILE} nor embedding_model.ckpt"
    )


def read_state_dict(path: Path) -> Dict[str, torch.Tensor]:
    """Tensors by name from a checkpoint, which can run no code.

    Arguments
    ---------
    path : pathlib.Path
        As ``torch.save`` wrote it.

    Returns
    -------
    dict

    Raises
    ------
    InputError
        Truncated, foreign, or more than tensors.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except _NOT_A_CHECKPOINT:
        raise InputError(
            f"encoder_source {path} is not a checkpoint of tensors alone: "
            "truncated, another kind of file, or one that would run code"
        )
    is_tensors = isinstance(state, dict) and all(
        torch.is_tensor(value) for value in state.values()
    )
    if not is_tensors:
        raise InputError(
            f"encoder_source {path} is no state dict (names with tensors); "
            "save encoder.state_dict() and pass that file"
        )
    return state


def _differences(state, expected):
    """What keeps a state dict from fitting, one phrase each."""
    missing = [f"{key} is missing" for key in expected if key not in state]
    unexpected = [
        f"{key} is unexpected" for key in state if key not in expected
    ]
    misshapen = [
        f"{key} is {tuple(state[key].shape)}, here {tuple(value.shape)}"
        for key, value in expected.items()
        if key in state and state[key].shape != value.shape
    ]
    return misshapen + missing + unexpected


def _hint(state, module) -> str:
    """The cure where only the width or the number of mel bands differs."""
    own = module.state_dict()
    width, n_mels = _width(state), _n_mels(state)
    if width is not None and width != _width(own):
        return f"; it has width {width}: pass --width {width}"
    if n_mels is not None and n_mels != _n_mels(own):
        return (
            f"; it hears {n_mels} mel bands, here {_n_mels(own)} (n_mels of "
            "hparams/models/cnn14.yaml)"
        )
    return ""


def _version_hint(path) -> str:
    """Where a checkpoint of ours is of another version."""
    written = (read_meta(path.parent) or {}).get("version", __version__)
    if written == __version__:
        return ""
    return f"; version {written} wrote it, this is {__version__}"


def _width(state) -> Optional[int]:
    weight = state.get("conv_block1.conv1.weight")
    return None if weight is None else len(weight)


def _n_mels(state) -> Optional[int]:
    weight = state.get("norm0.weight")
    return None if weight is None else len(weight)
