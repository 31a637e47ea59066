"""The command line of a train script, with errors that a user can mend."""

import argparse
import difflib
import os
import sys
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

import speechbrain as sb
import torch
from hyperpyyaml import resolve_references
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from cry_modules.training.experiment import write_variant
from data_prep.files.errors import InputError

#: How SpeechBrain begins the hyperparams.yaml that a run leaves.
_RESOLVED = "# Generated"

#: What SpeechBrain's options may be at the least; it does not ask.
_LEAST = {
    "grad_accumulation_factor": 1,
    "max_grad_norm": 0,
    "ckpt_interval_steps": 0,
    "ckpt_interval_minutes": 0,
}

#: Options whose values make up a list.
_REPEATABLE = ("exclude", "probe")

#: Values that may take the place of a default of this yaml tag.
_TYPES = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "seq": (list,),
}


_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "True or False",
    "seq": "a list",
}


def parse_arguments(argv: Optional[Sequence[str]] = None) -> Tuple:
    """SpeechBrain's ``parse_arguments``, with errors that a user can mend;
    ``--exclude`` and ``--probe`` may be given several times.

    Example
    -------
    >>> path = getfixture("tmpdir").join("a.yaml")
    >>> path.write("lr: 0.1\\nexclude: []")
    >>> arguments = "--lr 1e-3 --exclude a.csv --exclude b.csv".split()
    >>> parse_arguments([str(path), *arguments])[2]
    {'lr': 0.001, 'exclude': ['a.csv', 'b.csv']}
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    repeatable = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in _REPEATABLE:
        repeatable.add_argument(f"--{name}", action="append")
    several, argv = repeatable.parse_known_args(argv)
    if argv and argv[0].startswith("--") and argv[0] != "--help":
        raise InputError(
            f"{argv[0]} stands where the yaml file must be; type it first, "
            "then the options"
        )
    _refuse_doubled(argv)
    _refuse_equals_signs(argv)
    hparams_file, run_opts, text = sb.parse_arguments(argv)
    try:
        overrides = dict(YAML(typ="safe").load(text) or {})
    except (YAMLError, ValueError):
        raise InputError(
            "options are --name value, lists '[a, b]'; not understood: "
            + " ".join(argv[1:])
        )
    given = {name: value for name, value in vars(several).items() if value}
    overrides.update(given)
    _check_usage(hparams_file, run_opts)
    _check_overrides(hparams_file, overrides)
    if Path(hparams_file).read_text(encoding="utf-8").startswith(_RESOLVED):
        hparams_file, overrides = _move(Path(hparams_file), overrides)
    return hparams_file, run_opts, overrides


def _check_usage(hparams_file, run_opts):
    if not Path(hparams_file).is_file():
        raise InputError(
            f"{hparams_file} does not exist; the first argument must be a "
            "yaml file, such as one of hparams/"
        )
    for name, least in _LEAST.items():
        if run_opts[name] is not None and run_opts[name] < least:
            raise InputError(
                f"--{name} is {run_opts[name]}; it must be {least} at least"
            )
    device = run_opts["device"] or ""
    try:
        torch.device(device or "cpu")
    except RuntimeError:
        raise InputError(f"--device is {device}; use cpu, cuda or cuda:0")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"--device is {device} and there is no GPU; use cpu")
    local_rank = os.environ.get("LOCAL_RANK")  # torchrun's
    if local_rank is not None and run_opts["distributed_backend"] != "gloo":
        if int(local_rank) >= torch.cuda.device_count():
            raise InputError(
                f"{os.environ['LOCAL_WORLD_SIZE']} processes and "
                f"{torch.cuda.device_count()} GPUs; start fewer, or use CPUs "
                "with --distributed_backend gloo --device cpu"
            )
    on_cpu = device == "cpu" or not torch.cuda.is_available()
    if on_cpu and "fp16" in (run_opts["precision"], run_opts["eval_precision"]):
        raise InputError("fp16 needs a GPU; use --precision bf16 or fp32")


def _refuse_doubled(argv):
    names = [arg.partition("=")[0] for arg in argv if arg.startswith("--")]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{name} is given twice; keep one of them")


def _refuse_equals_signs(argv):
    for arg in argv:
        value = arg.partition("=")[2] if arg.startswith("--") else arg
        if "=" in value:
            raise InputError(
                f"{arg} holds an '=' that SpeechBrain takes for a space; "
                "rename the file or folder, or pass a link to it"
            )


def _check_overrides(hparams_file, overrides):
    try:
        with open(hparams_file, encoding="utf-8") as file:
            root = YAML().compose(resolve_references(file))
        defaults = {key.value: value for key, value in root.value}
    except (YAMLError, AttributeError, TypeError, ValueError):
        raise InputError(
            f"{hparams_file} is no yaml file of settings; pass one of hparams/"
        )
    options = _options(defaults)
    for name, value in overrides.items():
        if name not in options:
            close = difflib.get_close_matches(name, options, n=1)
            meant = f" (did you mean --{close[0]}?)" if close else ""
            raise InputError(
                f"--{name} is no option of {hparams_file}{meant}; it has "
                f"{', '.join('--' + key for key in options)}, and SpeechBrain "
                "has those that --help shows"
            )
        kind = str(defaults[name].tag).rpartition(":")[2]
        allowed = _TYPES.get(kind)
        fits = allowed is None or (
            isinstance(value, allowed)
            and (bool in allowed or not isinstance(value, bool))
        )
        if not fits:
            raise InputError(
                f"--{name} is {value!r}; expected a value like the default, "
                f"'{_shown(defaults[name])}' ({_KINDS[kind]})"
            )


def _shown(node) -> str:
    if isinstance(node.value, str):
        return node.value
    return "[" + ", ".join(item.value for item in node.value) + "]"


def _options(defaults) -> List[str]:
    """Keys a user may set: scalars and lists, not what is built of them."""
    return [
        key
        for key, node in defaults.items()
        if not key.startswith("__")
        and not str(node.tag).startswith(("!new", "!name", "!include"))
        and not str(node.tag).endswith(":map")
    ]


def _move(hparams_file, overrides):
    """A run's own hyperparams.yaml, to be run again in another folder.

    Its references are resolved: an option would change one of the places
    where a value stands and not the others.
    """
    if not overrides:
        return str(hparams_file), overrides
    if set(overrides) != {"output_folder"}:
        name = next(key for key in overrides if key != "output_folder")
        raise InputError(
            f"--{name} cannot change {hparams_file}, which a run has left; use "
            "the yaml file of hparams/ that it came from"
        )
    new = Path(overrides["output_folder"])
    write_variant(str(hparams_file), {}, new, {})
    return str(new / "hyperparams.yaml"), {}
