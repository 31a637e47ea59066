"""State dicts: read without running code, checked, and loaded strictly."""

import hashlib
import pickle
import re
import zipfile
from pathlib import Path
from typing import Callable, Dict, List, Optional

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from data_prep.files.errors import InputError

#: First bytes of a zip file and of a pickle.
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"
#: The pickle protocol of torch.save.
_PROTOCOL = b"\x02"

#: Types of weights and counts.
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
    """Replaces objects in a file that are not needed: nothing is built."""

    def __init__(self, *args):
        pass

    def __setstate__(self, state):
        pass


#: PANNs' files hold the state of their sampler: numpy's arrays and numbers,
#: by the names of numpy 1 and 2.
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


def read_state_dict(
    path: Path, title: Optional[str] = None
) -> Dict[str, torch.Tensor]:
    """Read tensors by name from a checkpoint, which cannot run code.

    ``title`` names the file in errors.
    """
    title = title or str(path)
    if Path(path).suffix == ".safetensors":
        return _checked(_safetensors(path, title), title)
    try:
        with open(path, "rb") as file:
            start = file.read(len(_ZIP))
    except OSError as error:
        raise InputError(f"{title} cannot be read: {error.strerror}")
    try:
        if start == _ZIP:
            _check_stored(path, title)
        with torch.serialization.safe_globals(_NUMPY):
            state = torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except Exception as error:  # any, by what the bytes look like
        raise InputError(f"{title} {_reason(start, error)}")
    if isinstance(state, dict) and isinstance(dict.get(state, "model"), dict):
        state = state["model"]
    if not isinstance(state, dict):
        raise _not_a_state_dict(title, "it is not a dict")
    # A plain dict: a pickle may set any attribute of its own, methods too.
    return _checked(dict(dict.items(state)), title)


def _safetensors(path, title):
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{title} holds no tensors ({error}); get it again")


def _checked(state, title):
    for name, value in state.items():
        _check_entry(name, value, title)
    return state


def _check_stored(path, title) -> None:
    """Refuse a small file that expands: torch.save compresses nothing."""
    with zipfile.ZipFile(path) as file:
        members = file.infolist()
    is_stored = all(m.compress_type == zipfile.ZIP_STORED for m in members)
    size = path.stat().st_size
    if not is_stored or sum(m.file_size for m in members) > size:
        raise InputError(
            f"{title} is compressed: it holds more than its {size} bytes, and "
            "torch.save compresses nothing; save the state dict again"
        )


def _reason(start: bytes, error: Exception) -> str:
    function = re.search(r"GLOBAL (\w+(?:\.\w+)*) ", str(error))
    if isinstance(error, pickle.UnpicklingError) and function:
        return (
            f"would run code when loaded ({function[1][:100]}), or is damaged; "
            "pass a file that holds only tensors"
        )
    if start[:1] == _PICKLE and start[1:2] not in (b"", _PROTOCOL):
        return (
            "is a pickle that torch.save did not write, and could run code; "
            "pass a file that holds only tensors"
        )
    return (
        "is not a checkpoint that holds only tensors: truncated, or another "
        "kind of file; get it again, or pass another"
    )


def _not_a_state_dict(title, reason) -> InputError:
    return InputError(
        f"{title} is not a state dict (names and dense tensors): {reason}; "
        "save encoder.state_dict() and pass that file"
    )


def _check_entry(name, value, title) -> None:
    is_name = isinstance(name, str) and name.isprintable()
    if not is_name or len(name) > _LONGEST_NAME:
        raise _not_a_state_dict(title, "a name is not a short text")
    if type(value) not in (torch.Tensor, nn.Parameter):
        raise _not_a_state_dict(title, f"{name} is not a tensor")
    if not _is_dense(value):
        raise _not_a_state_dict(
            title, f"{name} is not a dense tensor of numbers"
        )
    if value.is_floating_point() and not value.isfinite().all():
        raise InputError(
            f"{title}: {name} holds NaN or infinity: its training failed, or "
            "the file is damaged; pass another"
        )


def _is_dense(value) -> bool:
    """Check that every number of a tensor is in memory, as a number."""
    is_plain = (
        value.layout == torch.strided
        and value.device.type == "cpu"
        and value.dtype in _NUMBERS
        and not value.is_nested
    )
    # A stride of 0 makes a few bytes look like many numbers.
    return is_plain and value.nbytes <= value.untyped_storage().nbytes()


def below(
    state: Dict[str, torch.Tensor], anchor: str
) -> Dict[str, torch.Tensor]:
    """Weights of the module that holds ``anchor``, without its prefix; empty
    if no module holds it.

    Heads, decoders and projectors of the same file are left out.

    Example
    -------
    >>> below({"model.encoder.a.b": 1, "model.encoder.c": 2, "head": 3}, "a.b")
    {'a.b': 1, 'c': 2}
    """
    ends = [n for n in state if n == anchor or n.endswith(f".{anchor}")]
    if not ends:
        return {}
    prefix = min(ends, key=len)[: -len(anchor)]
    return {
        name[len(prefix) :]: value
        for name, value in state.items()
        if name.startswith(prefix)
    }


def differences(
    state: Dict[str, torch.Tensor], expected: Dict[str, torch.Tensor]
) -> List[str]:
    """Reasons why a state dict does not fit, one phrase each."""
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


def check_fit(
    module: nn.Module,
    state: Dict[str, torch.Tensor],
    title: str,
    hint: Callable[[], str] = str,
) -> None:
    """Refuse a state dict with a missing, unexpected or misshapen key.

    ``title`` names the file in the error, the text of ``hint()`` ends it.
    """
    wrong = differences(state, module.state_dict())
    if wrong:
        more = f" (and {len(wrong) - 3} more)" if len(wrong) > 3 else ""
        raise InputError(
            f"{title} does not fit this model: {'; '.join(wrong[:3])}{more}"
            + hint()
        )


def checksum_of(state: Dict[str, torch.Tensor]) -> str:
    """Checksum of weights, the same for all files that hold them.

    Example
    -------
    >>> a, b = torch.tensor(1.0), torch.eye(2)
    >>> checksum_of({"a": a, "b": b}) == checksum_of({"b": b, "a": a})
    True
    """
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
        flat = value.detach().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
