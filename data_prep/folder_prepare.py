"""Prepare any folder of audio.

Labels, if any, are the names of the first sub-folders. The patient is the match
of a regular expression in the path. Without one, every file counts as a
separate patient, which is right only if every file is of another patient.
"""

import logging
import re
from typing import Dict, Optional

from data_prep.audio.folder import audio_files, name_of
from data_prep.corpora import preparation
from data_prep.corpora.published import (
    command_line,
    prepare_published,
    write_recordings,
)
from data_prep.corpora.unlabelled import prepare_unlabelled
from data_prep.files.errors import InputError, require
from data_prep.files.identifiers import identity

logger = logging.getLogger(__name__)


def prepare_folder(
    data_folder: str,
    save_folder: str,
    labels_from_folders: bool = False,
    patient: Optional[str] = None,
    seed: int = 0,
) -> None:
    """Write ``recordings.csv`` and the manifests of a folder of audio.

    With labels: train, valid and test; without: train and valid, for
    adaptation.
    """
    root = preparation.require_folder(
        data_folder, "SRC", "a folder that holds audio"
    )
    pattern = _compiled(patient)
    rows = [
        _row(path, labels_from_folders, pattern) for path in audio_files(root)
    ]
    _check_patients(rows, pattern)
    if labels_from_folders:
        labels = sorted({row["label"] for row in rows})
        options = {"corpus_name": name_of(root), "seed": seed}
        prepare_published(rows, root, save_folder, "label", labels, **options)
        return
    prepare_unlabelled(
        str(root),
        save_folder,
        recordings_csv=write_recordings(rows, root, save_folder),
        seed=seed,
        corpus_name=name_of(root),
    )


def _compiled(patient: Optional[str]) -> Optional["re.Pattern"]:
    if patient is None:
        return None
    try:
        pattern = re.compile(patient)
    except re.error as error:
        raise InputError(
            f"--patient {patient!r} is not a regular expression: {error}"
        )
    require(
        pattern.groups > 0,
        f"--patient {patient!r} has no group",
        "put the part that is the patient in parentheses",
    )
    return pattern


def _row(path, labels_from_folders, pattern) -> Dict[str, str]:
    _check_name(path)
    row = {
        "recording_id": path,
        "patient_id": _patient(path, pattern),
        "path": path,
    }
    if labels_from_folders:
        label, _, name = path.partition("/")
        require(
            bool(name),
            f"{path} is not in a sub-folder, which would be its label",
            "move it into one, or leave out --labels_from_folders",
        )
        row["label"] = label.strip()
    return row


def _check_name(path: str) -> None:
    """Refuse names that a csv file cannot hold unchanged."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raise InputError(f"{path!r}: the name is not UTF-8; rename it")
    require(
        path == path.strip() and "\r" not in path,
        f"{path!r}: the name begins with a space or holds a carriage return",
        "rename it",
    )


def _patient(path: str, pattern) -> str:
    if pattern is None:
        return path
    match = pattern.search(path)
    group = "patient" if "patient" in pattern.groupindex else 1
    patient = ((match and match[group]) or "").strip()
    require(
        bool(patient),
        f"{path}: --patient {pattern.pattern!r} finds no patient in it",
        "correct the expression, or move the file away",
    )
    return patient


def _check_patients(rows, pattern) -> None:
    if pattern is None:
        logger.warning(
            "Every file counts as a separate patient: if several are of one "
            "patient, the splits share that patient and metrics are too "
            "optimistic; identify patients with --patient"
        )
        return
    require(
        len({identity(row["patient_id"]) for row in rows}) > 1,
        f"--patient {pattern.pattern!r} finds {rows[0]['patient_id']!r} in all "
        f"{len(rows)} files, so no patient can be held out",
        "correct the expression",
    )


if __name__ == "__main__":
    command_line(
        prepare_folder,
        labels_from_folders=(False, "use the first sub-folders as labels"),
        patient=(
            None,
            "regular expression, whose group (patient, or the first) in the "
            "path is the patient",
        ),
        seed=(0, "seed of the split"),
    )
