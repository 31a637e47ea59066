"""From a yaml file to the objects of an experiment, checked."""

import functools
import io
import re
import threading
from pathlib import Path
from typing import Dict, Optional, Sequence

from hyperpyyaml import load_hyperpyyaml, resolve_references
from ruamel.yaml import YAML
from speechbrain.utils.distributed import if_main_process
from speechbrain.utils.logger import get_environment_description

from cry_modules.audio import shortest_input
from data_prep.files.errors import InputError
from data_prep.files.tables import write_text

#: Keys whose values begin with the output folder.
_OF_OUTPUT = ("output_folder", "checkpoints_dir", "save_file")

#: Keys that change how fast a run is, or what is asked of its result, not
#: what is trained.
_HARMLESS = (
    "num_workers",
    "cache_mb",
    "checkpoint_activations",
    "tensorboard",
    "patient_score",
    "bootstrap_draws",
    "controls",
    "nuisance",
    "subgroups",
    "figures",
)


def load(hparams_file: str, overrides: Dict, needs: Sequence[str] = ()) -> Dict:
    """Build the experiment that a yaml file describes.

    What the yaml includes as ``base`` is merged in, so that a script finds
    every key in one place.

    Example
    -------
    >>> path = getfixture("tmpdir").join("a.yaml")
    >>> path.write(f"output_folder: {path.dirname}/run\\nlr: 0.1")
    >>> load(str(path), {"lr": 0.2})["lr"]
    0.2
    """
    with open(hparams_file, encoding="utf-8") as file:
        resolved = resolve_references(file, overrides).read()
    _check_before_building(hparams_file, resolved, needs)
    with open(hparams_file, encoding="utf-8") as file:
        try:
            hparams = load_hyperpyyaml(file, overrides)
        except (ValueError, TypeError) as error:
            raise InputError(f"{hparams_file}: {error}")
    check_same_experiment(Path(hparams["output_folder"]), resolved)
    base = hparams.pop("base", {})
    hparams = {**base.pop("base", {}), **base, **hparams}
    _check_settings(hparams)
    return hparams


def to_save(hparams: Dict, hparams_file: str) -> Optional[str]:
    """The yaml file to save in the output folder, unless one is there that
    checkpoints belong to: writing it anew could be interrupted.

    Example
    -------
    >>> to_save({"output_folder": "no/such/folder"}, "a.yaml")
    'a.yaml'
    """
    return None if has_begun(hparams["output_folder"]) else hparams_file


@functools.cache
def environment() -> str:
    """The versions of Python, its packages and the code, as SpeechBrain
    describes them; pip takes more than a second to list them."""
    return get_environment_description()


def log_environment(folder: Path) -> threading.Thread:
    """Begin to write ``env.log``, as ``create_experiment_directory`` would
    with ``save_env_desc``: pip's list takes a second, which need not be waited
    for.

    Example
    -------
    >>> folder = getfixture("tmpdir")
    >>> log_environment(folder).join()
    >>> folder.join("env.log").read().splitlines()[0]
    'SpeechBrain system description'
    """

    def write():
        if if_main_process():
            write_text(Path(folder) / "env.log", environment())

    thread = threading.Thread(target=write)
    thread.start()
    return thread


def has_begun(folder: Path) -> bool:
    """Whether a folder holds the checkpoints of a run, or of its folds.

    Example
    -------
    >>> has_begun("no/such/folder")
    False
    """
    patterns = ("save/CKPT*", "fold_*/save/CKPT*")
    return any(list(Path(folder).glob(pattern)) for pattern in patterns)


def _check_before_building(hparams_file, resolved, needs):
    """Building the experiment makes its output folder."""
    keys = {key.value for key, _ in YAML().compose(resolved).value}
    missing = [key for key in (*needs, "output_folder") if key not in keys]
    if missing:
        raise InputError(
            f"{hparams_file} has no {missing[0]!r}, so it is not for this "
            "script; the READMEs of recipes/ say which yaml files are"
        )
    output = Path(settings(resolved)["output_folder"])
    for folder in (output, *output.parents):
        if folder.exists() and not folder.is_dir():
            raise InputError(
                f"output_folder {output}: {folder} is a file; pass a folder"
            )


