"""Settings of a study: the comparison, its data, and options of the commands."""

import functools
import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import yaml
from ruamel.yaml import YAML

from data_prep.files.errors import InputError
from data_prep.synthetic.plan import SCALES
from recipes.study.encoders import ENCODERS

#: Modes of fine-tuning, with their names in tables and figures.
MODE_NAMES = {
    "linear": "linear",
    "linear_bn": "linear+BN",
    "end_to_end": "end to end",
}
MODES = tuple(MODE_NAMES)
#: Keys of ``stages``. Each stage is a public command; its settings are options
#: of that command.
STAGES = ("simclr", "supervised", "adapt", "adapt_replay", *MODES)
HPARAMS = Path(__file__).resolve().parents[2] / "hparams"
#: Options of SpeechBrain that a stage may set.
_SPEECHBRAIN_OPTIONS = {
    "precision", "eval_precision", "device", "compile", "num_workers",
    "grad_accumulation_factor", "max_grad_norm", "noprogressbar",
}  # fmt: skip
#: Options that the study itself sets.
_STUDY_OPTIONS = {
    "seed", "width", "data_folder", "cry_folder", "replay_folder", "classes",
    "output_folder", "encoder_source", "recordings_csv", "label_column",
    "label_fraction", "other_labels", "folds", "fold_column", "test_fold",
    "valid_fold", "nuisance", "controls", "figures", "exclude", "excluded",
    "exclude_folder", "control", "finetune_mode",
}  # fmt: skip


@dataclass(frozen=True)
class Task:
    """A classification task."""

    name: str  # key in `tasks`
    label_column: str
    classes: Tuple[str, ...]  # the positive one last
    hparams: str  # prefix of the yaml files, neuro or trigger


@dataclass(frozen=True)
class Settings:
    """Contents of a study's yaml file; see studies/real.yaml."""

    title: str
    output_folder: Path  # runs, logs and report
    synthetic: Optional[Dict[str, Any]]  # scale and seed; None for real audio
    generic: Path  # in VGGSound's form
    cries: Path  # paths in the tables of cries are relative to it
    recordings_csv: Path
    unlabelled_csv: Optional[Path]  # further cries, for adaptation only
    folds: bool  # whether to test each value of the column `fold` once
    nuisance: Optional[str]  # column that embeddings should not predict
    tasks: Tuple[Task, ...]  # the second one is for table 3
    encoders: Tuple[str, ...]  # keys of ENCODERS
    modes: Tuple[str, ...]
    width: int  # of the encoder
    seeds: Tuple[int, ...]  # of fine-tuning
    pretraining_seeds: Tuple[int, ...]  # reused in turn if they are fewer
    fractions: Tuple[float, ...]  # of the labels, ascending, the last is 1
    speed: float  # relative to one CPU core, for the estimate of hours
    confounds: bool  # whether to search for confounders of the labels
    stages: Dict[str, Dict[str, Any]]  # options, and `yaml`, by stage

    @property
    def tasks_by_name(self) -> Dict[str, Task]:
        """The tasks, in order."""
        return {task.name: task for task in self.tasks}

    @property
    def architecture(self) -> str:
        """Name of the encoder that the stage ``simclr`` trains."""
        options = self.stages["simclr"]
        file = HPARAMS / f"{options['yaml']}.yaml"
        return {**plain_settings(file), **options}["architecture"]


def read_study(path: Path) -> Dict:
    """Read a study's yaml file without checking its keys."""
    try:
        settings = yaml.safe_load(Path(path).read_text("utf-8"))
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); pass a yaml file like "
            "those in recipes/study/studies"
        )
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        why = " ".join(str(error).split())
        raise InputError(f"{path} is not a yaml file ({why}); correct it")
    if not isinstance(settings, dict):
        raise InputError(
            f"{path} holds no settings; pass a yaml file like those in "
            "recipes/study/studies"
        )
    return settings


