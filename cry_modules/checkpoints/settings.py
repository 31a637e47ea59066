"""Settings of an experiment: read from its yaml file, ranges checked.

A yaml file is read as text: nothing that it names is built or executed.
"""

import re
from functools import partial
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Container,
    Dict,
    List,
    Optional,
    Tuple,
    Union,
)

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode
from ruamel.yaml.scalarstring import SingleQuotedScalarString

from data_prep.files import option_values
from data_prep.files.errors import InputError, require
from data_prep.files.option_values import Number, Unfit, whole_number
from data_prep.files.yaml_text import BOOLEANS, composed, pairs_of, text_of

if TYPE_CHECKING:
    from cry_modules.front_ends import MelFrames

#: Settings of a run, and of SpeechBrain's models on Hugging Face.
YAML_FILE = "hyperparams.yaml"
#: Settings that are paths, or sources that may be: ~ is the home folder.
PATHS = {
    *("data_folder", "cry_folder", "output_folder", "encoder_source"),
    *("recordings_csv", "exclude", "exclude_folder", "replay_folder"),
    *("probe", "probe_folder", "embedding_cache"),
}
#: A reference of HyperPyYAML.
_REFERENCE = re.compile(r"<[^>]*>")
#: Settings that are lists of texts.
LISTS = {"classes", "exclude", "probe"}
#: Settings that are a text, or a list of texts.
COLUMNS = {"nuisance", "subgroups"}
#: Texts that may be left out: ``null``.
NULLABLE = {
    *("recordings_csv", "exclude_folder", "replay_folder", "probe_folder"),
    *("encoder_source", "folds", "test_fold", "valid_fold", "classes"),
    *("positive", "embedding_cache"),
    *COLUMNS,
}
#: Settings that are texts, whatever they look like to yaml: 2022, no, 01.
TEXTS = PATHS | LISTS | NULLABLE
TEXTS |= {"task", "label_column", "other_labels", "fold_column", "excluded"}
TEXTS |= {"replay", "adapt_layers", "architecture", "front_end"}
TEXTS |= {"finetune_mode", "trained_on", "tested_on", "readout", "balance"}
TEXTS |= {"patient_score", "solver", "patient_column", "path_column"}
TEXTS |= {"group_by", "replay_group_by", "objective"}


