"""An experiment: from a yaml file to checked objects, and variants of it."""

import functools
import io
import logging
import shutil
import sys
import threading
from contextlib import ExitStack, contextmanager
from importlib import metadata
from pathlib import Path
from typing import Dict, Iterator, Sequence, Set

import torch
from hyperpyyaml import load_hyperpyyaml, resolve_references
from ruamel.yaml import YAML
from speechbrain.core import create_experiment_directory
from speechbrain.utils.distributed import if_main_process

from cry_modules.architectures import (
    ARCHITECTURES,
    architecture,
    architecture_of,
    is_configured,
    is_pretrained,
    kind_and_source,
)
from cry_modules.checkpoints.allow_list import TextLoader, resolved
from cry_modules.checkpoints.settings import (
    YAML_FILE,
    check_chunk,
    check_ranges,
    check_response,
    misread,
    plain_settings,
    quoted,
    read_pairs,
    yaml_nodes,
)
from cry_modules.checkpoints.versions import (
    check_settings_version,
    missing_class,
)
from cry_modules.distributed import gather_objects, rank
from cry_modules.finetune import FINETUNE_MODES
from cry_modules.training.resume import (
    check_same_experiment,
    comparable_settings,
    has_begun,
)
from data_prep.files.atomic import make_folder, named_in_errors
from data_prep.files.errors import InputError, require
from data_prep.files.folders import require_regular_files
from data_prep.files.lock import locked
from data_prep.files.programs import commit
from data_prep.files.tables import write_text

logger = logging.getLogger(__name__)


def load(hparams_file: str, overrides: Dict, needs: Sequence[str] = ()) -> Dict:
    """Build the experiment that a yaml file describes.

    Entries of an included ``base`` are merged in, so that a script finds
    every key in one place. ``needs`` are the keys that the script uses.
    """
    text = resolved(hparams_file, as_typed(hparams_file, overrides))
    _check_before_building(hparams_file, text, needs)
    try:
        hparams = load_hyperpyyaml(text, loader=TextLoader)
    except (ValueError, TypeError) as error:
        raise InputError(f"{hparams_file}: {error}")
    except ImportError as error:
        raise missing_class(hparams_file, error)
    check_same_experiment(Path(hparams["output_folder"]), text)
    base = hparams.pop("base", {})
    hparams = {**base.pop("base", {}), **base, **hparams}
    if "checkpointer" in hparams:
        hparams["checkpointer"].record(settings=comparable_settings(text))
    if "chunk_s" in hparams:
        check_chunk(hparams["chunk_s"], hparams["logmel"])
    if "waveform_augment" in hparams:
        check_response(hparams, hparams["logmel"])
    return hparams


def as_typed(hparams_file: str, overrides: Dict) -> Dict:
    """Overrides, and the settings of the file that yaml would misread."""
    read_pairs(hparams_file)
    text = resolved(hparams_file, quoted(overrides))
    content = Path(hparams_file).read_text("utf-8")
    return quoted({**misread(content, text, overrides), **overrides})


def _check_before_building(hparams_file, text, needs):
    """Check keys, ranges and output folder; building makes that folder."""
    keys = yaml_nodes(text)
    for key in (*needs, "output_folder"):
        require(
            key in keys,
            f"{hparams_file} has no {key!r}, so it is not for this script",
            "docs/ lists the yaml files of each script",
        )
    settings = plain_settings(text)
    check_settings_version(hparams_file, text)
    check_ranges(settings)
    check_training(settings)
    output = Path(settings["output_folder"])
    for folder in (output, *output.parents):
        require(
            folder.is_dir() or not folder.exists(),
            f"output_folder {output}: {folder} is a file",
            "pass a folder",
        )
    require_regular_files(output)


def check_training(settings: Dict[str, str]) -> None:
    """Refuse training that the architecture of an experiment has not.

    ``settings`` are those of its yaml file, as text.
    """
    name, mode = settings.get("architecture"), settings.get("finetune_mode")
    if name is None or not (is_pretrained(name) or is_configured(name)):
        return
    kind = kind_and_source(name)[0]
    require(
        mode is not None or not ARCHITECTURES[kind].reads_samples,
        f"{kind} reads samples, and SimCLR trains encoders of mel frames",
        "pass it to train_cls.py as --encoder_source",
    )
    if is_configured(name):
        return
    source = settings.get("encoder_source")
    require(
        source not in (None, "", "null", "random_calibrated"),
        f"--architecture is {name}, an encoder with weights, and "
        f"--encoder_source is {source or 'null'}",
        f"pass --encoder_source {name} in its place",
    )
    require(
        not is_pretrained(source) or architecture_of(source) == name,
        f"--encoder_source is {source}, and this run has the architecture "
        f"{name}",
        "leave out --architecture, or pass another --output_folder",
    )
    if architecture(name).frozen:
        require(
            mode in FINETUNE_MODES and FINETUNE_MODES[mode] == ("none", False),
            f"{source} is only used as it is, and finetune_mode is {mode}",
            "pass a yaml file of a linear mode, as hparams/neuro_linear.yaml",
        )


