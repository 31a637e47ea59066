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

Frames are those of the front end. An encoder of samples has ``front_end:
waveform`` in its line, which passes them through, ``[batch, samples, 1]``. It
is built from ``source`` alone, the text after the colon in the name of its
architecture (``hear:MODULE``), and ``--encoder_source`` names it in place of
``--architecture``; one that has no source ignores it. An encoder that is
``configured`` is built from its configuration, JSON after the colon, with random
weights (attribute ``source``); ``--encoder_source`` holds both.

Optional are ``pooling`` in the constructor, as in ``cnn14.Cnn14``, whose
choices the state dict tells apart (``Architecture.frequency_marker``);
``places`` and ``unread(places)``, where the encoder can be read and the layers
that this leaves out; ``embed_frames(feats, n_frames)``, the forward pass
without checks that depend on values, which the ONNX exporter traces; and
``conv_blocks`` like ``cnn14.Cnn14``'s, which
``checkpoint_activations`` needs; and ``map_dim`` with the place ``map``, which
the objective ``masked_spectrogram`` needs.
"""

import importlib
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Callable,
    Dict,
    NamedTuple,
    Optional,
    Tuple,
    Union,
)

from hyperpyyaml import resolve_references
from ruamel.yaml import YAML

from data_prep.files.errors import InputError, require

if TYPE_CHECKING:  # importing torch takes seconds
    import torch
    from torch import nn

#: The front end that passes samples through.
WAVEFORM = "waveform"


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
    front_end : str
        The only front end that it reads, ``waveform``; empty: any mel frames.
    frozen : bool
        Whether it is only used as it is, in frozen modes.
    configured : bool
        Whether a configuration tells its sizes, in place of a width.
    """

    class_path: str
    marker: str
    first_norm: str = ""
    frequency_marker: str = ""
    yaml: str = ""
    front_end: str = ""
    frozen: bool = False
    configured: bool = False

    @property
    def reads_samples(self) -> bool:
        """True for an encoder of samples, which has no width and no pooling."""
        return self.front_end == WAVEFORM


def _configured(path, marker, front_end=WAVEFORM):
    """An encoder that SpeechBrain wraps."""
    path = f"cry_modules.pretrained.{path}"
    return Architecture(path, marker, front_end=front_end, configured=True)


ARCHITECTURES = {
    "cnn14": Architecture(
        "cry_modules.cnn14.Cnn14",
        "conv_block1.conv1.weight",
        first_norm="norm0",
        frequency_marker="frequency_bins",
    ),
    "hear": Architecture(
        "cry_modules.pretrained.hear.HearEncoder",
        "hear_sha256",
        front_end=WAVEFORM,
        frozen=True,
    ),
    "speech_embedding": Architecture(
        "cry_modules.pretrained.speech_embedding.SpeechEmbedding",
        "speech_embedding_sha256",
        front_end=WAVEFORM,
        frozen=True,
    ),
    "wav2vec2": _configured(
        "transformer.Wav2Vec2Encoder",
        "wav2vec2.model.feature_projection.projection.weight",
    ),
    "hubert": _configured(
        "transformer.HubertEncoder",
        "hubert.model.feature_projection.projection.weight",
    ),
    "wavlm": _configured(
        "transformer.WavLMEncoder",
        "wavlm.model.feature_projection.projection.weight",
    ),
    "whisper": _configured(
        "transformer.WhisperEncoder", "whisper.model.encoder.conv1.weight"
    ),
    "beats": _configured("beats.BeatsEncoder", "beats.patch_embedding.weight"),
    "ecapa": _configured(
        "ecapa.EcapaEncoder", "ecapa.asp.conv.conv.weight", front_end=""
    ),
}

_YAML_FOLDER = Path(__file__).resolve().parents[1] / "hparams/models"


def kind_and_source(name: str) -> Tuple[str, str]:
    """Registered name of an architecture, and what it is built from.

    Example
    -------
    >>> kind_and_source("hear:hearbaseline.naive"), kind_and_source("cnn14")
    (('hear', 'hearbaseline.naive'), ('cnn14', ''))
    """
    kind, _, source = str(name).partition(":")
    return kind, source


def is_pretrained(name: str) -> bool:
    """Check whether a name is of an encoder of samples, which is built with the
    weights that somebody else trained."""
    kind = ARCHITECTURES.get(kind_and_source(name)[0])
    return kind is not None and kind.reads_samples and not kind.configured


def is_configured(name: str) -> bool:
    """Check whether a name is of an encoder that is built from a configuration.

    Example
    -------
    >>> is_configured('ecapa:{"input_size":80}'), is_configured("cnn14")
    (True, False)
    """
    kind = ARCHITECTURES.get(kind_and_source(name)[0])
    return kind is not None and kind.configured


def architecture_of(source: str) -> str:
    """Architecture of a pretrained encoder's source, without its weights.

    Example
    -------
    >>> architecture_of("hear:hearbaseline.naive:/data/naive.pt")
    'hear:hearbaseline.naive'
    """
    return ":".join(str(source).split(":")[:2])


