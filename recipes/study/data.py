"""The user's data, as far as the plan of a study depends on them."""

import re
from pathlib import Path
from typing import List, Optional

from cry_modules.evaluation.columns import refuse_personal
from data_prep.audio.folder import audio_files
from data_prep.corpora.database import Row, locate_audio, read_database
from data_prep.corpora.folds import FOLD, check_rounds
from data_prep.corpora.labelled import fold_values, split_by_column
from data_prep.corpora.preparation import require_classes
from data_prep.files.errors import InputError, require
from data_prep.files.fingerprint import sha256
from data_prep.files.identifiers import cleaned
from data_prep.vggsound_prepare import CSV_FILE, label_splits
from recipes.study.cry_tables import add_folds, add_split
from recipes.study.encoders import ENCODERS
from recipes.study.settings import Settings, Task


def folds_of(settings: Settings) -> List[str]:
    """Names of the folds, in the order of ``train_cls.py``."""
    require(
        settings.synthetic is None or settings.recordings_csv.is_file(),
        f"folds is {settings.folds!r}, and the synthetic corpus, whose patients "
        "they are of, is not written yet",
        "write it with python -m data_prep.synthetic, and set generic and "
        "cries to its folders in place of synthetic",
    )
    if type(settings.folds) is int:
        return _made_folds(settings)
    table, column = settings.recordings_csv, settings.fold_column
    require(
        column in read_database(table, [], settings.named)[0][1],
        f"{table} has no column {column!r}, and folds is {settings.folds!r}",
        "set folds to a number, which makes them, or to the name of a column, "
        "or add the column",
    )
    folds, *others = (
        fold_values(
            str(settings.cries), str(settings.recordings_csv),
            task.label_column, task.classes, "drop", column, settings.named,
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
    refuse_personal(column, "folds", folds)
    for value in folds:
        problem = f"{settings.recordings_csv}: {column} is {value!r}"
        cure = "name folds by letters, digits, - and _"
        require(re.fullmatch(r"\w[\w-]*", value), problem, cure)
    return folds


def _made_folds(settings: Settings) -> List[str]:
    """Names of the folds that ``cry_tables`` makes; each must leave patients
    of all classes to train with."""
    table = settings.recordings_csv
    columns = [task.label_column for task in settings.tasks]
    rows = read_database(table, columns, settings.named)
    folds = add_folds(rows, columns, table, settings.folds)
    for task in settings.tasks:
        labelled = _labelled(rows, task)
        check_rounds(labelled, table, FOLD, folds, task.classes)
    return folds


def _labelled(rows: List[Row], task: Task) -> List[Row]:
    """Rows with a label of a task, which is set in their recordings."""
    classes = {cleaned(name) for name in task.classes}
    kept = [row for row in rows if row[1][task.label_column] in classes]
    for rec, cells in kept:
        rec.label = cells[task.label_column]
    return kept


def check_data(settings: Settings) -> None:
    """Check, before any run starts, what would stop one later: tables, labels,
    audio that is missing, and folders."""
    table = settings.recordings_csv
    checksum(table)
    columns = [task.label_column for task in settings.tasks]
    rows = read_database(table, columns, settings.named)
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
    if not settings.folds:
        _check_split(settings, rows)
    _check_labels_of_sounds(settings)
    _check_audio(settings, rows)


def _check_split(settings: Settings, rows: List[Row]) -> None:
    """Check the splits of the table, or those that ``cry_tables`` makes."""
    table, cure = settings.recordings_csv, "correct the column 'split' of "
    if "split" not in rows[0][1]:
        columns = [task.label_column for task in settings.tasks]
        add_split(rows, columns, table)
        cure = "add patients, or set folds to a number, in the study of "
    for task in settings.tasks:
        splits = split_by_column(_labelled(rows, task))
        require_classes(splits, list(task.classes), f"{cure}{table}")


def _check_labels_of_sounds(settings: Settings) -> None:
    """Refuse encoders that are trained on labels which the sounds lack."""
    needy = [
        name
        for name in settings.encoders
        if ENCODERS[name].stage == "supervised"
    ]
    if not needy or has_labels(settings.generic):
        return
    raise InputError(
        f"encoders has {needy[0]!r}, and the sounds of {settings.generic} have "
        f"no labels to train and test with ({CSV_FILE}, or train/<class>/ and "
        f"test/<class>/); leave {needy[0]} out of encoders, or pass such sounds"
    )


def _check_audio(settings: Settings, rows: List[Row]) -> None:
    """Check that the audio of all rows that a run reads exists, and that
    folders without a table hold enough."""
    columns = [task.label_column for task in settings.tasks]
    encoders, stage_of = settings.encoders, settings.stage_of
    stages = {stage_of(name) for name in encoders if ENCODERS[name].cries}
    if settings.unlabelled is not None or not stages:
        rows = [row for row in rows if any(row[1][c] for c in columns)]
    locate_audio(rows, settings.cries)
    if settings.unlabelled_csv is not None and stages:
        table = settings.unlabelled_csv
        more = read_database(table, [], settings.named, has_named=False)
        locate_audio(more, settings.unlabelled or settings.cries)
    elif settings.unlabelled is not None:
        for stage in sorted(stages):
            _check_number(settings, "unlabelled", settings.unlabelled, stage)
    if not label_splits(settings.generic):
        pretrained = [e for e in encoders if ENCODERS[e].stage == "simclr"]
        for stage in sorted({*map(stage_of, pretrained)}):
            _check_number(settings, "generic", settings.generic, stage)


def _check_number(
    settings: Settings, name: str, folder: Path, stage: str
) -> None:
    """Refuse a folder with fewer recordings to train with than a batch of the
    stage holds."""
    n = len(audio_files(_folder(name, folder)))
    share = float(settings.option(stage, "valid_share"))
    batch_size = int(settings.option(stage, "batch_size"))
    n_train, n_needed = n - max(1, round(share * n)), batch_size
    if name == "unlabelled":
        replayed = float(settings.option(stage, "replay_ratio"))
        n_needed = batch_size - round(replayed * batch_size)
    require(
        n_train >= n_needed,
        f"{name} {folder} has {n} audio files, {n_train} to train with, and a "
        f"batch of stages: {stage} holds {n_needed} of them",
        f"add some, or lower its batch_size of {batch_size}",
    )


def has_labels(folder: Path) -> bool:
    """Check for the labels that supervised pre-training needs."""
    return {"train", "test"} <= label_splits(folder)


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
    table = Path(folder) / CSV_FILE
    return table if table.is_file() else None


def identity_of(name: str, folder: Path) -> List[str]:
    """Identity of a folder of audio, the setting ``name``: the checksum of its
    ``vggsound.csv``, or its files and their sizes."""
    table = generic_table(_folder(name, folder))
    if table is not None:
        return [checksum(table)]
    return sorted(
        f"{path.relative_to(folder)} {path.stat().st_size}"
        for path in folder.rglob("*")
        if path.is_file()
    )


def _folder(name: str, folder: Path) -> Path:
    if not folder.is_dir():
        raise InputError(
            f"{folder} does not exist; correct `{name}` in the study's yaml "
            f"file (or --set {name}=FOLDER), or try `make demo-data`"
        )
    return folder
