"""Settings of a study: the comparison, its data, and options of the commands."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple, Union

from cry_modules.checkpoints.settings import TEXTS
from data_prep.corpora.database import OPTIONS, TABLE, named_columns
from data_prep.corpora.folds import FOLD, MOST_FOLDS
from data_prep.files import option_values
from data_prep.files.errors import InputError, require
from data_prep.files.folders import require_outside
from data_prep.files.tables import Named
from data_prep.files.yaml_text import read_settings
from data_prep.synthetic.plan import SCALES
from recipes.study.encoders import (
    ENCODERS,
    NT_XENT,
    OBJECTIVES,
    WITHOUT_OBJECTIVE,
    is_outside,
    parts_of,
    pretraining_of,
    with_objective,
)
from recipes.study.stages import HPARAMS, MODES, check_stages, plain_settings
from recipes.study.values import (
    check,
    check_flag,
    check_known,
    check_mapping,
    check_numbers,
    check_path,
    check_path_or_none,
    check_text,
    check_text_or_none,
)

#: Settings of a study that are texts, and options of its stages that are.
STUDY_TEXTS = {"title", "generic", "cries", "hparams", "yaml"}
STUDY_TEXTS |= {"unlabelled", "unlabelled_csv"}
STUDY_TEXTS |= TEXTS - {"folds"}


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
    generic: Path  # in VGGSound's form, or any folder of audio
    cries: Path  # paths in the tables of cries are relative to it
    recordings_csv: Path
    patient_column: str  # names of columns in the tables of cries
    path_column: str
    unlabelled: Optional[Path]  # cries of other infants, for adaptation alone
    unlabelled_csv: Optional[Path]  # table of those, or of further cries
    #: True: each value of the column `fold` is tested once; a number: so many
    #: folds of whole patients are made; a text: the name of a column, such as
    #: site, each value of which is left out once.
    folds: Union[bool, int, str]
    nuisance: Optional[str]  # column that embeddings should not predict
    tasks: Tuple[Task, ...]  # the second one is for table 3
    encoders: Tuple[str, ...]  # keys of ENCODERS, with each objective
    objectives: Tuple[str, ...]  # of the encoders that have no labels
    modes: Tuple[str, ...]
    width: int  # of the encoder
    seeds: Tuple[int, ...]  # of fine-tuning
    pretraining_seeds: Tuple[int, ...]  # reused in turn if they are fewer
    fractions: Tuple[float, ...]  # of the labels, ascending, the last is 1
    compared_at: Tuple[float, ...]  # fractions at which all encoders are probed
    speed: float  # relative to one CPU core, for the estimate of hours
    confounds: bool  # whether to search for confounders of the labels
    #: Options, and `yaml`, by stage, and by stage and objective.
    stages: Dict[str, Dict[str, Any]]

    @property
    def named(self) -> Named:
        """The user's names of columns, by ours."""
        return named_columns(self.patient_column, self.path_column)

    @property
    def fold_column(self) -> str:
        """Column whose values are tested in turn."""
        return self.folds if isinstance(self.folds, str) else FOLD

    @property
    def folds_have_names(self) -> bool:
        """True for folds that are the values of a column, and not for folds
        that are made of patients."""
        return bool(self.folds) and type(self.folds) is not int

    @property
    def valid_in_words(self) -> str:
        """Validation set of a fold, as a part of a sentence."""
        return "the next one" if self.fold_column == FOLD else "other patients"

    @property
    def architecture(self) -> str:
        """Name of the encoder that the stage ``simclr`` trains."""
        return self.option("simclr", "architecture")

    def stage_of(self, encoder: str) -> str:
        """Key of ``stages`` whose options train an encoder."""
        row = ENCODERS[encoder]
        own = f"{row.stage}_{row.objective}"
        return own if own in self.stages else row.stage

    def option(self, stage: str, name: str) -> Any:
        """Value of an option of a training stage: given, or its yaml file's."""
        options = self.stages[stage]
        file = HPARAMS / f"{options['yaml']}.yaml"
        return {**plain_settings(file), **options}[name]


def read_study(path: Path) -> Dict:
    """Read a study's yaml file without checking its keys."""
    cure = "pass a yaml file like those in recipes/study/studies"
    try:
        content = Path(path).read_text("utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); {cure}")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a text in UTF-8; {cure}")
    return read_settings(content, str(path), cure, STUDY_TEXTS)


def check_settings(values: Dict, source: str) -> Settings:
    """Check the settings of a yaml file; ``source`` is named in errors."""
    try:
        return _checked(values)
    except InputError as error:
        raise InputError(f"{source}: {error}")


