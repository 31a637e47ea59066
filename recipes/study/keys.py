"""Refusals of the commands of a study in the words of its yaml file."""

import re
from contextlib import contextmanager
from typing import Iterator

from data_prep.files.errors import InputError
from recipes.study.plan import Run

#: Keys of a study for options of other names.
_KEYS = {
    "data_folder": "cries", "cry_folder": "cries", "replay_folder": "generic",
    "more": "unlabelled_csv", "make_folds": "folds", "seed": "seeds",
    "label_column": "label_column of tasks", "classes": "classes of tasks",
}  # fmt: skip
#: Settings of a whole study; all others are options of a stage.
_OF_STUDY = {
    "patient_column", "path_column", "recordings_csv", "folds", "nuisance",
    "width", "architecture", "output_folder", *_KEYS,
}  # fmt: skip
#: An option as it is typed, but for those of a study, and a value beside it.
_OPTION = re.compile(
    r"--(?!(?:set|study|cores|dry_run)\b)([a-z]\w*)"
    r"(?:[ =]([A-Z][A-Z_]*\b|True|False|null|'[^']*'"
    r"|\d[\w.]*(?: or (?:less|more))?))?"
)
_FILE = "the study's yaml file"


@contextmanager
def options_as_keys(file: str = _FILE) -> Iterator[None]:
    """Context manager that names keys of this file instead of options."""
    try:
        yield
    except InputError as error:
        raise InputError(as_keys(str(error), file)) from error


def as_keys(message: str, file: str = _FILE, stage: str = "") -> str:
    """Name keys of a study, or of one of its stages, instead of options.

    Commands in backticks stay as they are.

    Example
    -------
    >>> as_keys(
    ...     "no column 'path'; pass --path_column NAME, or rename", "a.yaml"
    ... )
    "no column 'path'; set path_column: NAME in a.yaml, or rename"
    >>> as_keys("use --precision fp32, or lower --lr", "a.yaml", "simclr")
    'use precision fp32, or lower lr of stages: simclr in a.yaml'
    """
    parts = message.split("`")
    last = max(
        (i for i in range(0, len(parts), 2) if _OPTION.search(parts[i])),
        default=None,
    )
    if last is None:
        return message
    names = [m[1] for part in parts[::2] for m in _OPTION.finditer(part)]
    of_stage = stage and not set(names) & _OF_STUDY
    where = f" of stages: {stage}" * bool(of_stage) + f" in {file}"
    for i in range(0, len(parts), 2):
        matches = list(_OPTION.finditer(parts[i]))
        for match in reversed(matches):
            end = where if i == last and match is matches[-1] else ""
            key, value = _KEYS.get(match[1], match[1]), match[2]
            text = f"{key}: {value}" if value else key
            before = re.sub("pass $", "set ", parts[i][: match.start()])
            parts[i] = before + text + end + parts[i][match.end() :]
    return re.sub(
        r"(?<=the )option(s?)(?= that name)", r"key\1", "`".join(parts)
    )


def stage_of(run: Run) -> str:
    """Stage of a study that holds the options of a run; empty for others."""
    if run.rule == "train_cls":
        return run.facts["mode"]
    if run.rule.startswith("train_"):
        return run.facts["stage"]
    return ""
