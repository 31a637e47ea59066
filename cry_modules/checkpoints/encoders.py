"""Encoders from where they were left: strictly, without running code, and
only for what they were trained to hear.
"""

import os
import pickle
import re
import struct
import zipfile
from pathlib import Path
from typing import Dict, List, Optional

import torch
from torch import nn

from cry_modules import __version__
from cry_modules.checkpoints import panns
from cry_modules.checkpoints.checkpointer import read_meta, whole
from cry_modules.checkpoints.front_end import (
    YAML_FILE,
    check_known,
    check_statistics,
    front_end_of,
)
from cry_modules.checkpoints.public import public_encoder
from cry_modules.checkpoints.state_dict import MODEL_FILE, check_written, inside
from cry_modules.front_ends import FRONT_ENDS, make_front_end
from data_prep.files.errors import InputError

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
    ArithmeticError,
    AssertionError,
    MemoryError,
    OSError,
    struct.error,
    zipfile.BadZipFile,
)

#: How a file begins that torch takes for a zip, and one that pickle wrote.
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"
#: The pickle protocol of torch.save.
_PROTOCOL = b"\x02"

#: What weights and counts are kept in.
_NUMBERS = (
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
)
_LONGEST_NAME = 200


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
    encoder: nn.Module,
    source: str,
    front_end: str = "fbank",
    option: str = "encoder_source",
) -> Path:
    """Load the encoder's weights; every key must be there and fit.

    SpeechBrain's CNN14 has our names. Those of PANNs' are converted; their
    ``fc1``, which follows our encoder's end, is left.

    Example
    -------
    >>> path = str(getfixture("tmpdir").join("encoder.ckpt"))
    >>> torch.save(nn.Linear(2, 3).state_dict(), path)
    >>> load_encoder(nn.Linear(2, 3), path).name
    'encoder.ckpt'
    >>> load_encoder(nn.Linear(2, 4), path)
    Traceback (most recent call last):
    ...
    data_prep.files.errors.InputError: encoder_source ... does not fit this model: weight is (3, 2), here (4, 2); bias is (3,), here (4,)
    """
    path = find_encoder(source, option)
    called = _called(option, path)
    check_written(path)
    state = read_state_dict(path, called)
    weights = panns.converted(state, called) if panns.is_panns(state) else state
    known = front_end_of(str(source), path, state)
    if known is not None:
        check_known(known, front_end, called)
    _check_fit(encoder, weights, path, called)
    if known is None:
        check_statistics(weights, front_end, called)
    encoder.load_state_dict(weights, strict=True)
    return path


def _called(option, path) -> str:
    return f"{option} {path}" if option else str(path)


def load_beside(path: Path, name: str, module: nn.Module) -> bool:
    """Load another module's weights from the folder of an encoder file.

    Example
    -------
    >>> load_beside(Path("no/encoder.ckpt"), "projector.ckpt", nn.Linear(1, 1))
    False
    """
    beside = path.parent / name
    if not os.path.lexists(beside):
        return False
    check_written(inside(path.parent, name))
    state = read_state_dict(beside)
    _check_fit(module, state, beside, str(beside))
    module.load_state_dict(state, strict=True)
    return True


def _check_fit(module, state, path, called) -> None:
    wrong = differences(state, module.state_dict())
    if wrong:
        shown = "; ".join(wrong[:3])
        more = len(wrong) - 3
        raise InputError(
            f"{called} does not fit this model: {shown}"
            + (f" (and {more} more)" if more > 0 else "")
            + _hint(state, module)
            + _version_hint(path)
        )


def find_encoder(source: str, option: str = "encoder_source") -> Path:
    """The file behind an ``encoder_source``.

    A results folder stands for the checkpoint that its run ended with: the
    best on validation where the run chose by that, else the newest.
    """
    source = str(source)  # a folder may be called 2022
    path, called = Path(source), _called(option, source)
    if path.is_file():
        return path
    if path.is_dir():
        if (path / ENCODER_FILE).is_file():
            return inside(path, ENCODER_FILE)
        save = path / "save" if (path / "save").is_dir() else path
        found = [p for p in save.glob("CKPT*") if read_meta(p) is not None]
        best = whole(sorted(found, key=_rank, reverse=True))
        if best is not None and (best / ENCODER_FILE).is_file():
            return inside(best, ENCODER_FILE)
        raise InputError(
            f"{called} holds no {ENCODER_FILE}, in itself or in "
            "save/CKPT*/: has that run finished its first epoch?"
        )
    is_hub_id = re.fullmatch(r"[\w.-]+/[\w.-]+", source)
    if is_hub_id and not path.parent.is_dir():
        return _from_hub(source, called)
    public = public_encoder(path.name)
    if public is not None:
        raise InputError(
            f"{called} does not exist; download "
            f"{public.where()}, and pass its path"
        )
    raise InputError(
        f"{called} does not exist; pass a results folder, a "
        "checkpoint file, a Hugging Face id, or null for a random encoder"
    )


def _rank(folder: Path):
    """Checkpoints by validation score where they have one, then by time."""
    meta = read_meta(folder)
    return meta.get("score", float("-inf")), meta["unixtime"]