def _one_of(*names: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if value not in names:
            raise Unfit(f"is {value}; expected one of {', '.join(names)}")
        return value

    return check


def _boolean(value: str) -> bool:
    """True or False, in yaml's spellings."""
    if value.lower() not in BOOLEANS:
        raise Unfit(f"is {value}; it must be True or False")
    return BOOLEANS[value.lower()]


def _snr_range(value: str) -> Optional[List[float]]:
    """Two signal-to-noise ratios in dB, ``[0, 20]``, or null."""
    if value == "null":
        return None
    inner = re.fullmatch(r"\[(.*)\]", value.strip())
    problem = f"is {value}; it must be null, or the lowest and the highest "
    problem += "signal-to-noise ratio in dB, -100 to 100: [0, 20]"
    try:
        low, high = map(Number(-100, 100), inner[1].split(",") if inner else [])
    except ValueError:
        raise Unfit(problem)
    if low > high:
        raise Unfit(problem)
    return [low, high]


_SHARE = Number(0, 1)
#: Between 0 and 1, the ends excluded.
_PART = Number(0, 1, above=True, below=True)
_EPOCHS = 1_000_000
#: Range of each setting that is not a text. Classes that a yaml file builds
#: also check what only they know. Names are not imported from the modules that
#: define them: those import torch, for seconds. A test compares.
RANGES: Dict[str, Callable[[str], Any]] = {
    "seed": option_values.seed,
    "number_of_epochs": whole_number(1, _EPOCHS),
    # BatchNorm cannot train on one recording.
    "batch_size": whole_number(2, 100_000),
    "n_views": whole_number(2, 100),
    "lr": Number(0, 1000, above=True),
    "final_lr": Number(0, 1000),
    "weight_decay": Number(0, 1000),
    "warmup_epochs": Number(0, _EPOCHS),
    "patience": whole_number(1, _EPOCHS),
    "n_masks": whole_number(0, 100),
    "time_warp": whole_number(0, 10_000),
    "background_snr": _snr_range,
    "noise_snr": _snr_range,
    "frequency_response": Number(0, 40),
    "negatives": _one_of("all", "corpus"),
    "min_clips": whole_number(0, 1_000_000),
    "valid_share": _PART,
    "label_fraction": Number(0, 1, above=True),
    "interpolate": _SHARE,
    "replay_ratio": Number(0, 1, below=True),
    "anchor_weights": Number(0, 1e6),
    "anchor_distillation": Number(0, 1e6),
    "anchor_projection": Number(0, 1e6),
    "chunk_s": Number(0, 600, above=True),
    "temperature": Number(0, 1000, above=True),
    "width": Number(most=1024, whole=True),  # its class knows the least
    "dropout": Number(0, 0.9),
    "pooling": _one_of("mean", "frequency"),
    "projection_dim": whole_number(1, 100_000),
    "trained_on": _one_of("recordings", "chunks"),
    "solver": _one_of("adamw", "lbfgs"),
    "balance": _one_of("loss", "sampling", "none"),
    "patient_score": _one_of("mean_log_odds", "max", "noisy_or"),
    # LEAST_DRAWS of metrics/paired.py.
    "bootstrap_draws": whole_number(100, 1_000_000),
    "probe_every": whole_number(1, _EPOCHS),
    "num_workers": whole_number(0, 1000),
    "cache_mb": Number(0, 1e9),
    **dict.fromkeys(("control", "predictor", "two_passes"), _boolean),
    **dict.fromkeys(("tensorboard", "checkpoint_activations"), _boolean),
    **dict.fromkeys(("controls", "figures", "final"), _boolean),
    # SpeechBrain's options
    "precision": _one_of("fp32", "fp16", "bf16"),
    "eval_precision": _one_of("fp32", "fp16", "bf16"),
    "grad_accumulation_factor": whole_number(1, 1_000_000),
    "max_grad_norm": Number(0, 1e9),
    "ckpt_interval_steps": whole_number(0, 10**9),
    "ckpt_interval_minutes": whole_number(0, 10**9),
    "debug_batches": whole_number(1, 10**9),
    "debug_epochs": whole_number(1, _EPOCHS),
    "nonfinite_patience": whole_number(0, 10**9),
    "optimizer_step_limit": whole_number(1, 10**12),
    "profile_warmup": whole_number(0, 10**6),
    "profile_steps": whole_number(1, 10**6),
}


def read_pairs(hparams_file: str) -> List[Tuple[str, Node]]:
    """Keys of a yaml file and their nodes, read as text."""
    try:
        content = Path(hparams_file).read_text("utf-8")
    except (OSError, UnicodeError) as error:
        raise InputError(
            f"{hparams_file} cannot be read as text ({error}); pass one of "
            "hparams/"
        )
    return pairs_of(content, hparams_file, "pass one of hparams/")


def yaml_nodes(text: str) -> Dict[str, Node]:
    """Top-level nodes of a yaml file, by key."""
    return {key.value: node for key, node in composed(text).value}


def plain_settings(text: str) -> Dict[str, str]:
    """Scalars and lists of a resolved yaml file, as text by key.

    Also those of the yaml file that it includes as ``base``.
    """
    return _plain(composed(text))


def _plain(mapping):
    plain, base = {}, {}
    for key, node in mapping.value:
        if isinstance(node.value, str) or str(node.tag).endswith(":seq"):
            plain[key.value] = as_text(node)
        elif key.value == "base":
            base = _plain(node)
    return {**base, **plain}


def nested_setting(text: str, *keys: str) -> str:
    """A setting inside mappings of a resolved yaml file, as text.

    Example
    -------
    >>> nested_setting(
    ...     "base: {augment: !new:x.Y {width: 10}}", "base", "augment", "width"
    ... )
    '10'
    """
    node = composed(text)
    for key in keys:
        node = {k.value: value for k, value in node.value}[key]
    return as_text(node)


def as_text(node: Node) -> str:
    """Text of a scalar, or of a list of scalars as typed: ``[a, b]``."""
    if isinstance(node.value, str):
        return node.value
    return "[" + ", ".join(str(item.value) for item in node.value) + "]"


def check_ranges(settings: Dict[str, str]) -> None:
    """Refuse plain settings out of their range."""
    for name in RANGES:
        if name in settings:
            option_values.convert(
                f"--{name}", RANGES[name], settings[name] or "null"
            )


def setting(name: str, value: Union[str, List[str], None]) -> Any:
    """Value of a setting from its text, or the texts of its list.

    Raises
    ------
    Unfit
        It cannot have this value.
    """
    if name not in TEXTS:
        text = "null" if value is None else value
        return RANGES[name](text if isinstance(text, str) else _shown(text))
    if value is None:
        if name not in NULLABLE:
            raise Unfit("is null; type a value")
        return None
    kind = option_values.path if name in PATHS else option_values.text
    if isinstance(value, str):
        if "  " in value:
            raise Unfit(
                f"is {value!r}, with two spaces in a row, of which yaml may "
                "lose one; rename it"
            )
        if name in LISTS:
            if "," not in value:
                raise Unfit(
                    f"is {value}; it must be a list: '[{value}, ...]' or "
                    f"{value},..."
                )
            return setting(name, [part.strip() for part in value.split(",")])
        reference = _REFERENCE.search(value)
        if reference is not None:  # yaml would look it up
            raise Unfit(f"is {value}; type a value in place of {reference[0]}")
        return kind(option_values.text(value))
    if name not in LISTS | COLUMNS:
        raise Unfit(f"is {_shown(value)}; it must be one text, not a list")
    if not all(item.strip() for item in value):
        raise Unfit(f"is {_shown(value)}, which holds an empty text; remove it")
    return [kind(item) for item in value]


def _shown(items):
    return f"[{', '.join(items)}]"


def misread(
    content: str, resolved: str, known: Container[str]
) -> Dict[str, Any]:
    """Settings of a yaml file that yaml reads as another value than is typed,
    such as ``no`` or ``~/data``, with their value.

    ``resolved`` is the file with its references replaced; ``known`` are the
    settings that have another value than in the file.
    """
    values, nodes = {}, yaml_nodes(resolved)
    for name, node in yaml_nodes(content).items():
        if name in known:
            continue
        text = content
        if isinstance(node, MappingNode):
            values[name] = _nested(node, content)
        elif name in TEXTS or name in RANGES:
            if _is_reference(node):
                node, text = nodes[name], resolved
            convert = partial(setting, name)
            value = option_values.convert(
                f"--{name}", convert, text_of(node, text)
            )
            if not _is_read_as(node, value):
                values[name] = value
    return {name: value for name, value in values.items() if value != {}}


def _nested(mapping, content) -> Dict[str, Any]:
    """Texts among the arguments of an object, in a run's own yaml file."""
    texts = {
        key.value: (node, text_of(node, content))
        for key, node in mapping.value
        if key.value in TEXTS and not _is_reference(node)
    }
    return {
        name: text
        for name, (node, text) in texts.items()
        if not _is_read_as(node, text)
    }


def _is_reference(node):
    return str(node.tag).startswith("!")


def _is_read_as(node, value) -> bool:
    if isinstance(value, list) and isinstance(node, SequenceNode):
        return all(map(_is_read_as, node.value, value))
    if value is None:
        return node.value in ("", "null")
    if isinstance(value, str):
        # HyperPyYAML drops the quotes of the file.
        return value == node.value and _is_plain(value)
    read = yaml.safe_load(node.value) if node.style is None else node.value
    return type(read) is type(value) and read == value


def _is_plain(text: str) -> bool:
    """Check that both libraries of HyperPyYAML read a text without quotes as
    that text: it writes yaml 1.2 and reads it as 1.1, to which no is False."""
    try:
        return yaml.safe_load(text) == text == YAML(typ="safe").load(text)
    except (yaml.YAMLError, YAMLError, ValueError):
        return False


def quoted(value: Any) -> Any:
    """Value for HyperPyYAML with the quotes that keep a text a text."""
    if isinstance(value, dict):
        return {key: quoted(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = CommentedSeq(map(quoted, value))
        items.fa.set_flow_style()  # on one line
        return items
    if isinstance(value, str) and not _is_plain(value):
        return SingleQuotedScalarString(value)
    return value


def check_response(settings: Dict[str, Any], logmel: "MelFrames") -> None:
    """Refuse a random frequency response that the front end removes."""
    require(
        not (settings["frequency_response"] and logmel.mean_norm)
        or settings["background_snr"] is not None
        or settings["noise_snr"] is not None,
        f"--frequency_response is {settings['frequency_response']}, which the "
        f"mean normalisation of the front end {logmel.name} removes from a "
        "view without background and noise",
        "pass --noise_snr '[0, 20]' or --background_snr too, or 0",
    )


def check_chunk(chunk_s: float, logmel: "MelFrames") -> None:
    """Refuse chunks that are too short for the encoder's poolings."""
    from cry_modules.audio import shortest_input  # imports torch

    shortest = shortest_input(logmel.hop)
    require(
        round(chunk_s * logmel.sample_rate) >= shortest,
        f"chunk_s is {chunk_s}",
        f"{logmel.name} needs {shortest / logmel.sample_rate} s or more",
    )