def check_settings(values: Dict, source: str) -> Settings:
    """Check the settings of a yaml file; ``source`` is named in errors."""
    names = [field.name for field in fields(Settings)]
    for name in values:
        if name not in names:
            raise InputError(
                f"{source}: {name!r} is not a setting of a study; use "
                f"{', '.join(names)}"
            )
    values = {**_DEFAULTS, **values}
    for name in names:
        if name not in values:
            raise InputError(f"{source}: {name} is missing; add it")
    check = _Check(source)
    out = Path(check.text("output_folder", values["output_folder"]))
    if "{" in str(out) or "}" in str(out):
        check.fail(
            "output_folder", str(out), "Snakemake interprets braces; rename it"
        )
    return Settings(
        title=check.text("title", values["title"]),
        output_folder=out,
        **_places(values, out, check),
        folds=check.flag("folds", values["folds"]),
        nuisance=check.optional_text("nuisance", values["nuisance"]),
        tasks=_tasks(values["tasks"], check),
        encoders=_ordered(
            "encoders", values["encoders"], tuple(ENCODERS), "simclr", check
        ),
        modes=_ordered("modes", values["modes"], MODES, "linear", check),
        width=check.numbers("width", [values["width"]], int, 1)[0],
        **_seeds(values, check),
        fractions=_fractions(values["fractions"], check),
        speed=check.numbers("speed", [values["speed"]], float, 0.01)[0],
        confounds=check.flag("confounds", values["confounds"]),
        stages=_stages(values, check),
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
    """Checks of single values; an error names the yaml file."""

    def __init__(self, source):
        self.source = source

    def fail(self, name, value, cure):
        raise InputError(f"{self.source}: {name} is {value!r}; {cure}")

    def require(self, condition, name, value, cure):
        if not condition:
            self.fail(name, value, cure)
        return value

    def text(self, name, value):
        valid = isinstance(value, str) and value.strip()
        return self.require(valid, name, value, "it must be a text")

    def optional_text(self, name, value):
        return None if value is None else self.text(name, value)

    def flag(self, name, value):
        valid = isinstance(value, bool)
        return self.require(valid, name, value, "it must be true or false")

    def numbers(self, name, values, kind, least):
        valid = isinstance(values, list) and values
        self.require(valid, name, values, "it must be a list of numbers")
        kinds = (int,) if kind is int else (int, float)
        noun = "a whole number" if kind is int else "a number"
        for value in values:
            number = isinstance(value, kinds) and not isinstance(value, bool)
            valid = number and math.isfinite(value) and value >= least
            cure = f"it must be {noun}, {least} or more"
            self.require(valid, name, value, cure)
            if values.count(value) > 1:
                self.fail(name, values, f"{value} is repeated; remove one")
        return tuple(kind(value) for value in values)

    def mapping(self, name, value):
        valid = isinstance(value, dict) and value
        cure = "it must hold settings by name"
        return self.require(valid, name, value, cure)

    def known(self, name, keys, allowed):
        for key in keys:
            cure = f"use {', '.join(allowed)}"
            self.require(key in allowed, name, key, cure)


def _seeds(values, check) -> Dict:
    seeds = check.numbers("seeds", values["seeds"], int, 0)
    name = "pretraining_seeds"
    pretraining = check.numbers(name, values[name], int, 0)
    cure = "pass at most as many as seeds; the rest would not be used"
    valid = len(pretraining) <= len(seeds)
    check.require(valid, name, list(pretraining), cure)
    return {"seeds": seeds, name: pretraining}


def _places(values, out, check) -> Dict:
    """Paths of the corpora: given, or those of the synthetic corpus."""
    if values["synthetic"] is not None:
        return _synthetic_places(values, out, check)
    cries = Path(check.text("cries", values["cries"]))
    table = check.optional_text("recordings_csv", values["recordings_csv"])
    more = check.optional_text("unlabelled_csv", values["unlabelled_csv"])
    return {
        "synthetic": None,
        "generic": Path(check.text("generic", values["generic"])),
        "cries": cries,
        "recordings_csv": Path(table) if table else cries / "recordings.csv",
        "unlabelled_csv": Path(more) if more else None,
    }


def _synthetic_places(values, out, check) -> Dict:
    synthetic = check.mapping("synthetic", values["synthetic"])
    check.known("synthetic", synthetic, ("scale", "seed"))
    check.known("synthetic scale", [synthetic.get("scale")], tuple(SCALES))
    seed = check.numbers("synthetic seed", [synthetic.get("seed")], int, 0)
    for name in ("generic", "cries", "recordings_csv", "unlabelled_csv"):
        cure = "the synthetic corpus has its own place; remove this setting, "
        cure += "or 'synthetic'"
        check.require(values[name] is None, name, values[name], cure)
    corpus = out / "corpus" / f"{synthetic['scale']}_{seed[0]}"
    return {
        "synthetic": synthetic,
        "generic": corpus / "vggsound",
        "cries": corpus / "cry",
        "recordings_csv": corpus / "cry/recordings.csv",
        "unlabelled_csv": None,
    }


def _tasks(values, check) -> Tuple[Task, ...]:
    tasks = []
    for name, task in check.mapping("tasks", values).items():
        key = f"tasks: {name}"
        if not str(name).replace("_", "").isalnum():
            check.fail("tasks", name, "use letters, digits and _")
        check.mapping(key, task)
        check.known(key, task, ("label_column", "classes", "hparams"))
        classes = task.get("classes")
        if not isinstance(classes, list) or len(classes) < 2:
            check.fail(f"{key}: classes", classes, "it must be two or more")
        hparams = task.get("hparams", "neuro")
        check.known(f"{key}: hparams", [hparams], ("neuro", "trigger"))
        column = check.text(f"{key}: label_column", task.get("label_column"))
        # Commands read these as yaml, and tables as text.
        for text in (column, *classes):
            if not isinstance(text, str) or yaml.safe_load(text) != text:
                check.fail(
                    key, text, "it is not plain text in yaml; quote it, or "
                    "rename it in recordings.csv"
                )  # fmt: skip
        if "," in column:
            check.fail(f"{key}: label_column", column, "rename it: no comma")
        tasks.append(Task(str(name), column, tuple(classes), hparams))
    if len({task.name for task in tasks}) < len(tasks):
        check.fail("tasks", list(values), "a name is repeated; rename one")
    if len(tasks) > 2:
        check.fail("tasks", list(values), "pass one or two")
    return tuple(tasks)


def _ordered(name, values, allowed, needed, check) -> Tuple[str, ...]:
    """Values in the order of the tables, whatever that of the file."""
    if not isinstance(values, list) or needed not in values:
        check.fail(name, values, f"it must be a list with {needed} in it")
    check.known(name, values, allowed)
    return tuple(value for value in allowed if value in values)


def _fractions(values, check) -> Tuple[float, ...]:
    fractions = check.numbers("fractions", values, float, 0)
    if list(fractions) != sorted(fractions) or fractions[-1] != 1.0:
        check.fail("fractions", values, "it must ascend and end with 1.0")
    if fractions[0] <= 0:
        check.fail("fractions", values, "each must be above 0")
    return fractions


def _stages(values, check) -> Dict[str, Dict]:
    """Options of all stages; those that the study runs must be complete."""
    needed = {ENCODERS[name].stage for name in values["encoders"]}
    needed |= {"simclr", *values["modes"]}
    given = check.mapping("stages", values["stages"])
    check.known("stages", given, STAGES)
    stages: Dict[str, Dict] = {}
    for name in STAGES:
        options = given.get(name) or {}
        if not isinstance(options, dict):
            check.fail(
                f"stages: {name}", options, "it must hold options by name"
            )
        for option in options:
            if option in _STUDY_OPTIONS:
                check.fail(
                    f"stages: {name}", option, "the study sets it; remove it"
                )
        if name in needed or options:
            _check_options(name, options, check)
        stages[name] = dict(options)
    return stages


def _check_options(name, options, check) -> None:
    """Each must be a key of the stage's yaml file or a SpeechBrain option."""
    key = f"stages: {name}"
    file = f"neuro_{name}" if name in MODES else options.get("yaml")
    path = HPARAMS / f"{file}.yaml"
    if name in MODES and "yaml" in options:
        check.fail(key, "yaml", "task and mode decide it; remove it")
    if not isinstance(file, str) or not path.is_file():
        known = ", ".join(sorted(p.stem for p in HPARAMS.glob("*.yaml")))
        check.fail(f"{key}: yaml", file, f"use one of {known}")
    known = {*plain_settings(path), *_SPEECHBRAIN_OPTIONS, "yaml"}
    for option, value in options.items():
        if option not in known:
            check.fail(key, option, f"{path.name} has no such option")
        if option in ("number_of_epochs", "chunk_s"):
            check.numbers(f"{key}: {option}", [value], float, 0)


@functools.cache
def plain_settings(path: Path) -> Dict[str, Any]:
    """Values of a yaml file as text, by key, without building objects."""
    nodes = YAML().compose(Path(path).read_text("utf-8")).value
    return {key.value: node.value for key, node in nodes}


def seeds_of(settings: Settings) -> List[Tuple[int, int]]:
    """Seeds of fine-tuning, each with the seed of its encoder."""
    pretraining = settings.pretraining_seeds
    return [
        (seed, pretraining[i % len(pretraining)])
        for i, seed in enumerate(settings.seeds)
    ]