def _from_hub(repository: str, called: str) -> Path:
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
                f"{called} is no file or folder here, and "
                "the Hugging Face hub cannot be reached; correct the path, or "
                f"{_by_hand(repository, public)}"
            )
        except EntryNotFoundError:
            continue
        except (OSError, ValueError) as error:
            reason = str(error).strip().split("\n")[0]
            raise InputError(
                f"{called} is neither a file or folder here "
                f"nor to be had from the Hugging Face hub ({reason}); correct "
                f"the path, or {_by_hand(repository, public)}"
            )
    raise InputError(
        f"{called} on the Hugging Face hub holds no {' or '.join(names)}"
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


def read_state_dict(
    path: Path, called: Optional[str] = None
) -> Dict[str, torch.Tensor]:
    """Tensors by name from a checkpoint, which can run no code.

    Example
    -------
    >>> path = str(getfixture("tmpdir").join("a.ckpt"))
    >>> torch.save({"weight": torch.tensor([1, float("nan")])}, path)
    >>> read_state_dict(Path(path), "a.ckpt")
    Traceback (most recent call last):
    ...
    data_prep.files.errors.InputError: a.ckpt cannot be used: weight holds NaN or infinity; its training failed, or it is damaged; take another
    """
    called = called or str(path)
    try:
        with open(path, "rb") as file:
            start = file.read(len(_ZIP))
    except OSError as error:
        raise InputError(f"{called} cannot be read: {error.strerror}")
    try:
        if start == _ZIP:
            _check_stored(path, called)
        with torch.serialization.safe_globals(_NUMPY):
            state = torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except _NOT_A_CHECKPOINT as error:
        raise InputError(f"{called} {_not_read(start, error)}")
    if isinstance(state, dict) and isinstance(dict.get(state, "model"), dict):
        state = state["model"]
    if not isinstance(state, dict):
        raise _no_state_dict(called, "it is no dict")
    # One of dict's own: what was read may bring other attributes.
    state = dict(dict.items(state))
    for name, value in state.items():
        _check_entry(name, value, called)
    return state


def _check_stored(path, called) -> None:
    """A small file is no large one: torch.save compresses nothing."""
    with zipfile.ZipFile(path) as file:
        members = file.infolist()
    is_stored = all(m.compress_type == zipfile.ZIP_STORED for m in members)
    size = path.stat().st_size
    if not is_stored or sum(m.file_size for m in members) > size:
        raise InputError(
            f"{called} holds more than its {size} bytes, compressed, which "
            "torch.save does not do; save the state dict again"
        )


def _not_read(start: bytes, error: Exception) -> str:
    """Why torch's reader gave up, in words."""
    function = re.search(r"GLOBAL (\w+(?:\.\w+)*) ", str(error))
    if isinstance(error, pickle.UnpicklingError) and function:
        return (
            f"would run code to be loaded ({function[1][:100]}), or is "
            "damaged; get a file of tensors alone"
        )
    if start[:1] == _PICKLE and start[1:2] not in (b"", _PROTOCOL):
        return (
            "is a pickle that torch.save did not write, and could run code; "
            "get a file of tensors alone"
        )
    return (
        "is not a checkpoint of tensors alone: truncated, or another kind of "
        "file"
    )


def _no_state_dict(called, reason) -> InputError:
    return InputError(
        f"{called} is no state dict (names with dense tensors): {reason}; save "
        "encoder.state_dict() and pass that file"
    )


def _check_entry(name, value, called) -> None:
    """One of a state dict that a module of ours could have."""
    is_name = isinstance(name, str) and name.isprintable()
    if not is_name or len(name) > _LONGEST_NAME:
        raise _no_state_dict(called, "a name is no short text")
    if type(value) not in (torch.Tensor, nn.Parameter):
        raise _no_state_dict(called, f"{name} is no tensor")
    if not _is_dense(value):
        raise _no_state_dict(called, f"{name} is no dense tensor of numbers")
    if value.is_floating_point() and not value.isfinite().all():
        raise InputError(
            f"{called} cannot be used: {name} holds NaN or infinity; its "
            "training failed, or it is damaged; take another"
        )


def _is_dense(value) -> bool:
    """Whether every number of a tensor is in memory, as a number."""
    is_plain = (
        value.layout == torch.strided
        and value.device.type == "cpu"
        and value.dtype in _NUMBERS
        and not value.is_nested
    )
    # A stride of 0 makes a few bytes look like many numbers.
    return is_plain and value.nbytes <= value.untyped_storage().nbytes()


def differences(
    state: Dict[str, torch.Tensor], expected: Dict[str, torch.Tensor]
) -> List[str]:
    """What keeps a state dict from fitting, one phrase each.

    Example
    -------
    >>> differences({"a": torch.ones(2)}, {"b": torch.ones(2)})
    ['b is missing', 'a is unexpected']
    """
    missing = [f"{key} is missing" for key in expected if key not in state]
    unexpected = [
        f"{key} is unexpected" for key in state if key not in expected
    ]
    both = [key for key in expected if key in state]
    misshapen = [
        f"{key} is {tuple(state[key].shape)}, here {tuple(expected[key].shape)}"
        for key in both
        if state[key].shape != expected[key].shape
    ]
    mistyped = [
        f"{key} is of {state[key].dtype}, here {expected[key].dtype}"
        for key in both
        if expected[key].is_floating_point()
        and not state[key].is_floating_point()
    ]
    return misshapen + mistyped + missing + unexpected


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
    return _length(state, "conv_block1.conv1.weight")


def _n_mels(state) -> Optional[int]:
    return _length(state, "norm0.weight")


def _length(state, name) -> Optional[int]:
    """Of a weight; None where there is none that has one."""
    weight = state.get(name)
    has_length = weight is not None and weight.dim() and len(weight)
    return len(weight) if has_length else None
