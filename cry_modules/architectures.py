"""Encoder architectures by name: the registry that all other modules read.

To add an encoder, write a module with its class and a yaml file
``hparams/models/<name>.yaml`` that builds it, and add a line to
``ARCHITECTURES``. Every train script then takes ``--architecture <name>``,
and export, inference and ONNX follow.

An encoder is a ``torch.nn.Module`` with

* a constructor that takes ``mel_bins`` (values a frame, the ``n_mels`` of its
  front end) and ``width`` (its size, which the yaml files set);
* ``forward(feats, lengths)``: features ``[batch, frames, mel_bins]`` and the
  valid share of each item's frames ``[batch]`` (None where nothing is padded)
  to embeddings ``[batch, emb_dim]``. Padding must not change an embedding;
* ``emb_dim``, the dimension of an embedding;
* room for short inputs: it accepts ``lengths.MIN_FRAMES`` frames. Shorter
  recordings are repeated before they reach it; an encoder that needs more
  must repeat or pad its input itself;
* children in the order of computation: ``adapt_layers`` freezes those before
  a layer.

Frames are those of the front end. An encoder of waveforms comes with a front
end that passes samples through, and has any frame rate inside.

Optional are ``pooling`` in the constructor, as in ``cnn14.Cnn14``, whose
choices the state dict tells apart (``Architecture.frequency_marker``);
``places`` and ``unread(places)``, where the encoder can be read and the layers
that this leaves out; ``embed_frames(feats, n_frames)``, the forward pass
without checks that depend on values, which the ONNX exporter traces; and
``run_block`` with blocks like ``cnn14.Cnn14``'s, which
``checkpoint_activations`` needs; and ``map_dim`` with the place ``map``, which
the objective ``masked_spectrogram`` needs.
"""

import importlib
from pathlib import Path
from typing import Dict, NamedTuple, Optional

import torch
from hyperpyyaml import resolve_references
from ruamel.yaml import YAML
from torch import nn

from data_prep.files.errors import InputError, require


class Architecture(NamedTuple):
    """Registry entry of an encoder: how to build and to recognise it.

    Arguments
    ---------
    class_path : str
        Its class, ``package.module.Class``.
    marker : str
        A weight that no other architecture has, with ``width`` rows: it tells
        a state dict's architecture and width.
    first_norm : str
        BatchNorm over the bands of the input, whose statistics tell which
        features it was trained on; empty if it has none.
    frequency_marker : str
        Buffer that only an encoder with ``pooling: frequency`` has; empty if
        the architecture has no choice of pooling.
    yaml : str
        The yaml file that builds it; default: ``hparams/models/<name>.yaml``.
    """

    class_path: str
    marker: str
    first_norm: str = ""
    frequency_marker: str = ""
    yaml: str = ""


ARCHITECTURES = {
    "cnn14": Architecture(
        "cry_modules.cnn14.Cnn14",
        "conv_block1.conv1.weight",
        first_norm="norm0",
        frequency_marker="frequency_bins",
    ),
}

_YAML_FOLDER = Path(__file__).resolve().parents[1] / "hparams/models"


def architecture(name: str) -> Architecture:
    """Look up an architecture by name; refuse an unknown name.

    Example
    -------
    >>> architecture("cnn15")
    Traceback (most recent call last):
    ...
    data_prep.files.errors.InputError: --architecture is 'cnn15'; expected one of cnn14
    """
    require(
        isinstance(name, str) and name in ARCHITECTURES,
        f"--architecture is {name!r}",
        f"expected one of {', '.join(ARCHITECTURES)}",
    )
    return ARCHITECTURES[name]


def make_encoder(
    name: str, mel_bins: int, width: int, pooling: str = "mean"
) -> nn.Module:
    """Build an encoder with random weights."""
    check_pooling(name, pooling)
    module, _, cls = architecture(name).class_path.rpartition(".")
    options = {} if pooling == "mean" else {"pooling": pooling}
    return getattr(importlib.import_module(module), cls)(
        mel_bins=mel_bins, width=width, **options
    )


def draw_again(encoder: nn.Module, mel_bins: int, seed: int) -> None:
    """Replace the weights of an encoder by random ones of this seed."""
    name, state = name_of(encoder), encoder.state_dict()
    width = len(state[architecture(name).marker])
    with torch.random.fork_rng():  # other draws stay as they are
        torch.manual_seed(seed)
        pooling = pooling_of_state(name, state)
        drawn = make_encoder(name, mel_bins, width, pooling)
    encoder.load_state_dict(drawn.state_dict())


def check_pooling(name: str, pooling: str) -> None:
    """Refuse a pooling that an architecture does not have."""
    require(
        pooling == "mean" or bool(architecture(name).frequency_marker),
        f"pooling is {pooling}, and the architecture {name} has only its own",
        "pass --pooling mean",
    )


def pooling_of_state(name: str, state: Dict[str, torch.Tensor]) -> str:
    """Pooling of the encoder that a state dict of this architecture is of."""
    marker = architecture(name).frequency_marker
    return "frequency" if marker and marker in state else "mean"


def name_of(encoder: nn.Module) -> Optional[str]:
    """Name of an encoder's architecture; None if it is not registered."""
    cls = type(encoder)
    path = f"{cls.__module__}.{cls.__qualname__}"
    paths = {a.class_path: name for name, a in ARCHITECTURES.items()}
    return paths.get(path)


def name_of_state(state: Dict[str, torch.Tensor]) -> Optional[str]:
    """Name of the architecture that a state dict belongs to, if registered."""
    names = (n for n, a in ARCHITECTURES.items() if a.marker in state)
    return next(names, None)


def include(architecture_name: str, **settings):
    """Include an architecture's yaml file by name, as ``!include:`` by path.

    Its references are resolved with these settings. Yaml files call this with
    ``!applyref:``.
    """
    path = architecture(architecture_name).yaml
    check_pooling(architecture_name, settings.get("pooling", "mean"))
    path = Path(path or _YAML_FOLDER / f"{architecture_name}.yaml")
    if not path.is_file():
        raise InputError(
            f"{path} does not exist; write it, as hparams/models/cnn14.yaml"
        )
    with open(path, encoding="utf-8") as file:
        return YAML().load(resolve_references(file, settings))
