"""Encoders behind HEAR's interface (https://hearbenchmark.com/hear-api.html), by
the name of the module that has it.

The module is code that somebody else wrote. It is only imported when the user
names it on the command line, and it is tried on noise before anything is
trained.
"""

import functools
import hashlib
import importlib
import logging
import re
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Dict, NamedTuple, Sequence

import torch
from torch import nn

from cry_modules.audio import repeat_to, shortest_input
from cry_modules.pretrained.frozen import FrozenEncoder, mean_and_spread
from cry_modules.pretrained.named import NotNamed, named_weights
from data_prep.audio.read import resampled
from data_prep.files.errors import InputError, require
from data_prep.files.fingerprint import sha256

logger = logging.getLogger(__name__)

#: Functions of HEAR's interface.
FUNCTIONS = ("load_model", "get_scene_embeddings", "get_timestamp_embeddings")
#: Sample rate of the recordings that an encoder is given.
RATE = 16000
#: Lengths of the noise that an encoder is tried on, seconds; the first is the
#: shortest recording of the pipeline.
_TRIED_S = (0.31, 0.5, 1.0, 2.0, 4.0, 10.0)
#: Difference between two embeddings of one sound, relative to their size.
_SAME = 1e-4
#: Sample rates that a model may have, Hz.
_RATES = (1000, 384_000)
_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_CURE = "correct the module, or pass another --encoder_source"


class Loaded(NamedTuple):
    """A module with HEAR's interface and its model."""

    title: str  # in errors
    module: ModuleType
    model: object
    sample_rate: int
    sizes: Dict[str, int]  # dimension of scene and timestamp embeddings
    sha256: bytes
    #: Fewest samples at 16 kHz that it can embed.
    shortest: int = 0


class HearEncoder(FrozenEncoder):
    """Scene embeddings of a module with HEAR's interface, and the mean and
    standard deviation over time of its timestamp embeddings.

    Recordings are resampled where the module's model has another sample rate.

    Arguments
    ---------
    source : str
        Name of the module. Its weights are those that the user has named.

    Raises
    ------
    InputError
        The user has not named the module, or it cannot be imported, lacks a
        part of the interface, or fails on noise.
    """

    kind = "hear"

    def __init__(self, source: str):
        source = str(source or "")
        self._loaded = hear = load(source, _weights(source))
        places = {
            "embedding": hear.sizes["scene"],
            "timestamps": 2 * hear.sizes["timestamp"],
        }
        super().__init__(places, hear.sha256, hear.shortest)
        if isinstance(hear.model, nn.Module):
            weights = hear.model.parameters()
            self.n_parameters = sum(weight.numel() for weight in weights)

    def read(self, wav: torch.Tensor, places: Sequence[str]) -> torch.Tensor:
        """Embed one recording ``[samples]`` as ``[dimensions]``."""
        readers = {"embedding": scene, "timestamps": timestamps}
        audio = resampled(wav.cpu(), RATE, self._loaded.sample_rate)
        audio = audio.to(wav.device)
        return torch.cat([readers[p](self._loaded, audio) for p in places])

    def _apply(self, fn, recurse=True):
        """Move the model too, which is not a part of the state dict."""
        if isinstance(self._loaded.model, nn.Module):
            self._loaded.model._apply(fn)
        return super()._apply(fn, recurse)


def scene(hear: Loaded, audio: torch.Tensor) -> torch.Tensor:
    """Scene embedding ``[size]`` of ``[samples]``."""
    name, size = "get_scene_embeddings", hear.sizes["scene"]
    embs = _call(hear, name, audio)
    return _checked(hear, name, embs, (1, size))[0]


def timestamps(hear: Loaded, audio: torch.Tensor) -> torch.Tensor:
    """Mean and spread ``[2 * size]`` of the timestamp embeddings of
    ``[samples]``."""
    name, size = "get_timestamp_embeddings", hear.sizes["timestamp"]
    pair = _call(hear, name, audio)
    require(
        isinstance(pair, (tuple, list)) and len(pair) == 2,
        f"{hear.title}: {name} returns {type(pair).__name__}, and HEAR's "
        "returns embeddings and timestamps",
        _CURE,
    )
    frames = _checked(hear, name, pair[0], (1, None, size))[0]
    require(
        len(frames) > 0, f"{hear.title}: {name} returns no timestamp", _CURE
    )
    return mean_and_spread(frames)


def _call(hear: Loaded, name: str, audio: torch.Tensor):
    seconds = len(audio) / hear.sample_rate
    with _in_one_line(f"{hear.title}: {name} of {seconds:.2f} s", _CURE):
        return getattr(hear.module, name)(audio[None], hear.model)


def _checked(hear, name, embs, shape) -> torch.Tensor:
    """Refuse embeddings that are not finite tensors of this shape."""
    words = "[" + ", ".join("n" if n is None else str(n) for n in shape) + "]"
    require(
        isinstance(embs, torch.Tensor),
        f"{hear.title}: {name} returns {type(embs).__name__}, not a tensor of "
        "PyTorch",
        _CURE,
    )
    fits = embs.dim() == len(shape) and all(
        n in (None, size) for n, size in zip(shape, embs.shape)
    )
    require(
        fits,
        f"{hear.title}: {name} returns {list(embs.shape)} for one sound, and "
        f"its model says {words}",
        _CURE,
    )
    embs = embs.detach().float()
    n_bad = int((~embs.isfinite()).sum())
    require(
        n_bad == 0,
        f"{hear.title}: {name} returns NaN or infinity ({n_bad} of "
        f"{embs.numel()} numbers)",
        _CURE,
    )
    return embs


