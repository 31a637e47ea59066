"""Settings of a study, checked: what is compared, on what, with which options."""

import functools
import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import yaml
from ruamel.yaml import YAML

from data_prep.files.errors import InputError
from data_prep.synthetic.plan import SCALES
from recipes.study.encoders import ADAPTED, ENCODERS

#: Ways of fine-tuning, and how tables and figures call them.
MODE_NAMES = {
    "linear": "linear",
    "linear_bn": "linear+BN",
    "end_to_end": "end to end",
}
MODES = tuple(MODE_NAMES)
#: What a stage of the study is, by its key in ``stages``; each is a run of a
#: public command, and its settings are that command's options.
STAGES = ("simclr", "supervised", "adapt", "adapt_replay", *MODES)
HPARAMS = Path(__file__).resolve().parents[2] / "hparams"
#: SpeechBrain's options that one may want here.
_OF_SPEECHBRAIN = {
    "precision", "eval_precision", "device", "compile", "num_workers",
    "grad_accumulation_factor", "max_grad_norm", "noprogressbar",
}  # fmt: skip
#: Options that the study itself gives.
_OWN = {
    "seed", "width", "data_folder", "cry_folder", "replay_folder", "classes",
    "output_folder", "encoder_source", "recordings_csv", "label_column",
    "label_fraction", "other_labels", "folds", "fold_column", "test_fold",
    "valid_fold", "nuisance", "controls", "figures", "exclude", "excluded",
    "exclude_folder", "control", "finetune_mode",
}  # fmt: skip


@dataclass(frozen=True)
class Task:
    """What cries are classified by.

    Arguments
    ---------
    name : str
        Its key in ``tasks``.
    label_column : str
        Of recordings.csv.
    classes : tuple of str
        The positive one last.
    hparams : str
        Begin of the yaml files' names: ``neuro`` or ``trigger``.
    """

    name: str
    label_column: str
    classes: Tuple[str, ...]
    hparams: str


@dataclass(frozen=True)
class Settings:
    """A study's yaml file.

    Arguments
    ---------
    title : str
        Of the report.
    output_folder : pathlib.Path
        All runs, logs and the report.
    synthetic : dict or None
        ``scale`` and ``seed`` of the embedded corpus; None: real audio.
    generic : pathlib.Path
        Generic audio, in VGGSound's form.
    cries : pathlib.Path
        Cry database: audio, and recordings.csv.
    recordings_csv : pathlib.Path
        Its table.
    unlabelled_csv : pathlib.Path or None
        A table of further cries, for adaptation alone; its paths begin in
        ``cries`` too.
    folds : bool
        Whether each value of the column ``fold`` of recordings.csv is tested
        on once. Else its column ``split`` counts, which is made where there
        is none.
    nuisance : str or None
        Column that an embedding should not tell.
    tasks : tuple of Task
        The first is the study's own (tables 1 and 2, the figure, the
        claims), the second, if any, is for table 3.
    encoders : tuple of str
        What is compared, of ``ENCODERS``; ``simclr`` among them.
    modes : tuple of str
        Ways of fine-tuning, of ``MODES``; ``linear`` among them, whose runs
        show what the encoders hold.
    width : int
        Of CNN14.
    seeds : tuple of int
        Of fine-tuning.
    pretraining_seeds : tuple of int
        Of pre-training and adaptation; fewer than ``seeds`` take turns.
    fractions : tuple of float
        Shares of the labels, ascending; the last is 1.
    speed : float
        How many times faster than one core of ours the machine is, for the
        estimate of hours; measured times count more.
    confounds : bool
        Whether to ask what else a classifier could have learned.
    stages : dict
        Options of each stage's command, ``yaml`` (its file) among them.
    """

    title: str
    output_folder: Path
    synthetic: Optional[Dict[str, Any]]
    generic: Path
    cries: Path
    recordings_csv: Path
    unlabelled_csv: Optional[Path]
    folds: bool
    nuisance: Optional[str]
    tasks: Tuple[Task, ...]
    encoders: Tuple[str, ...]
    modes: Tuple[str, ...]
    width: int
    seeds: Tuple[int, ...]
    pretraining_seeds: Tuple[int, ...]
    fractions: Tuple[float, ...]
    speed: float
    confounds: bool
    stages: Dict[str, Dict[str, Any]]

    @property
    def tasks_by_name(self) -> Dict[str, Task]:
        """The tasks, in order."""
        return {task.name: task for task in self.tasks}


def read_study(path: Path) -> Dict:
    """Read a study's yaml file as it stands; refuse what is not one."""
    try:
        found = yaml.safe_load(Path(path).read_text("utf-8"))
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); pass a yaml file as "
            "those in recipes/study/studies"
        )
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        why = " ".join(str(error).split())
        raise InputError(f"{path} is no yaml file ({why}); correct it")
    if not isinstance(found, dict):
        raise InputError(
            f"{path} holds no settings; see those in recipes/study/studies"
        )
    return found