def short_name(name: str) -> str:
    """Name of an architecture for people, without its configuration.

    Example
    -------
    >>> short_name('ecapa:{"input_size":80}'), short_name("hear:naive")
    ('ecapa', 'hear:naive')
    """
    return kind_and_source(name)[0] if is_configured(name) else name


def is_architecture(name: str) -> bool:
    """Check whether a text is the name of an architecture."""
    return isinstance(name, str) and (
        name in ARCHITECTURES or is_pretrained(name) or is_configured(name)
    )


def architecture(name: str) -> Architecture:
    """Look up an architecture by name; refuse an unknown name.

    Example
    -------
    >>> architecture("cnn15")
    Traceback (most recent call last):
    ...
    data_prep.files.errors.InputError: --architecture is 'cnn15'; expected one of cnn14, ...
    """
    require(
        is_architecture(name),
        f"--architecture is {name!r}",
        f"expected one of {', '.join(ARCHITECTURES)}",
    )
    return ARCHITECTURES[kind_and_source(name)[0]]


def encoder_class(name: str) -> Callable[..., "nn.Module"]:
    """Import the class of an architecture; refuse one whose package is not
    installed."""
    module, _, cls = architecture(name).class_path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), cls)
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "transformers":
            raise
        raise InputError(
            f"{short_name(name)} needs the package transformers; install the "
            "extra: pip install 'cry-ssl[ssl]'"
        )


def make_encoder(
    name: str, mel_bins: int, width: int, pooling: str = "mean"
) -> "nn.Module":
    """Build an encoder with random weights; one of samples with its own."""
    make = encoder_class(name)
    options = encoder_options(name, mel_bins, width, pooling)
    if not is_configured(name):
        return make(**options)
    try:
        return make(**options)
    except Exception as error:  # any, by what the configuration holds
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"the configuration of this {short_name(name)} cannot be built "
            f"({reason}); get its files again, or pass another encoder"
        )


def encoder_options(
    name: str, mel_bins: int, width: int, pooling: str = "mean"
) -> Dict[str, Union[int, str]]:
    """Arguments of the constructor of an encoder.

    Example
    -------
    >>> encoder_options("cnn14", 80, 8)
    {'mel_bins': 80, 'width': 8}
    """
    check_pooling(name, pooling)
    if is_pretrained(name) or is_configured(name):
        return {"source": kind_and_source(name)[1]}
    options = {"mel_bins": mel_bins, "width": width}
    return options if pooling == "mean" else {**options, "pooling": pooling}


def check_pooling(name: str, pooling: str) -> None:
    """Refuse a pooling that an architecture does not have."""
    require(
        pooling == "mean" or bool(architecture(name).frequency_marker),
        f"pooling is {pooling}, and the architecture {name} has only its own",
        "pass --pooling mean",
    )


def check_front_end(name: str, front_end: str) -> None:
    """Refuse a front end that an architecture does not read."""
    reads, cure = "mel frames", "pass another front end"
    if architecture(name).reads_samples:
        reads, cure = "samples", f"pass --encoder_source {name} in their place"
    require(
        (front_end == WAVEFORM) == (reads == "samples"),
        f"--front_end is {front_end}, and the architecture {name} reads {reads}",
        cure,
    )


def pooling_of_state(name: str, state: Dict[str, "torch.Tensor"]) -> str:
    """Pooling of the encoder that a state dict of this architecture is of."""
    marker = architecture(name).frequency_marker
    return "frequency" if marker and marker in state else "mean"


def name_of(encoder: "nn.Module") -> Optional[str]:
    """Name of an encoder's architecture; None if it is not registered."""
    cls = type(encoder)
    path = f"{cls.__module__}.{cls.__qualname__}"
    paths = {a.class_path: name for name, a in ARCHITECTURES.items()}
    return paths.get(path)


def name_of_state(state: Dict[str, "torch.Tensor"]) -> Optional[str]:
    """Name of the architecture that a state dict belongs to, if registered."""
    names = (n for n, a in ARCHITECTURES.items() if a.marker in state)
    return next(names, None)


def include(architecture_name: str, **settings):
    """Include an architecture's yaml file by name, as ``!include:`` by path.

    Its references are resolved with these settings. Yaml files call this with
    ``!applyref:``.
    """
    path = architecture(architecture_name).yaml
    kind, source = kind_and_source(architecture_name)
    require(
        bool(source) or not is_configured(kind),
        f"--architecture is {kind}, which is built as its weights say",
        "leave it out, and pass --encoder_source: a Hugging Face id or a folder",
    )
    check_pooling(architecture_name, settings.get("pooling", "mean"))
    check_front_end(architecture_name, settings["front_end"])
    if is_pretrained(architecture_name):
        settings["source"] = source
    if is_configured(architecture_name):
        kind, settings["architecture"] = "configured", architecture_name
    path = Path(path or _YAML_FOLDER / f"{kind}.yaml")
    if not path.is_file():
        raise InputError(
            f"{path} does not exist; write it, as hparams/models/cnn14.yaml"
        )
    with open(path, encoding="utf-8") as file:
        return YAML().load(resolve_references(file, settings))
