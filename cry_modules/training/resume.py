"""Check that a run with checkpoints resumes with what it began with.

``CKPT.yaml`` of each checkpoint holds the run's settings, and checksums of its
manifests, of their audio files and of the encoder it started from. Paths are
not compared: a moved folder or a copied table is the same data.
"""

import logging
from pathlib import Path
from typing import Dict, Optional, Set

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from cry_modules.checkpoints.checkpointer import (
    CompleteCheckpointer,
    crc_and_size,
    newest_meta,
)
from cry_modules.checkpoints.encoders import EncoderSource
from cry_modules.checkpoints.settings import YAML_FILE, plain_settings
from cry_modules.checkpoints.versions import check_settings_version
from data_prep import manifest
from data_prep.audio.checksums import CHECKSUM_FILE
from data_prep.files.errors import InputError, require
from data_prep.files.yaml_text import composed

logger = logging.getLogger(__name__)

_CURE = "pass another --output_folder, or delete it"

#: Settings that may change when a run resumes: they decide how fast it is, or
#: how its result is evaluated, not what is trained.
_FREE_TO_CHANGE = {
    *("num_workers", "cache_mb", "checkpoint_activations", "tensorboard"),
    "embedding_cache",
    *("patient_score", "bootstrap_draws", "controls", "nuisance"),
    *("subgroups", "figures", "final"),
}
#: Settings that are paths: what is there is compared, by ``check_data`` and
#: ``check_encoder``.
_PATHS = {
    *("data_folder", "cry_folder", "recordings_csv", "exclude"),
    *("exclude_folder", "probe_folder", "encoder_source"),
    *("output_folder", "checkpoints_dir", "save_file"),
}


def has_begun(folder: Path) -> bool:
    """Check for checkpoints of a run or of its folds."""
    folders = (Path(folder), *Path(folder).glob("fold_*"))
    return any(any(f.glob("save/CKPT*")) for f in folders)


def comparable_settings(text: str) -> Dict[str, str]:
    """Settings of a resolved yaml file that decide what is trained, by name;
    those of objects too, as ``opt_class.lr``.

    Example
    -------
    >>> comparable_settings(
    ...     "lr: 1e-3\\nfigures: true\\no: !name:torch.optim.SGD\\n  lr: 0.0010"
    ... )
    {'lr': '0.001', 'o': '!name:torch.optim.SGD', 'o.lr': '0.001'}
    """
    settings: Dict[str, str] = {}
    _collect(composed(text), "", settings, set())
    return settings


def _collect(
    node: Node, name: str, settings: Dict[str, str], seen: Set
) -> None:
    last = name.rpartition(".")[2]
    is_alias = id(node) in seen  # of an object that is elsewhere in the file
    if is_alias or last in _FREE_TO_CHANGE | _PATHS or last.startswith("__"):
        return
    seen.add(id(node))
    if last == "replay_folder":
        settings[name] = "none" if _value(node) == "null" else "a folder"
    elif last == "probe" and not isinstance(node, ScalarNode):
        columns = [item.value.rpartition(":")[2] for item in node.value]
        settings[name] = ", ".join(columns)
    elif isinstance(node, ScalarNode):
        settings[name] = _value(node)
    else:
        tag = str(node.tag)
        if tag.startswith("!"):
            settings[name] = tag
        pairs = node.value
        if not isinstance(node, MappingNode):
            pairs = enumerate(node.value)
        for key, child in pairs:
            key = key.value if isinstance(key, Node) else key
            _collect(child, f"{name}.{key}".lstrip("."), settings, seen)


def _value(node: ScalarNode) -> str:
    """Text of a scalar, the same for all ways to write a number."""
    text = node.value
    if text.lower() in ("", "~", "null"):
        return "null"
    if text.lower() in ("true", "false"):
        return text.lower()
    # 01 is the name of a fold or a class.
    if text.lstrip("+-")[:1] == "0" and text.lstrip("+-")[1:2].isdigit():
        return text
    try:
        return repr(float(text)).removesuffix(".0")
    except ValueError:
        return text


def check_same_experiment(folder: Path, resolved: str) -> None:
    """Check that a run with checkpoints resumes with its own settings."""
    if not has_begun(folder):
        return
    saved, sources = folder / YAML_FILE, {}
    if saved.is_file():
        text = saved.read_text("utf-8")
        check_settings_version(saved, text)
        sources["holds a run with"] = comparable_settings(text)
    # The file may have been edited or deleted since.
    recorded = newest_meta(folder / "save").get("settings")
    if recorded is not None:
        sources["holds checkpoints of a run with"] = recorded
    now = comparable_settings(resolved)
    for words, before in sources.items():
        for name in sorted({*before, *now}, key=lambda n: (n.count("."), n)):
            require(
                before.get(name) == now.get(name),
                f"{folder} {words} {name}: {before.get(name)}, now it is "
                f"{now.get(name)}",
                _CURE,
            )


def check_data(hparams: Dict, manifests: Path) -> None:
    """Check that manifests, the audio they list and tables of probes are those
    that the run began with, and record them in its checkpoints."""
    folder, files = Path(hparams["output_folder"]), {}
    tables = [f"{split}.csv" for split in manifest.SPLITS]
    for name in (*tables, CHECKSUM_FILE):
        for path in sorted(Path(manifests).rglob(name)):
            files[path.relative_to(folder).as_posix()] = path
    for spec in hparams.get("probe") or []:
        table, _, column = str(spec).rpartition(":")
        if Path(table).is_file():
            files[f"probe {column}"] = Path(table)
    now = {name: crc_and_size(path) for name, path in files.items()}
    before = hparams["checkpointer"].recorded("data") or now
    for name in sorted({*before, *now}):
        require(
            before.get(name) == now.get(name),
            f"{files.get(name, folder / name)} is not what it was when the run "
            f"in {folder} began",
            f"restore it (or delete {manifests}, which is then prepared again), "
            "or pass another --output_folder",
        )
    hparams["checkpointer"].record(data=now)


def check_encoder(hparams: Dict) -> None:
    """Check that ``encoder_source`` has the weights that the run began with,
    and record their checksum in its checkpoints.

    A run keeps its own copy, so that the source may be missing or trained on.
    """
    text, folder = hparams["encoder_source"], Path(hparams["output_folder"])
    checkpointer: CompleteCheckpointer = hparams["checkpointer"]
    source, before = EncoderSource(text), checkpointer.recorded("encoder")
    if before is None:
        checkpointer.record(encoder=source.checksum())
        return
    checkpointer.record(encoder=before)
    is_typed_again = _source_before(folder) == EncoderSource(text).source
    if is_typed_again and source.kind == "hub":
        return
    try:
        now = source.checksum()
    except InputError:
        now = None
    if now == before:
        if not is_typed_again:
            logger.info("encoder_source has moved: the weights are the same")
        return
    require(
        is_typed_again,
        f"{folder} holds a run from another encoder_source than {text}"
        + ("" if now else ", which cannot be read"),
        _CURE,
    )
    logger.warning(
        "encoder_source %s %s since this run began, which resumes with the "
        "weights that it began with",
        text,
        "has been trained on" if now else "has been removed",
    )


def _source_before(folder: Path) -> Optional[str]:
    """``encoder_source`` of the run in a folder; None if unknown or random."""
    path = folder / YAML_FILE
    if not path.is_file():
        return ""
    settings = plain_settings(path.read_text("utf-8"))
    return EncoderSource(settings.get("encoder_source") or None).source
