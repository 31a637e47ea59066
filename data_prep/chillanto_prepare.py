"""Prepare Baby Chillanto (INAOE, Mexico).

2,268 fragments of 1 s: deaf 879, normal 507, hunger 350, asphyxia 340, pain
192, cut from 73 recordings (deaf 6, normal 5, hunger 33, asphyxia 6, pain
23). No public licence: ask the owners. The fragments are in the folders
``1s_<class>``; the full recordings, ``Full_*``, are left out.

File names are ten digits, ``PPPPSSSCCC.wav``: recording, fragment, class. The
recording counts as the patient (``asphyxia_0063``). That is optimistic: babies
were recorded several times and are not identified, so one baby can still be in
two splits. Fragments of a recording share voice, microphone and room: with a
random split of fragments, the AUC mostly measures identity.

Use it to compare methods with the literature, split by recording. Do not use
it for claims about asphyxia or deafness: the test split has one recording of
each, and conditions were recorded in different places.
"""

import logging
import re
from collections import Counter
from pathlib import Path
from typing import Dict, List

from data_prep.corpora import preparation
from data_prep.corpora.published import (
    command_line,
    compare_with_published,
    files_by_class,
    prepare_published,
)
from data_prep.files.errors import InputError

logger = logging.getLogger(__name__)

#: Published numbers of fragments and recordings by condition.
FRAGMENTS = {
    "normal": 507,
    "hunger": 350,
    "pain": 192,
    "deaf": 879,
    "asphyxia": 340,
}
RECORDINGS = {"normal": 5, "hunger": 33, "pain": 23, "deaf": 6, "asphyxia": 6}

_NAME = re.compile(r"(?P<recording>\d{4})\d{6}")


def prepare_chillanto(
    data_folder: str, save_folder: str, seed: int = 0
) -> None:
    """Write ``recordings.csv`` and the manifests of the five conditions."""
    root = preparation.require_folder(
        data_folder, "SRC", "the folder of Baby Chillanto"
    )
    condition_of = {f"1s_{name}": name for name in FRAGMENTS}
    rows = [
        _row(condition, path)
        for condition, path in files_by_class(root, condition_of)
    ]
    _compare(rows)
    prepare_published(
        rows,
        root,
        save_folder,
        "condition",
        list(FRAGMENTS),
        corpus_name="Baby Chillanto",
        seed=seed,
    )


def _row(condition: str, path: str) -> Dict[str, str]:
    stem = Path(path).stem
    match = _NAME.fullmatch(stem)
    if match is None:
        raise InputError(
            f"{path}: the name is not ten digits (recording, fragment, "
            "class); restore the published name or move the file away"
        )
    return {
        "recording_id": f"{condition}_{stem}",
        "patient_id": f"{condition}_{match['recording']}",
        "path": path,
        "condition": condition,
    }


def _compare(rows: List[Dict[str, str]]) -> None:
    fragments = Counter(row["condition"] for row in rows)
    compare_with_published(fragments, FRAGMENTS, "fragments")
    condition_of = {row["patient_id"]: row["condition"] for row in rows}
    recordings = Counter(condition_of.values())
    compare_with_published(recordings, RECORDINGS, "recordings")


if __name__ == "__main__":
    command_line(prepare_chillanto, seed=(0, "seed of the split"))
