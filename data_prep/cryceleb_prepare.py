"""Prepare CryCeleb2023 (https://huggingface.co/datasets/Ubenwa/CryCeleb2023).

26,000 expirations (6.5 h, 16 kHz) of 786 newborns of several hospitals, cut
out by hand; 348 infants were recorded at birth and at discharge. CC BY-NC-ND
4.0, gated: accept the conditions on Hugging Face, download ``metadata.csv``
and ``audio.zip`` with a token and unpack the zip into the table's folder.

The patient is ``baby_id``. The official splits train, dev and test, which
share no infant, become train, valid and test. In releases that hide identities
in test, the two recordings of a test infant count as two patients.

Use it for adaptation (``train_adapt.py`` uses the 586 training infants only),
identification of infants, and birth against discharge (column ``period``). It
has no reasons or diagnoses. An expiration lasts a second or less; a few are
below 0.1 s and are rejected.
"""

import logging
from pathlib import Path
from typing import Dict, List

from data_prep.corpora import preparation
from data_prep.corpora.published import (
    command_line,
    compare_with_published,
    prepare_published,
    require_audio,
    require_table,
)
from data_prep.files.errors import InputError
from data_prep.files.tables import read_table

logger = logging.getLogger(__name__)

META = "metadata.csv"
COLUMNS = ("baby_id", "period", "split", "file_name")

#: Published number of infants by official split, 786 in total.
PUBLISHED = {"train": 586, "dev": 40, "test": 160}
SPLITS = {"train": "train", "dev": "valid", "test": "test"}
PERIODS = {"B": "birth", "D": "discharge"}


def prepare_cryceleb(data_folder: str, save_folder: str) -> None:
    """Write ``recordings.csv`` and the manifests of birth against discharge."""
    root = preparation.require_folder(
        data_folder, "SRC", "the folder of CryCeleb2023"
    )
    table = read_table(require_table(root, META, "CryCeleb2023"), COLUMNS)
    rows = [_row(source, cells, root) for source, cells in table]
    _compare(rows)
    prepare_published(
        rows,
        root,
        save_folder,
        "period",
        list(PERIODS.values()),
        corpus_name="CryCeleb2023",
    )


def _row(source, cells, root) -> Dict[str, str]:
    for column, known in (("period", PERIODS), ("split", SPLITS)):
        if cells[column] not in known:
            raise InputError(
                f"{source}: {column} is {cells[column]!r}; expected one of "
                f"{', '.join(known)}"
            )
    return {
        "recording_id": Path(cells["file_name"]).stem,
        "patient_id": cells["baby_id"],
        "path": require_audio(
            cells["file_name"], root, source, "unpack audio.zip there"
        ),
        "period": PERIODS[cells["period"]],
        "split": SPLITS[cells["split"]],
    }


def _compare(rows: List[Dict[str, str]]) -> None:
    infants = {
        official: len(
            {row["patient_id"] for row in rows if row["split"] == split}
        )
        for official, split in SPLITS.items()
    }
    compare_with_published(infants, PUBLISHED, "infants")


if __name__ == "__main__":
    command_line(prepare_cryceleb)
