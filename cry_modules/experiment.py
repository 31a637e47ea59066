"""From a command line to a run folder: what the train scripts share.

Authors
 * The contributors of cry-ssl 2026
"""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import speechbrain as sb
import torch
from hyperpyyaml import load_hyperpyyaml, resolve_references
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from cry_modules.audio import shortest_input
from data_prep.errors import InputError
from data_prep.tables import write_text

#: Keys that change how fast a run is, not what comes out.
_HARMLESS = ("num_workers", "cache_mb")

#: How SpeechBrain begins the hyperparams.yaml that a run leaves.
_RESOLVED = "# Generated"

#: Values that may take the place of a default of this yaml tag.
_TYPES = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "seq": (list,),
}


def parse_arguments(argv: Optional[Sequence[str]] = None) -> Tuple:
    """SpeechBrain's ``parse_arguments``, with errors that a user can mend;
    ``--exclude`` may be given several times.

    Arguments
    ---------
    argv : sequence of str or None
        Default: the command line's.

    Returns
    -------
    hparams_file : str
        The yaml file.
    run_opts : RunOptions
        Device, precision, debug, ...
    overrides : dict
        Values for the yaml's keys.

    Raises
    ------
    InputError
        No such yaml file, an option without value or that the yaml does not
        have, or a value of another type than its default.

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
    repeatable.add_argument("--exclude", action="append")
    several, argv = repeatable.parse_known_args(argv)
    if argv and argv[0].startswith("--"):
        raise InputError(
            f"{argv[0]} stands where the yaml file must be; type it first, "
            "then the options"
        )
    _refuse_doubled(argv)
    hparams_file, run_opts, text = sb.parse_arguments(argv)
    try:
        overrides = dict(YAML(typ="safe").load(text) or {})
    except (YAMLError, ValueError):
        raise InputError(
            "options are --name value, lists '[a, b]'; not understood: "
            + " ".join(argv[1:])
        )
    if several.exclude:
        overrides["exclude"] = several.exclude
    if not Path(hparams_file).is_file():
        raise InputError(
            f"{hparams_file} does not exist; the first argument must be a "
            "yaml file, such as one of hparams/"
        )
    device = run_opts["device"] or ""
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"--device is {device} and there is no GPU; use cpu")
    _check_overrides(hparams_file, overrides)
    if Path(hparams_file).read_text(encoding="utf-8").startswith(_RESOLVED):
        hparams_file, overrides = _move(Path(hparams_file), overrides)
    return hparams_file, run_opts, overrides


def _refuse_doubled(argv):
    names = [arg.partition("=")[0] for arg in argv if arg.startswith("--")]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{name} is given twice; keep one of them")


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
    text = hparams_file.read_text(encoding="utf-8")
    old, new = _settings(text)["output_folder"], overrides["output_folder"]
    text = re.sub(
        rf"(?<=: ){re.escape(old)}(?=/|$)", lambda _: new, text, flags=re.M
    )
    _check_same_experiment(Path(new), text)
    Path(new).mkdir(parents=True, exist_ok=True)
    moved = Path(new) / "hyperparams.yaml"
    write_text(moved, text)
    return str(moved), {}


def _check_overrides(hparams_file, overrides):
    with open(hparams_file, encoding="utf-8") as file:
        root = YAML().compose(resolve_references(file))
    defaults = {key.value: value for key, value in root.value}
    for name, value in overrides.items():
        if name not in defaults:
            raise InputError(
                f"--{name} is no option of {hparams_file}; it has "
                f"{', '.join('--' + key for key in _options(defaults))}"
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
                f"{_shown(defaults[name])} ({kind})"
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
    ]


def load(hparams_file: str, overrides: Dict) -> Dict:
    """Build the experiment that a yaml file describes.

    What the yaml includes as ``base`` is merged in, so that a script finds
    every key in one place.

    Arguments
    ---------
    hparams_file : str
        The yaml file.
    overrides : dict
        Values for its keys.

    Returns
    -------
    dict
        Objects and settings by name.

    Raises
    ------
    InputError
        A value that an object refuses, or an output folder that holds
        another experiment.

    Example
    -------
    >>> path = getfixture("tmpdir").join("a.yaml")
    >>> path.write(f"output_folder: {path.dirname}/run\\nlr: 0.1")
    >>> load(str(path), {"lr": 0.2})["lr"]
    0.2
    """
    with open(hparams_file, encoding="utf-8") as file:
        resolved = resolve_references(file, overrides).read()
    with open(hparams_file, encoding="utf-8") as file:
        try:
            hparams = load_hyperpyyaml(file, overrides)
        except (ValueError, TypeError) as error:
            raise InputError(f"{hparams_file}: {error}")
    _check_same_experiment(Path(hparams["output_folder"]), resolved)
    base = hparams.pop("base", {})
    hparams = {**base.pop("base", {}), **base, **hparams}
    _check_settings(hparams)
    return hparams


def _check_settings(hparams):
    """What no object refuses by itself, and would fail or mislead later."""
    for name, least in (("number_of_epochs", 1), ("batch_size", 2)):
        if hparams.get(name, least) < least:
            raise InputError(
                f"{name} is {hparams[name]}; it must be {least} at least"
            )
    if "chunks" in hparams:
        shortest = shortest_input(hparams["sample_rate"])
        if hparams["chunks"].n_samples < shortest:
            raise InputError(
                f"chunk_s is {hparams['chunk_s']}; the encoder needs "
                f"{shortest / hparams['sample_rate']} s at least"
            )


def _check_same_experiment(folder, resolved):
    """A folder with checkpoints goes on with its own settings or not at all."""
    before = folder / "hyperparams.yaml"
    if not before.is_file() or not list(folder.glob("save/CKPT*")):
        return
    old, new = (_settings(t) for t in (before.read_text("utf-8"), resolved))
    for name in sorted(set(old) | set(new)):
        if old.get(name) != new.get(name):
            raise InputError(
                f"{folder} holds a run with {name}: {old.get(name)}, now it is "
                f"{new.get(name)}; pass another --output_folder, or delete it"
            )


def _settings(text: str) -> Dict[str, str]:
    """Plain settings of a resolved yaml file, by key."""
    settings = {}
    for key, node in YAML().compose(text).value:
        if isinstance(node.value, str) and key.value not in _HARMLESS:
            settings[key.value] = node.value
        elif str(node.tag).endswith(":seq"):
            settings[key.value] = _shown(node)
    return settings


class History:
    """``history.json``: a list, a row an epoch.

    Arguments
    ---------
    output_folder : str
        The run folder.

    Example
    -------
    >>> history = History(getfixture("tmpdir"))
    >>> history.add({"epoch": 1, "train_loss": 0.5})
    >>> history.add({"epoch": 1, "train_loss": 0.4})  # resumed, done again
    >>> history.rows
    [{'epoch': 1, 'train_loss': 0.4}]
    """

    def __init__(self, output_folder: str):
        self.path = Path(output_folder) / "history.json"
        self.rows = []
        if self.path.is_file():
            self.rows = json.loads(self.path.read_text(encoding="utf-8"))

    def add(self, row: Dict) -> None:
        """Append an epoch; what a stopped run wrote after its last
        checkpoint is replaced.

        Arguments
        ---------
        row : dict
            With ``epoch``, from 1.
        """
        kept = [old for old in self.rows if old["epoch"] < row["epoch"]]
        self.rows = [*kept, row]
        lines = ",\n".join(json.dumps(row) for row in self.rows)
        write_text(self.path, f"[\n{lines}\n]\n")


def step_schedule(hparams: Dict, n_batches: int, accumulation: int) -> Dict:
    """Arguments of ``warmup_cosine`` from the real number of steps.

    Arguments
    ---------
    hparams : dict
        With ``number_of_epochs``, ``warmup_epochs``, ``lr``, ``final_lr``.
    n_batches : int
        Batches in an epoch.
    accumulation : int
        Batches to an optimizer step.

    Returns
    -------
    dict

    Raises
    ------
    InputError
        No step in an epoch, or no step after the warm-up.

    Example
    -------
    >>> hparams = dict(
    ...     number_of_epochs=3, warmup_epochs=1, lr=1.0, final_lr=0.0
    ... )
    >>> step_schedule(hparams, n_batches=10, accumulation=2)["n_steps"]
    15
    """
    steps_per_epoch = n_batches // accumulation
    if not steps_per_epoch:
        raise InputError(
            f"grad_accumulation_factor is {accumulation} and an epoch has "
            f"{n_batches} batches: no step would be made; lower it"
        )
    if hparams["warmup_epochs"] >= hparams["number_of_epochs"]:
        raise InputError(
            f"warmup_epochs is {hparams['warmup_epochs']} of "
            f"{hparams['number_of_epochs']} epochs; lower it"
        )
    return {
        "n_steps": steps_per_epoch * hparams["number_of_epochs"],
        "n_warmup": round(steps_per_epoch * hparams["warmup_epochs"]),
        "lr": hparams["lr"],
        "final_lr": hparams["final_lr"],
    }
