"""Encoders from where they were left: strictly, without running code, and
only for what they were trained to hear.

Authors
 * The contributors of cry-ssl 2026
"""

import pickle
import re
from pathlib import Path
from typing import Dict, List, Optional

import torch
from torch import nn

from cry_modules import __version__, panns
from cry_modules.checkpointer import read_meta, whole
from cry_modules.encoder_front_end import MODEL_FILE, YAML_FILE, check_front_end
from cry_modules.front_ends import FRONT_ENDS, make_front_end
from cry_modules.public_encoders import public_encoder
from data_prep.errors import InputError

ENCODER_FILE = "encoder.ckpt"
#: SpeechBrain's name of it.
SPEECHBRAIN_FILE = "embedding_model.ckpt"

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


class _NotBuilt:
    """Stands for what is in a file and not needed: nothing of it is made."""

    def __init__(self, *args):
        pass

    def __setstate__(self, state):
        pass


#: PANNs' files hold the state of their sampler: arrays and numbers of numpy,
#: by the names of its versions 1 and 2.
_NUMPY = [
    (_NotBuilt, name)
    for name in (
        "numpy.ndarray",
        "numpy.dtype",
        "numpy.core.multiarray._reconstruct",
        "numpy.core.multiarray.scalar",
        "numpy._core.multiarray._reconstruct",
        "numpy._core.multiarray.scalar",
    )
]


def load_encoder(
    encoder: nn.Module, source: str, front_end: str = "fbank"
) -> Path:
    """Load the encoder's weights; every key must be there and fit.

    SpeechBrain's CNN14 has our names. Those of PANNs' are converted; their
    ``fc1``, which follows our encoder's end, is left.

    Arguments
    ---------
    encoder : torch.nn.Module
        Changed in place.
    source : str
        A results folder, checkpoint folder or exported model of this project,
        a file with a state dict (ours, SpeechBrain's or PANNs'), or a Hugging
        Face id.
    front_end : str
        What the encoder is to hear; see ``front_ends.FRONT_ENDS``.

    Returns
    -------
    pathlib.Path
        The file it came from.

    Raises
    ------
    InputError
        Nothing there, not a checkpoint, trained with another front end, or
        keys that are missing, unexpected or misshapen; the message names the
        first three.

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
    state = read_state_dict(path)
    weights = panns.converted(state, path) if panns.is_panns(state) else state
    check_front_end(str(source), path, state, front_end)
    _load_strictly(encoder, weights, path)
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
    _load_strictly(module, read_state_dict(beside), beside)
    return True


def _load_strictly(module, state, path) -> None:
    wrong = differences(state, module.state_dict())
    if wrong:
        shown = "; ".join(wrong[:3])
        more = len(wrong) - 3
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
    public = public_encoder(path.name)
    if public is not None:
        raise InputError(
            f"encoder_source {source} does not exist; download "
            f"{public.where()}, and pass its path"
        )
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

    public = public_encoder(repository)
    names = (ENCODER_FILE, SPEECHBRAIN_FILE)
    if public is not None:
        names = (public.file,)
    for name in names:
        try:
            path = Path(hf_hub_download(repository, name))
            for beside in () if public else (MODEL_FILE, YAML_FILE):
                _download_if_there(repository, beside)
            return path
        except LocalEntryNotFoundError:  # no network
            raise InputError(
                f"encoder_source {repository} is no file or folder here, and "
                "the Hugging Face hub cannot be reached; correct the path, or "
                f"{_by_hand(repository, public)}"
            )
        except EntryNotFoundError:
            continue
        except (OSError, ValueError) as error:
            reason = str(error).strip().split("\n")[0]
            raise InputError(
                f"encoder_source {repository} is neither a file or folder here "
                f"nor to be had from the Hugging Face hub ({reason}); correct "
                f"the path, or {_by_hand(repository, public)}"
            )
    raise InputError(
        f"encoder_source {repository} on the Hugging Face hub holds no "
        f"{' or '.join(names)}"
    )


def _download_if_there(repository, name):
    """What says which front end an encoder was trained with."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    try:
        hf_hub_download(repository, name)
    except EntryNotFoundError:
        pass


def _by_hand(repository, public) -> str:
    """How to do without a network here."""
    if public is None:
        return (
            f"download {SPEECHBRAIN_FILE} and {YAML_FILE} of {repository} into "
            "a folder, and pass the first"
        )
    return (
        f"download {public.file} of {repository} ({public.url}), and pass its "
        f"path with --front_end {public.front_end}"
    )


def read_state_dict(path: Path) -> Dict[str, torch.Tensor]:
    """Tensors by name from a checkpoint, which can run no code.

    Arguments
    ---------
    path : pathlib.Path
        As ``torch.save`` wrote it: a state dict, or one called ``model``
        beside other things, as in PANNs' files.

    Returns
    -------
    dict

    Raises
    ------
    InputError
        Truncated, foreign, or more than tensors.
    """
    try:
        with torch.serialization.safe_globals(_NUMPY):
            state = torch.load(path, map_location="cpu", weights_only=True)
    except _NOT_A_CHECKPOINT:
        raise InputError(
            f"encoder_source {path} is not a checkpoint of tensors alone: "
            "truncated, another kind of file, or one that would run code"
        )
    if isinstance(state, dict) and isinstance(state.get("model"), dict):
        state = state["model"]
    is_tensors = isinstance(state, dict) and all(
        torch.is_tensor(value) for value in state.values()
    )
    if not is_tensors:
        raise InputError(
            f"encoder_source {path} is no state dict (names with tensors); "
            "save encoder.state_dict() and pass that file"
        )
    return state


def differences(
    state: Dict[str, torch.Tensor], expected: Dict[str, torch.Tensor]
) -> List[str]:
    """What keeps a state dict from fitting, one phrase each.

    Arguments
    ---------
    state : dict
        Tensors by name.
    expected : dict
        As they must be.

    Returns
    -------
    list of str
        Empty where it fits.

    Example
    -------
    >>> differences({"a": torch.ones(2)}, {"b": torch.ones(2)})
    ['b is missing', 'a is unexpected']
    """
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
        fitting = [
            name for name in FRONT_ENDS if make_front_end(name).n_mels == n_mels
        ]
        cure = f": pass --front_end {' or '.join(fitting)}" if fitting else ""
        return f"; it hears {n_mels} mel bands, here {_n_mels(own)}{cure}"
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
