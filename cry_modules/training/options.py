"""The command line of a train script, with one-line errors."""

import argparse
import difflib
import os
import sys
from pathlib import Path
from typing import Optional, Sequence, Tuple

import speechbrain as sb
import torch
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from cry_modules.checkpoints.allow_list import RESOLVED, resolved
from cry_modules.checkpoints.settings import (
    RANGES,
    as_text,
    check_ranges,
    yaml_nodes,
)
from cry_modules.training.devices import check_device
from cry_modules.training.experiment import write_variant
from data_prep.files.errors import InputError, require

#: Options that may be given several times; their values make a list.
_REPEATABLE = ("exclude", "probe")

#: Types of the values that may replace a default of a yaml tag, and a
#: description.
_TYPES = {
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "bool": ((bool,), "True or False"),
    "seq": ((list,), "a list"),
}


def parse_arguments(argv: Optional[Sequence[str]] = None) -> Tuple:
    """Parse like SpeechBrain's ``parse_arguments``, with one-line errors.

    ``--exclude`` and ``--probe`` may be given several times.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    repeatable = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in _REPEATABLE:
        repeatable.add_argument(f"--{name}", action="append")
    lists, argv = repeatable.parse_known_args(argv)
    _check_words(argv)
    hparams_file, run_opts, text = sb.parse_arguments(argv)
    try:
        overrides = dict(YAML(typ="safe").load(text) or {})
    except (YAMLError, ValueError):
        raise InputError(
            f"{' '.join(argv[1:])} cannot be parsed; options are --name value, "
            "lists '[a, b]'"
        )
    overrides.update({k: v for k, v in vars(lists).items() if v})
    path = Path(hparams_file)
    require(
        path.is_file(),
        f"{path} does not exist",
        "the first argument must be a yaml file, such as one of hparams/",
    )
    _check_run_options(run_opts)
    _check_overrides(hparams_file, overrides)
    if overrides and path.read_text("utf-8").startswith(RESOLVED):
        hparams_file, overrides = _move(hparams_file, overrides)
    return hparams_file, run_opts, overrides


def _check_words(argv):
    """Refuse what SpeechBrain's parser would misread."""
    if argv and argv[0].startswith("--") and argv[0] != "--help":
        raise InputError(
            f"{argv[0]} is where the yaml file must be; type that first, then "
            "the options"
        )
    names = [arg.partition("=")[0] for arg in argv if arg.startswith("--")]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{name} is given twice; keep one of them")
    for arg in argv:
        require(
            arg.count("=") <= arg.startswith("--"),
            f"{arg} holds an '=' that SpeechBrain takes for a space",
            "rename the file or folder, or pass a link to it",
        )


def _check_run_options(run_opts):
    """Check SpeechBrain's own options."""
    ranged = {k: run_opts[k] for k in RANGES.keys() & run_opts.keys()}
    check_ranges({k: str(v) for k, v in ranged.items() if v is not None})
    device = run_opts["device"]
    if device is not None:
        check_device(device)
    local_rank = os.environ.get("LOCAL_RANK")  # set by torchrun
    if local_rank is not None and run_opts["distributed_backend"] != "gloo":
        n_gpus = torch.cuda.device_count()
        require(
            local_rank.isdecimal() and int(local_rank) < n_gpus,
            f"{os.environ.get('LOCAL_WORLD_SIZE')} processes and {n_gpus} GPUs",
            "start fewer, or use CPUs with --distributed_backend gloo --device "
            "cpu",
        )
    on_cpu = device == "cpu" or not torch.cuda.is_available()
    if on_cpu and "fp16" in (run_opts["precision"], run_opts["eval_precision"]):
        raise InputError("fp16 needs a GPU; use --precision bf16 or fp32")


def _check_overrides(hparams_file, overrides):
    """Check names and types of the options that the yaml file defines."""
    defaults = yaml_nodes(resolved(hparams_file, {}))
    # Scalars and lists, not objects.
    options = [
        key
        for key, node in defaults.items()
        if not key.startswith("__")
        and not str(node.tag).startswith(("!new", "!name", "!include"))
        and not str(node.tag).endswith(":map")
    ]
    for name, value in overrides.items():
        if name not in options:
            close = difflib.get_close_matches(name, options, n=1)
            meant = f" (did you mean --{close[0]}?)" if close else ""
            raise InputError(
                f"--{name} is not an option of {hparams_file}{meant}; it has "
                f"{', '.join('--' + key for key in options)}, and SpeechBrain "
                "has those that --help shows"
            )
        tag = str(defaults[name].tag).rpartition(":")[2]
        types, description = _TYPES.get(tag, ((object,), ""))
        is_bool = isinstance(value, bool)  # Python counts it as an int
        require(
            isinstance(value, types) and not (is_bool and int in types),
            f"--{name} is {value!r}",
            "expected a value like the default, "
            f"'{as_text(defaults[name])}' ({description})",
        )


def _move(hparams_file, overrides):
    """Prepare to run a run's own hyperparams.yaml again in another folder.

    Its references are resolved: another option would change one of the places
    where a value is and not the others.
    """
    for name in overrides:
        require(
            name == "output_folder",
            f"--{name} cannot change {hparams_file}, which a run has left",
            "use the yaml file of hparams/ that it came from",
        )
    folder = Path(overrides["output_folder"])
    write_variant(hparams_file, {}, folder, {})
    return str(folder / "hyperparams.yaml"), {}