def _check_settings(hparams):
    """What no object refuses by itself, and would fail or mislead later."""
    for name, least in (
        ("number_of_epochs", 1),
        ("batch_size", 2),
        ("n_views", 2),
        ("patience", 1),
        ("bootstrap_draws", 100),
        ("probe_every", 1),
        ("num_workers", 0),
        ("cache_mb", 0),
        ("n_masks", 0),
        ("min_clips", 0),
        ("warmup_epochs", 0),
        ("final_lr", 0),
    ):
        if hparams.get(name, least) < least:
            raise InputError(
                f"{name} is {hparams[name]}; it must be {least} at least"
            )
    if hparams.get("lr", 1) <= 0:
        raise InputError(f"lr is {hparams['lr']}; it must be above 0")
    if "chunks" in hparams:
        shortest = shortest_input(hparams["logmel"].hop)
        if hparams["chunks"].n_samples < shortest:
            raise InputError(
                f"chunk_s is {hparams['chunk_s']}; the encoder needs "
                f"{shortest / hparams['sample_rate']} s at least"
            )


def check_same_experiment(folder: Path, resolved: str) -> None:
    """A folder with checkpoints goes on with its own settings or not at all.

    Example
    -------
    >>> check_same_experiment(Path("no/such/folder"), "lr: 1")
    """
    before = folder / "hyperparams.yaml"
    if not before.is_file() or not has_begun(folder):
        return
    # A run from before there were front ends has the first one.
    old, new = (
        {"front_end": "fbank", **settings(text)}
        for text in (before.read_text("utf-8"), resolved)
    )
    # A run may be moved to another place.
    for name in sorted({*old, *new} - {"output_folder"}):
        if old.get(name) != new.get(name):
            raise InputError(
                f"{folder} holds a run with {name}: {old.get(name)}, now it is "
                f"{new.get(name)}; pass another --output_folder, or delete it"
            )


def settings(text: str) -> Dict[str, str]:
    """Plain settings of a resolved yaml file, by key.

    Example
    -------
    >>> settings("lr: 0.1\\nclasses: [a, b]\\nopt: !name:torch.optim.SGD {}")
    {'lr': '0.1', 'classes': 'a, b'}
    """
    found = {}
    for key, node in YAML().compose(text).value:
        if isinstance(node.value, str) and key.value not in _HARMLESS:
            found[key.value] = node.value
        elif str(node.tag).endswith(":seq"):
            found[key.value] = ", ".join(item.value for item in node.value)
    return found


def moved(text: str, output_folder: str) -> str:
    """A resolved yaml file whose run goes to another folder.

    Example
    -------
    >>> moved("output_folder: a/b\\nsave_file:\\n  a/b/log\\ndata: a/b", "c")
    'output_folder: c\\nsave_file:\\n  c/log\\ndata: a/b'
    """
    old = settings(text)["output_folder"]
    # What else begins like it, an encoder_source in it, stays where it is.
    # A long value stands in the line below its key.
    return re.sub(
        rf"^(\s*(?:{'|'.join(_OF_OUTPUT)}):\s+['\"]?){re.escape(old)}"
        r"(?=/|['\"]?\s*(#|$))",
        lambda match: match.group(1) + output_folder,
        text,
        flags=re.M,
    )


def write_variant(
    hparams_file: str, overrides: Dict, output_folder: Path, changes: Dict
) -> None:
    """Write ``hyperparams.yaml`` of a run that differs in some settings.

    Example
    -------
    >>> tmp = Path(getfixture("tmpdir"))
    >>> _ = (tmp / "a.yaml").write_text("output_folder: a\\nfold: null\\nx: 1")
    >>> write_variant(tmp / "a.yaml", {"x": 2}, tmp / "b", {"fold": 3})
    >>> found = settings((tmp / "b/hyperparams.yaml").read_text())
    >>> found["fold"], found["x"]
    ('3', '2')
    """
    with open(hparams_file, encoding="utf-8") as file:
        text = resolve_references(file, overrides).read()
    text = moved(text, str(output_folder))
    text = resolve_references(io.StringIO(text), changes).read()
    check_same_experiment(Path(output_folder), text)
    Path(output_folder).mkdir(parents=True, exist_ok=True)
    write_text(Path(output_folder) / "hyperparams.yaml", text)