def _checked(values: Dict) -> Settings:
    names = [field.name for field in fields(Settings)]
    for name in values:
        cure = f"use {', '.join(names)}"
        require(name in names, f"{name!r} is not a setting of a study", cure)
    values = {**_DEFAULTS, **values}
    for name in names:
        require(name in values, f"{name} is missing", "add it")
    out = check_text("output_folder", values["output_folder"])
    cure = "Snakemake interprets braces; rename it"
    check(not {*"{}"} & {*out}, "output_folder", out, cure)
    out = option_values.convert("output_folder", option_values.path, out)
    return Settings(
        title=check_text("title", values["title"]),
        output_folder=Path(out),
        **_places(values, Path(out)),
        **{name: check_text(name, values[name]) for name in OPTIONS},
        folds=_folds(values["folds"]),
        nuisance=check_text_or_none("nuisance", values["nuisance"]),
        tasks=_tasks(values["tasks"]),
        encoders=_encoders(values),
        objectives=_objectives(values),
        modes=_ordered("modes", values["modes"], MODES, "linear"),
        width=check_numbers("width", [values["width"]], int, 1, 1024)[0],
        **_seeds(values),
        fractions=_fractions(values["fractions"]),
        compared_at=_compared_at(values),
        speed=check_numbers("speed", [values["speed"]], float, 0.01)[0],
        confounds=check_flag("confounds", values["confounds"]),
        stages=check_stages(
            values["stages"],
            [ENCODERS[name] for name in _encoders(values)],
            values["modes"],
        ),
    )


_PLACES = ("generic", "cries", "recordings_csv", "unlabelled", "unlabelled_csv")
_DEFAULTS = {
    "synthetic": None,
    **dict.fromkeys(_PLACES),
    "patient_column": "patient_id",
    "path_column": "path",
    "folds": False,
    "nuisance": "site",
    "encoders": list(ENCODERS),
    "objectives": [NT_XENT],
    "modes": list(MODES),
    "confounds": True,
    "speed": 1.0,
    "compared_at": [],
}


#: Words that mean true or false, and no column.
_FLAGS = ("yes", "no", "on", "off", "true", "false", "none", "null", "all")


def _folds(value):
    if isinstance(value, bool) or value == FOLD:
        return bool(value)
    valid = type(value) is int and 3 <= value <= MOST_FOLDS
    if isinstance(value, str):
        valid = value.strip() and value.casefold() not in _FLAGS
    cure = "it must be true or false, a number of folds, from 3 to "
    cure += f"{MOST_FOLDS}, or the name of a column"
    return check(valid, "folds", value, cure)


def _seeds(values) -> Dict:
    seeds = check_numbers(
        "seeds", values["seeds"], int, 0, option_values.MOST_SEED
    )
    name = "pretraining_seeds"
    pretraining = check_numbers(
        name, values[name], int, 0, option_values.MOST_SEED
    )
    cure = "pass at most as many as seeds; the rest would not be used"
    check(len(pretraining) <= len(seeds), name, list(pretraining), cure)
    return {"seeds": seeds, name: pretraining}


def _places(values, out) -> Dict:
    """Paths of the corpora: given, or those of the synthetic corpus."""
    if values["synthetic"] is not None:
        return _synthetic_places(values, out)
    cries = check_path("cries", values["cries"])
    table = check_path_or_none("recordings_csv", values["recordings_csv"])
    unlabelled = check_path_or_none("unlabelled", values["unlabelled"])
    more = check_path_or_none("unlabelled_csv", values["unlabelled_csv"])
    if unlabelled is not None and more is None:
        # Without a table, any folder of audio.
        more = unlabelled / TABLE if (unlabelled / TABLE).is_file() else None
    generic = check_path("generic", values["generic"])
    for folder in (generic, unlabelled if more is None else None):
        if folder is not None:  # its files are listed
            require_outside(out / "encoders", folder)
    return {
        "synthetic": None,
        "generic": generic,
        "cries": cries,
        "recordings_csv": table or cries / TABLE,
        "unlabelled": unlabelled,
        "unlabelled_csv": more,
    }


def _synthetic_places(values, out) -> Dict:
    synthetic = check_mapping("synthetic", values["synthetic"])
    check_known("synthetic", synthetic, ("scale", "seed"))
    check_known("synthetic scale", [synthetic.get("scale")], SCALES)
    seed = check_numbers(
        "synthetic seed",
        [synthetic.get("seed")],
        int,
        0,
        option_values.MOST_SEED,
    )
    cure = "the synthetic corpus has its own place; remove this setting, or "
    for name in _PLACES:
        value = values[name]
        check(value is None, name, value, cure + "'synthetic'")
    corpus = out / "corpus" / f"{synthetic['scale']}_{seed[0]}"
    return {
        "synthetic": synthetic,
        "generic": corpus / "vggsound",
        "cries": corpus / "cry",
        "recordings_csv": corpus / "cry/recordings.csv",
        "unlabelled": None,
        "unlabelled_csv": None,
    }


