"""Settings that need not be typed: an encoder knows its size and front end, a
table its classes."""

import glob
from pathlib import Path
from typing import Any, Dict, Optional

from cry_modules.architectures import is_configured, is_pretrained, short_name
from cry_modules.checkpoints.allow_list import RESOLVED, resolved
from cry_modules.checkpoints.encoders import EncoderSource
from cry_modules.checkpoints.front_end import recorded_objective
from cry_modules.checkpoints.settings import RANGES, YAML_FILE, plain_settings
from cry_modules.embeddings import EMBEDDING, LOGMEL
from cry_modules.pretrained.named import name_pretrained
from cry_modules.training.experiment import as_typed
from cry_modules.training.resume import has_begun
from data_prep.corpora.database import OPTIONS, locate, named_columns
from data_prep.corpora.labelled import classes_of
from data_prep.files.errors import InputError, require
from data_prep.files.yaml_text import text_or_texts

#: Settings of an encoder, by the names that its checkpoint and yaml file use.
_OF_ENCODER = ("architecture", "front_end", "width", "pooling")
#: Setting of its projector, which adaptation goes on training.
_OBJECTIVE = "objective"

Settings = Dict[str, Any]


def with_encoder_settings(hparams_file: str, overrides: Settings) -> Settings:
    """Add the settings of the encoder that a run starts from to what is typed.

    They replace those of the yaml file; one that is typed and differs is
    refused. A run that has begun keeps its own.
    """
    typed, known = str(overrides.get("encoder_source")), {}
    if is_pretrained(typed):
        name_pretrained(typed)
        known = EncoderSource(typed).settings()
    settings = _settings(hparams_file, {**overrides, **known})
    if settings is None:
        return overrides
    if known and "readout" in settings and "readout" not in overrides:
        overrides = {**overrides, "readout": _readout(settings["readout"])}
    saved = Path(settings["output_folder"]) / YAML_FILE
    if has_begun(saved.parent) and saved.is_file():
        before = plain_settings(saved.read_text("utf-8"))
        names = (*_OF_ENCODER, _OBJECTIVE)
        kept = {name: before[name] for name in names if name in before}
        if "width" in kept:
            kept["width"] = RANGES["width"](kept["width"])
        return _joined(overrides, kept, settings)
    text = _text(settings, "encoder_source")
    source = EncoderSource(_of_first_fold(text))
    try:
        known = {} if source.is_random else source.settings()
        known.update(_objective(settings, source))
    except InputError:  # raised again where the weights are loaded
        if source.kind == "hub":  # which takes half a minute to be unreachable
            raise
        return overrides
    joined = _joined(overrides, known, settings)
    for name, value in known.items():
        require(
            joined[name] == value,
            f"--{name} is {joined[name]}, and --encoder_source {text} has "
            f"{short_name(value)}",
            f"leave out --{name}, or pass another encoder",
        )
    require(
        "dropout" not in overrides
        or not is_configured(known.get("architecture")),
        f"--dropout is {overrides.get('dropout')}, and --encoder_source {text} "
        "has its own",
        "leave out --dropout",
    )
    return joined


def _joined(typed: Settings, known: Settings, settings: Settings) -> Settings:
    """Settings of an encoder and what is typed; nobody types the configuration
    in the name of an architecture. ``settings`` are those of the yaml file."""
    joined, name = {**known, **typed}, known.get("architecture")
    if not is_configured(name):
        return joined
    if joined["architecture"] == short_name(name):
        joined["architecture"] = name
    if settings.get("readout", "").startswith("block"):
        joined.setdefault("readout", _readout(settings["readout"]))
    return joined


def _readout(readout: str) -> str:
    """Read-out of an encoder that has no blocks, in place of a yaml file's."""
    logmel = f"+{LOGMEL}" * readout.endswith(f"+{LOGMEL}")
    return EMBEDDING + logmel


def _objective(settings: Settings, source: EncoderSource) -> Settings:
    """The objective of a source, if it is not that of the settings."""
    has_none = source.is_random or source.kind == "pretrained"
    if has_none or _OBJECTIVE not in settings:
        return {}
    known = recorded_objective(source.file())
    return {} if known in (None, settings[_OBJECTIVE]) else {_OBJECTIVE: known}


def encoder_in_words(hparams: Settings) -> str:
    """Describe the encoder of an experiment in a log line."""
    name = hparams["architecture"]
    names = _OF_ENCODER
    if is_pretrained(name) or is_configured(name):
        names = ("architecture", "front_end")
    return ", ".join(f"{name} {short_name(hparams[name])}" for name in names)


def with_classes(hparams_file: str, overrides: Settings) -> Settings:
    """Add the classes of a table to what is typed, the positive one last.

    The classes of the yaml file are those of its own label column.
    """
    settings = _settings(hparams_file, overrides)
    if settings is None or "recordings_csv" not in settings:
        return overrides
    classes = text_or_texts(_text(settings, "classes") or "null")
    if "label_column" in overrides and "classes" not in overrides:
        classes = None
    positive = _text(settings, "positive")
    if classes and positive is None:
        return overrides
    _, table = locate(
        settings["data_folder"],
        _text(settings, "recordings_csv"),
        "--data_folder",
    )
    named = named_columns(*(settings[name] for name in OPTIONS))
    classes = classes_of(
        table, settings["label_column"], named, classes, positive
    )
    return {**overrides, "classes": classes}


def _settings(hparams_file, overrides) -> Optional[Dict[str, str]]:
    """Settings as text; None for the file of a run, which is complete."""
    if Path(hparams_file).read_text("utf-8").startswith(RESOLVED):
        return None
    return plain_settings(
        resolved(hparams_file, as_typed(hparams_file, overrides))
    )


def _text(settings, name) -> Optional[str]:
    text = settings.get(name)
    return None if text in ("", "null", "~", None) else text


def _of_first_fold(source: Optional[str]) -> Optional[str]:
    """The encoder of one fold, where each fold has its own."""
    if source is None or "{fold}" not in source:
        return source
    parts = map(glob.escape, source.split("{fold}"))
    return next(iter(sorted(glob.glob("*".join(parts)))), source)