def check_settings(found: Dict, source: str) -> Settings:
    """Settings from the keys of a yaml file."""
    names = [field.name for field in fields(Settings)]
    for name in found:
        if name not in names:
            raise InputError(
                f"{source}: {name!r} is no setting of a study; use "
                f"{', '.join(names)}"
            )
    found = {**_DEFAULTS, **found}
    for name in names:
        if name not in found:
            raise InputError(f"{source}: {name} is missing; add it")
    check = _Check(source)
    out = Path(check.text("output_folder", found["output_folder"]))
    if "{" in str(out) or "}" in str(out):
        check.fail("output_folder", str(out), "Snakemake reads braces; rename")
    seeds = check.numbers("seeds", found["seeds"], int, 0)
    encoders = check.numbers(
        "pretraining_seeds", found["pretraining_seeds"], int, 0
    )
    if len(encoders) > len(seeds):
        check.fail(
            "pretraining_seeds", list(encoders), "no more than seeds: the rest "
            "would never be used",
        )  # fmt: skip
    places = _places(found, out, check)
    return Settings(
        title=check.text("title", found["title"]),
        output_folder=out,
        **places,
        folds=check.flag("folds", found["folds"]),
        nuisance=check.optional_text("nuisance", found["nuisance"]),
        tasks=_tasks(found["tasks"], check),
        encoders=_encoders(found["encoders"], check),
        modes=_modes(found["modes"], check),
        width=check.numbers("width", [found["width"]], int, 1)[0],
        seeds=seeds,
        pretraining_seeds=encoders,
        fractions=_fractions(found["fractions"], check),
        speed=check.numbers("speed", [found["speed"]], float, 0.01)[0],
        confounds=check.flag("confounds", found["confounds"]),
        stages=_stages(found, check),
    )


_DEFAULTS = {
    "synthetic": None,
    "generic": None,
    "cries": None,
    "recordings_csv": None,
    "unlabelled_csv": None,
    "folds": False,
    "nuisance": "site",
    "encoders": list(ENCODERS),
    "modes": list(MODES),
    "confounds": True,
    "speed": 1.0,
}


class _Check:
    """Values of the right kind, or one line that names the file."""

    def __init__(self, source):
        self.source = source

    def fail(self, name, value, must):
        raise InputError(f"{self.source}: {name} is {value!r}; {must}")

    def text(self, name, value):
        if not isinstance(value, str) or not value.strip():
            self.fail(name, value, "it must be a text")
        return value

    def optional_text(self, name, value):
        return None if value is None else self.text(name, value)

    def flag(self, name, value):
        if not isinstance(value, bool):
            self.fail(name, value, "it must be true or false")
        return value

    def numbers(self, name, values, kind, least):
        if not isinstance(values, list) or not values:
            self.fail(name, values, "it must be a list of numbers")
        kinds = (int,) if kind is int else (int, float)
        for value in values:
            number = isinstance(value, kinds) and not isinstance(value, bool)
            if not number or not math.isfinite(value) or value < least:
                what = "a whole number" if kind is int else "a number"
                self.fail(name, value, f"it must be {what}, {least} at least")
            if values.count(value) > 1:
                self.fail(name, values, f"{value} is there twice; remove one")
        return tuple(kind(value) for value in values)

    def mapping(self, name, value):
        if not isinstance(value, dict) or not value:
            self.fail(name, value, "it must be settings by name")
        return value

    def known(self, name, keys, allowed):
        for key in keys:
            if key not in allowed:
                self.fail(name, key, f"use {', '.join(allowed)}")


def _places(found, out, check) -> Dict:
    """Where the corpora are: given, or the synthetic one's place."""
    if found["synthetic"] is not None:
        synthetic = check.mapping("synthetic", found["synthetic"])
        check.known("synthetic", synthetic, ("scale", "seed"))
        check.known("synthetic scale", [synthetic.get("scale")], tuple(SCALES))
        seed = check.numbers("synthetic seed", [synthetic.get("seed")], int, 0)
        for name in ("generic", "cries", "recordings_csv", "unlabelled_csv"):
            if found[name] is not None:
                check.fail(
                    name, found[name], "the synthetic corpus has its own place;"
                    " remove this setting, or 'synthetic'"
                )  # fmt: skip
        corpus = out / "corpus" / f"{synthetic['scale']}_{seed[0]}"
        cries = corpus / "cry"
        return {
            "synthetic": synthetic,
            "generic": corpus / "vggsound",
            "cries": cries,
            "recordings_csv": cries / "recordings.csv",
            "unlabelled_csv": None,
        }
    cries = Path(check.text("cries", found["cries"]))
    table = check.optional_text("recordings_csv", found["recordings_csv"])
    more = check.optional_text("unlabelled_csv", found["unlabelled_csv"])
    return {
        "synthetic": None,
        "generic": Path(check.text("generic", found["generic"])),
        "cries": cries,
        "recordings_csv": Path(table) if table else cries / "recordings.csv",
        "unlabelled_csv": Path(more) if more else None,
    }


