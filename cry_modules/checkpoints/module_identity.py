"""Identity of a module: what its outputs depend on besides its input."""

import hashlib
from typing import Any

import torch
from torch import nn

_PLAIN = (str, int, float, bool, type(None))


def module_identity(module: nn.Module, *more: Any) -> str:
    """Digest of the weights, buffers, classes and settings of a module and its
    layers, and of what else is passed.

    Settings are the public attributes; one that is neither a number, a text nor
    a collection of them is told by its class alone. Names that begin with an
    underscore are left out, and whether the module is in train mode.

    Example
    -------
    >>> layer = nn.BatchNorm1d(2)
    >>> before = module_identity(layer)
    >>> module_identity(layer.eval()) == before
    True
    >>> layer.eps = 0.1
    >>> module_identity(layer) == before
    False
    """
    digest = hashlib.blake2b(repr(more).encode(), digest_size=16)
    for name, layer in module.named_modules():
        settings = sorted(
            (key, _plain(value))
            for key, value in vars(layer).items()
            if not key.startswith("_") and key != "training"
        )
        digest.update(repr((name, _class(layer), settings)).encode())
    add_weights(digest, module)
    return digest.hexdigest()


def add_weights(digest: "hashlib._Hash", module: nn.Module) -> None:
    """Update a digest with the weights and buffers of a module."""
    for name, value in (*module.named_parameters(), *module.named_buffers()):
        content = value.detach().cpu().contiguous().flatten()
        digest.update(name.encode())
        digest.update(content.view(torch.uint8).numpy().tobytes())


def _class(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _plain(value: Any) -> str:
    """Text of a setting without addresses of objects, which would change."""
    if isinstance(value, _PLAIN):
        return repr(value)
    if isinstance(value, dict):
        return repr([(key, _plain(value[key])) for key in value])
    if isinstance(value, (list, tuple)):
        return repr([*map(_plain, value)])
    return _class(value)