@contextmanager
def only_process_in(output_folder: Path) -> Iterator[None]:
    """Lock the folder of a run; every rank must call this.

    The first rank holds the lock. If another run has it, all ranks raise the
    same ``InputError``.
    """
    with ExitStack() as stack:
        problem = None
        if rank() == 0:
            try:
                stack.enter_context(locked(output_folder))
            except InputError as error:
                problem = str(error)
        problem = gather_objects(problem)[0]
        if problem is not None:
            raise InputError(problem)
        with named_in_errors(output_folder):
            yield


def begin(
    hparams: Dict, hparams_file: str, overrides: Dict, script: str
) -> threading.Thread:
    """Create the output folder with a copy of the script; return the thread
    that writes ``env.log``."""
    folder = hparams["output_folder"]
    is_saved = has_begun(folder) and (Path(folder) / YAML_FILE).is_file()
    create_experiment_directory(
        experiment_directory=folder,
        # Rewriting the file that checkpoints belong to could be interrupted.
        hyperparams_to_save=None if is_saved else hparams_file,
        overrides=as_typed(hparams_file, overrides),
        save_env_desc=False,
    )
    if if_main_process():
        # SpeechBrain copies the file that calls it, which is this one.
        (Path(folder) / Path(__file__).name).unlink(missing_ok=True)
        shutil.copy(script, folder)
    return log_environment(folder)


@functools.cache
def environment() -> str:
    """Versions of Python, its packages, the code and CUDA, in the form of
    SpeechBrain, which starts pip: that takes more than a second, and names the
    folders that packages were installed from."""
    packages = {f"{d.name}=={d.version}" for d in metadata.distributions()}
    rule = "=" * 30
    return "\n".join(
        [
            *("SpeechBrain system description", rule),
            *("Python version:", sys.version, rule),
            *("Installed Python packages:", *sorted(packages, key=str.lower)),
            *(rule, "Git revision:", commit() or "unknown", rule),
            f"CUDA version: {torch.version.cuda or torch.version.hip}"
            if torch.cuda.is_available()
            else "CUDA not available",
        ]
    )


def log_environment(folder: Path) -> threading.Thread:
    """Write ``env.log`` in a thread: git can be slow on a network drive.

    It replaces ``save_env_desc`` of ``create_experiment_directory``.

    Example
    -------
    >>> folder = getfixture("tmpdir")
    >>> log_environment(folder).join()
    >>> folder.join("env.log").read().splitlines()[0]
    'SpeechBrain system description'
    """

    def write():
        if not if_main_process():
            return
        try:
            write_text(Path(folder) / "env.log", f"{environment()}\n")
        except InputError as error:  # nobody would handle it in a thread
            logger.warning("%s", error)

    thread = threading.Thread(target=write)
    thread.start()
    return thread


def write_variant(
    hparams_file: str, overrides: Dict, output_folder: Path, changes: Dict
) -> None:
    """Write ``hyperparams.yaml`` of a run that differs in some settings.

    Example
    -------
    >>> tmp = Path(getfixture("tmpdir"))
    >>> _ = (tmp / "a.yaml").write_text("output_folder: a\\nfold: null\\nx: 1")
    >>> write_variant(tmp / "a.yaml", {"x": 2}, tmp / "b", {"fold": 3})
    >>> written = plain_settings((tmp / "b/hyperparams.yaml").read_text())
    >>> written["fold"], written["x"]
    ('3', '2')
    """
    text = resolved(hparams_file, as_typed(hparams_file, overrides))
    settings, stream = YAML().load(text), io.StringIO()
    _move(settings, str(settings["output_folder"]), str(output_folder), set())
    YAML().dump(settings, stream)
    stream.seek(0)
    text = resolve_references(stream, quoted(changes)).read()
    check_same_experiment(Path(output_folder), text)
    make_folder(output_folder)
    write_text(Path(output_folder) / "hyperparams.yaml", text)


def _move(settings, old: str, new: str, seen: Set[int]) -> None:
    """Replace the output folder wherever a run writes to it."""
    if id(settings) in seen:  # yaml's aliases
        return
    seen.add(id(settings))
    is_mapping = isinstance(settings, dict)
    for key in settings if is_mapping else range(len(settings)):
        value = settings[key]
        if isinstance(value, (dict, list)):
            _move(value, old, new, seen)
        # Other values that begin alike, such as encoder_source, do not change.
        elif key in ("output_folder", "checkpoints_dir", "save_file"):
            if value == old or str(value).startswith(f"{old}/"):
                settings[key] = quoted(new + value[len(old) :])