def _tasks(found, check) -> Tuple[Task, ...]:
    tasks = []
    for name, task in check.mapping("tasks", found).items():
        own = f"tasks: {name}"
        if not str(name).replace("_", "").isalnum():
            check.fail("tasks", name, "use letters, digits and _")
        check.mapping(own, task)
        check.known(own, task, ("label_column", "classes", "hparams"))
        classes = task.get("classes")
        if not isinstance(classes, list) or len(classes) < 2:
            check.fail(f"{own}: classes", classes, "it must be two or more")
        hparams = task.get("hparams", "neuro")
        check.known(f"{own}: hparams", [hparams], ("neuro", "trigger"))
        column = check.text(f"{own}: label_column", task.get("label_column"))
        # The commands read them as yaml, and a csv file as text.
        for text in (column, *classes):
            if not isinstance(text, str) or yaml.safe_load(text) != text:
                check.fail(
                    own, text, "it is no plain text in yaml; quote it, or "
                    "rename it in recordings.csv"
                )  # fmt: skip
        if "," in column:
            check.fail(f"{own}: label_column", column, "rename it: no comma")
        tasks.append(Task(str(name), column, tuple(classes), hparams))
    if len({task.name for task in tasks}) < len(tasks):
        check.fail("tasks", list(found), "a name is there twice")
    if len(tasks) > 2:
        check.fail("tasks", list(found), "a study has one or two")
    return tuple(tasks)


def _encoders(found, check) -> Tuple[str, ...]:
    """In the order of the tables, whatever the file's."""
    if not isinstance(found, list) or "simclr" not in found:
        check.fail("encoders", found, "it must be a list with simclr in it")
    check.known("encoders", found, tuple(ENCODERS))
    return tuple(encoder for encoder in ENCODERS if encoder in found)


def _modes(found, check) -> Tuple[str, ...]:
    """In the order of the tables, whatever the file's."""
    if not isinstance(found, list) or "linear" not in found:
        check.fail("modes", found, "it must be a list with linear in it")
    check.known("modes", found, MODES)
    return tuple(mode for mode in MODES if mode in found)


def _fractions(found, check) -> Tuple[float, ...]:
    fractions = check.numbers("fractions", found, float, 0)
    if list(fractions) != sorted(fractions) or fractions[-1] != 1.0:
        check.fail("fractions", found, "it must ascend and end with 1.0")
    if fractions[0] <= 0:
        check.fail("fractions", found, "each must be above 0")
    return fractions


def _stages(found, check) -> Dict[str, Dict]:
    """Options of the stages that the encoders and modes need."""
    needed = {"simclr", *found["encoders"], *found["modes"]}
    needed |= {stage for name, (stage, *_) in ADAPTED.items() if name in needed}
    found = check.mapping("stages", found["stages"])
    check.known("stages", found, STAGES)
    stages: Dict[str, Dict] = {}
    for name in STAGES:
        options = found.get(name) or {}
        if not isinstance(options, dict):
            check.fail(f"stages: {name}", options, "it must be options by name")
        for option in options:
            if option in _OWN:
                check.fail(f"stages: {name}", option, "the study gives it")
        if name in needed or options:
            _check_options(name, options, found, check)
        stages[name] = dict(options)
    return stages


def _check_options(name, options, stages, check) -> None:
    """Each is of the stage's yaml file, or of SpeechBrain's own."""
    own = f"stages: {name}"
    file = f"neuro_{name}" if name in MODES else options.get("yaml")
    path = HPARAMS / f"{file}.yaml"
    if name in MODES and "yaml" in options:
        check.fail(own, "yaml", "the task and the mode decide it")
    if not isinstance(file, str) or not path.is_file():
        known = ", ".join(sorted(p.stem for p in HPARAMS.glob("*.yaml")))
        check.fail(f"{own}: yaml", file, f"use one of {known}")
    known = {*plain_settings(path), *_OF_SPEECHBRAIN, "yaml"}
    for option, value in options.items():
        if option not in known:
            check.fail(own, option, f"{path.name} has no such option")
        if option in ("number_of_epochs", "chunk_s"):
            check.numbers(f"{own}: {option}", [value], float, 0)


@functools.cache
def plain_settings(path: Path) -> Dict[str, Any]:
    """The values of a yaml file as text, by key, without building them."""
    nodes = YAML().compose(Path(path).read_text("utf-8")).value
    return {key.value: node.value for key, node in nodes}


def seeds_of(settings: Settings) -> List[Tuple[int, int]]:
    """Seeds of fine-tuning, each with that of the encoder it begins with.

    Example
    -------
    >>> from types import SimpleNamespace
    >>> seeds_of(SimpleNamespace(seeds=(1, 2, 3), pretraining_seeds=(7, 8)))
    [(1, 7), (2, 8), (3, 7)]
    """
    encoders = settings.pretraining_seeds
    return [
        (seed, encoders[i % len(encoders)])
        for i, seed in enumerate(settings.seeds)
    ]
