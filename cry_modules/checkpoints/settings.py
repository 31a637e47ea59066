"""Settings of an experiment: read from its yaml file, ranges checked.

A yaml file is read as text: nothing that it names is built or executed.
"""

from typing import Callable, Dict, NamedTuple, Sequence

from ruamel.yaml import YAML
from ruamel.yaml.nodes import Node

from cry_modules.audio import shortest_input
from cry_modules.embeddings import INPUTS
from cry_modules.front_ends import MelFrames
from cry_modules.metrics.predictions import AGGREGATIONS
from data_prep.files.errors import require


class Range(NamedTuple):
    """Allowed values of a setting: a test of its text, and a description."""

    allows: Callable[[str], bool]
    words: str


def _at_least(least: int) -> Range:
    return Range(lambda x: float(x) >= least, f"it must be {least} or more")


def _one_of(names: Sequence[str]) -> Range:
    return Range(lambda x: x in names, f"expected one of {', '.join(names)}")


#: Ranges of the settings that no constructor checks: a class that a yaml file
#: builds checks its own arguments.
RANGES = {
    "seed": _at_least(0),
    "number_of_epochs": _at_least(1),
    "batch_size": _at_least(2),  # BatchNorm cannot train on one recording
    "n_views": _at_least(2),
    "lr": Range(lambda x: float(x) > 0, "it must be above 0"),
    "final_lr": _at_least(0),
    "weight_decay": _at_least(0),
    "warmup_epochs": _at_least(0),
    "patience": _at_least(1),
    "n_masks": _at_least(0),
    "min_clips": _at_least(0),
    "interpolate": Range(lambda x: 0 <= float(x) <= 1, "it must be 0 to 1"),
    "trained_on": _one_of(INPUTS),
    "solver": _one_of(("adamw", "lbfgs")),
    "balance": _one_of(("loss", "sampling", "none")),
    "patient_score": _one_of(tuple(AGGREGATIONS)),
    "bootstrap_draws": _at_least(100),  # LEAST_DRAWS of metrics/paired.py
    "probe_every": _at_least(1),
    "num_workers": _at_least(0),
    "cache_mb": _at_least(0),
    # SpeechBrain's options
    "grad_accumulation_factor": _at_least(1),
    "max_grad_norm": _at_least(0),
    "ckpt_interval_steps": _at_least(0),
    "ckpt_interval_minutes": _at_least(0),
}


def yaml_nodes(text: str) -> Dict[str, Node]:
    """Top-level nodes of a yaml file, by key."""
    return {key.value: node for key, node in YAML().compose(text).value}


def plain_settings(text: str) -> Dict[str, str]:
    """Scalars and lists of a resolved yaml file, as text by key.

    Also those of the yaml file that it includes as ``base``.
    """
    return _plain(YAML().compose(text))


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
    node = YAML().compose(text)
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
    for name, (allows, words) in RANGES.items():
        if name not in settings:
            continue
        try:
            allowed = allows(settings[name])
        except ValueError:  # not a number
            allowed = False
        require(allowed, f"--{name} is {settings[name] or 'null'}", words)


def check_chunk(chunk_s: float, logmel: MelFrames) -> None:
    """Refuse chunks that are too short for the encoder's poolings."""
    shortest = shortest_input(logmel.hop)
    require(
        round(chunk_s * logmel.sample_rate) >= shortest,
        f"chunk_s is {chunk_s}",
        f"{logmel.name} needs {shortest / logmel.sample_rate} s or more",
    )