def _weights(source: str) -> str:
    """Weights that the user has named with a module."""
    require(
        _NAME.fullmatch(source) is not None,
        f"hear:{source} does not name a module of Python",
        "pass --encoder_source hear:MODULE or hear:MODULE:WEIGHTS, such as "
        "hear:hearbaseline.naive, with its folder in PYTHONPATH",
    )
    weights = named_weights(f"hear:{source}")
    if weights is None:
        raise NotNamed(
            f"the encoder is hear:{source}, a module that somebody else wrote "
            "and that is only imported when you name it; pass --encoder_source "
            f"hear:{source}, with :WEIGHTS if it had any, if you trust its author"
        )
    return weights


@functools.cache
def load(name: str, weights: str) -> Loaded:
    """Import a module, load its model and try it; ``weights`` is the path of a
    file, or empty.

    Raises
    ------
    InputError
        One line on what is missing, and its cure.
    """
    title, path = f"hear:{name}", Path(weights).expanduser()
    require(
        not weights or path.exists(),
        f"{title}: the weights {weights} do not exist",
        "correct the path after the second colon of --encoder_source",
    )
    # Its draws must not change those of this run.
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        module = _imported(name, title)
        arguments = [str(path)] if weights else []
        cure = f"{_CURE}, or its weights as hear:MODULE:WEIGHTS"
        with _in_one_line(
            f"{title}: load_model", cure if not weights else _CURE
        ):
            model = module.load_model(*arguments)
    if isinstance(model, nn.Module):
        model.eval().requires_grad_(False)
    rate = _number(title, model, "sample_rate", *_RATES)
    sizes = {
        kind: _number(title, model, f"{kind}_embedding_size", 1, 10**6)
        for kind in ("scene", "timestamp")
    }
    digest = _identity(name, model, path if weights else None)
    hear = Loaded(title, module, model, rate, sizes, digest)
    if rate != RATE:
        logger.info(
            "%s has a sample rate of %d Hz: recordings are resampled",
            title,
            rate,
        )
    return hear._replace(shortest=shortest_recording(hear))


def _imported(name, title) -> ModuleType:
    cure = "install its package, or add its folder to PYTHONPATH"
    with _in_one_line(f"{title}: import", cure):
        module = importlib.import_module(name)
    for function in FUNCTIONS:
        require(
            callable(getattr(module, function, None)),
            f"{title} has no function {function}",
            f"name a module with HEAR's interface: {', '.join(FUNCTIONS)}",
        )
    return module


def _number(title, model, name, least, most) -> int:
    """A whole number among the attributes of a model."""
    value = getattr(model, name, None)
    valid = type(value) is int and least <= value <= most
    require(
        valid,
        f"{title}: {name} of its model is {value!r:.80}",
        f"it must be a whole number from {least} to {most}; {_CURE}",
    )
    return value


def _identity(name, model, weights) -> bytes:
    """Identity of the weights: of the model's state, else of their file."""
    digest = hashlib.sha256(name.encode())
    if isinstance(model, nn.Module):
        for key, value in sorted(model.state_dict().items()):
            digest.update(key.encode())
            flat = value.detach().cpu().contiguous().reshape(-1)
            digest.update(flat.view(torch.uint8).numpy().tobytes())
    elif weights is not None and weights.is_file():
        digest.update(sha256(weights).encode())
    return digest.digest()


def shortest_recording(hear: Loaded) -> int:
    """Try a module on noise; return the fewest samples at 16 kHz that it can
    embed, to which shorter recordings are repeated.

    Raises
    ------
    InputError
        It fails on noise of any length, returns other values than HEAR's
        interface, or others each time.
    """
    generator = torch.Generator().manual_seed(0)
    noise = 0.1 * torch.randn(round(_TRIED_S[-1] * RATE), generator=generator)
    length, problem = 0, None
    for seconds in _TRIED_S:
        length = max(round(seconds * RATE), shortest_input(RATE // 100))
        try:
            _try(hear, repeat_to(noise[:length], length))
            break
        except InputError as error:
            problem = error
    else:
        raise problem
    if seconds > _TRIED_S[0]:
        logger.info(
            "%s: recordings below %g s are repeated: shorter ones fail",
            hear.title,
            seconds,
        )
    return length


def _try(hear: Loaded, noise: torch.Tensor) -> None:
    audio = resampled(noise, RATE, hear.sample_rate)
    with torch.no_grad():
        for read in (scene, timestamps):
            first, second = read(hear, audio), read(hear, audio)
            size = first.abs().max().clamp(min=1e-30)
            require(
                bool((first - second).abs().max() <= _SAME * size),
                f"{hear.title} embeds the same noise differently each time",
                "turn off what it draws at random, such as dropout, or pass "
                "another --encoder_source",
            )


@contextmanager
def _in_one_line(what: str, cure: str):
    """Report any error of somebody else's code in one line."""
    try:
        yield
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        lines = str(error).strip().splitlines() or ["no message"]
        raise InputError(
            f"{what} fails ({type(error).__name__}: {lines[0]:.200}); {cure}"
        ) from error
