"""The user's data, as far as the plan of a study depends on them."""

import re
from pathlib import Path
from typing import List, Optional

from data_prep.corpora.database import read_database
from data_prep.corpora.folds import FOLD
from data_prep.corpora.labelled import fold_values
from data_prep.files.errors import InputError, require
from data_prep.files.fingerprint import sha256
from data_prep.files.identifiers import cleaned
from recipes.study.settings import Settings


def folds_of(settings: Settings) -> List[str]:
    """Values of the column ``fold``, in the order of ``train_cls.py``."""
    folds, *others = (
        fold_values(
            str(settings.cries), str(settings.recordings_csv),
            task.label_column, task.classes, "drop", FOLD,
        )
        for task in settings.tasks
    )  # fmt: skip
    for task, values in zip(settings.tasks[1:], others):
        if values != folds:
            raise InputError(
                f"{settings.recordings_csv}: {task.label_column} has labels in "
                f"the folds {', '.join(values)}, and "
                f"{settings.tasks[0].label_column} in {', '.join(folds)}; an "
                "encoder is adapted for both tasks, so make other folds, or "
                "study one task"
            )
    for value in folds:
        problem = f"{settings.recordings_csv}: fold is {value!r}"
        cure = "name folds by letters, digits, - and _"
        require(re.fullmatch(r"\w[\w-]*", value), problem, cure)
    return folds


def check_database(settings: Settings) -> None:
    """Check table, classes and nuisance column before any run starts."""
    table = settings.recordings_csv
    checksum(table)
    columns = [task.label_column for task in settings.tasks]
    rows = read_database(table, columns)
    for task in settings.tasks:
        labels = {cells[task.label_column] for _, cells in rows} - {""}
        present = ", ".join(sorted(labels)) or "empty cells"
        for name in task.classes:
            problem = f"{table}: no row has {task.label_column} {name!r}, only "
            cure = f"correct classes of tasks: {task.name}"
            require(cleaned(name) in labels, problem + present, cure)
    column = settings.nuisance
    require(
        column is None or column in rows[0][1],
        f"{table} has no column {column!r}",
        "correct nuisance, or set it to null",
    )


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    try:
        return sha256(path)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); correct `cries` and "
            "`recordings_csv` in the study's yaml file (or --set cries=FOLDER), "
            "or try `make demo-data`"
        )


def generic_table(folder: Path) -> Optional[Path]:
    """Path of the table of a folder of generic audio, ``vggsound.csv``; None if
    it does not exist."""
    table = Path(folder) / "vggsound.csv"
    return table if table.is_file() else None