def _tasks(values) -> Tuple[Task, ...]:
    tasks = []
    for name, task in check_mapping("tasks", values).items():
        key = f"tasks: {name}"
        valid = str(name).replace("_", "").isalnum()
        check(valid, "tasks", name, "use letters, digits and _")
        check_mapping(key, task)
        check_known(key, task, ("label_column", "classes", "hparams"))
        classes = task.get("classes")
        valid = isinstance(classes, list) and len(classes) >= 2
        check(valid, f"{key}: classes", classes, "it must be two or more")
        hparams = task.get("hparams", "neuro")
        check_known(f"{key}: hparams", [hparams], ("neuro", "trigger"))
        column = check_text(f"{key}: label_column", task.get("label_column"))
        for text in (column, *classes):
            # Not if another program than ours has read the file.
            valid = isinstance(text, str) and text.strip()
            check(valid, key, text, "it is not plain text in yaml; quote it")
        cure = "rename it: no comma"
        check("," not in column, f"{key}: label_column", column, cure)
        dashes = [name for name in classes if str(name).startswith("-")]
        cure = "rename it: a command would take it for an option"
        check(not dashes, f"{key}: classes", dashes, cure)
        tasks.append(Task(str(name), column, tuple(classes), hparams))
    unique = len({task.name for task in tasks}) == len(tasks)
    check(unique, "tasks", list(values), "a name is repeated; rename one")
    check(len(tasks) <= 2, "tasks", list(values), "pass one or two")
    return tuple(tasks)


def _ordered(name, values, allowed, needed) -> Tuple[str, ...]:
    """Values in the order of the tables, whatever that of the file."""
    valid = isinstance(values, list) and needed in values
    check(valid, name, values, f"it must be a list with {needed} in it")
    check_known(name, values, allowed)
    return tuple(value for value in allowed if value in values)


def _objectives(values) -> Tuple[str, ...]:
    return _ordered(
        "objectives", values["objectives"], tuple(OBJECTIVES), NT_XENT
    )


def _encoders(values) -> Tuple[str, ...]:
    """Encoders with each of the objectives, or with the one that a name ends
    in, in the order of the tables."""
    name, given, chosen = "encoders", values["encoders"], set()
    valid = isinstance(given, list) and "simclr" in given
    check(valid, name, given, "it must be a list with simclr in it")
    outside = [*dict.fromkeys(filter(is_outside, map(str, given)))]
    for encoder in (each for each in map(str, given) if each not in outside):
        base, objective = parts_of(encoder)
        check_known(name, [base], ENCODERS)
        objectives = [objective] if encoder != base else _objectives(values)
        has_one = ENCODERS[base].stage not in WITHOUT_OBJECTIVE
        cure = f"no objective trains it; use {base}"
        check(has_one or encoder == base, name, encoder, cure)
        chosen |= {with_objective(base, each) for each in objectives}
    for encoder in sorted(chosen):
        parent = pretraining_of(encoder)
        cure = f"add {parent}, which it starts from"
        adapts = ENCODERS[encoder].cries
        check(not adapts or parent in chosen, name, encoder, cure)
    names = [with_objective(b, each) for b in ENCODERS for each in OBJECTIVES]
    ours = [name for name in dict.fromkeys(names) if name in chosen]
    return (*ours, *outside)


def _fractions(values) -> Tuple[float, ...]:
    fractions = check_numbers("fractions", values, float, 0)
    valid = list(fractions) == sorted(fractions) and fractions[-1] == 1.0
    check(valid, "fractions", values, "it must ascend and end with 1.0")
    check(fractions[0] > 0, "fractions", values, "each must be above 0")
    return fractions


def _compared_at(values) -> Tuple[float, ...]:
    name, given = "compared_at", values["compared_at"]
    if given == []:
        return ()
    check_numbers(name, given, float, 0)
    known = values["fractions"][:-1]
    cure = f"use fractions below 1: {', '.join(map(str, known)) or 'add some'}"
    for value in given:
        check(value in known, name, value, cure)
    return tuple(sorted(given))


def seeds_of(settings: Settings) -> List[Tuple[int, int]]:
    """Seeds of fine-tuning, each with the seed of its encoder."""
    pretraining = settings.pretraining_seeds
    return [
        (seed, pretraining[i % len(pretraining)])
        for i, seed in enumerate(settings.seeds)
    ]
