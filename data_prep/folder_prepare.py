"""Prepare any folder of audio.

Labels, if any, are the names of the first sub-folders. The patient is the match
of a regular expression in the path. Without one, every file counts as a
separate patient, which is right only if every file is of another patient.
"""

from typing import Dict, Optional

from data_prep.audio.folder import name_of
from data_prep.corpora import preparation
from data_prep.corpora.plain_folder import FILE, list_folder
from data_prep.corpora.published import (
    command_line,
    prepare_published,
    write_recordings,
)
from data_prep.corpora.unlabelled import prepare_unlabelled
from data_prep.files.errors import require


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
    recordings = list_folder(
        root, FILE if patient is None else patient, "--patient"
    )
    rows = [_row(rec, labels_from_folders) for rec in recordings]
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


def _row(recording, labels_from_folders) -> Dict[str, str]:
    path = recording.wav
    row = {
        "recording_id": path,
        "patient_id": recording.patient_id,
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


if __name__ == "__main__":
    command_line(
        prepare_folder,
        labels_from_folders=(False, "use the first sub-folders as labels"),
        patient=(
            None,
            "regular expression, whose group (patient, or the first) in the "
            "path is the patient; or folder",
        ),
        seed=(0, "seed of the split"),
    )
