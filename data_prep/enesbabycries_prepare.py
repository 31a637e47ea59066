"""Prepare EnesBabyCries (Lockhart-Bouron et al. 2023, https://osf.io/ru7na).

Home recordings of 24 babies at 0.5, 1.5, 2.5 and 3.5 months, cut into 44,605
cries: isolation 15,609, hunger 13,095, discomfort 10,497, pain 95, the rest
unknown. Public; we found no licence: ask before you redistribute it. Download
and unpack ``audio_EnesBabyCries1B_cries.zip`` (single cries) or
``audio_EnesBabyCries1A_bouts.zip`` (bouts of cries).

File names: ``<baby>_<sex>_<age round>_<cause by the parent>_<cause by what
stopped the cry>_<date>_<time>[_<cry>].wav``. The first letter of a cause, in
French, is F for hunger, I discomfort, S isolation, D pain. The patient is the
baby. The manifests have the paper's label and its three classes: ``cause``, by
what stopped the cry. ``cause_parent`` and pain are in ``recordings.csv``.

Use it for age (``age_months``), identity and adaptation. Do not use it for
causes: the paper found no evidence for them, neither by listeners nor by
machines. With 24 babies a test split has about four: use folds over all
(``python -m data_prep.split --folds``) and give intervals over babies.
"""

import logging
from collections import Counter
from pathlib import Path
from typing import Dict, List

from data_prep.audio.folder import audio_files
from data_prep.corpora import preparation
from data_prep.corpora.published import (
    command_line,
    compare_with_published,
    prepare_published,
)
from data_prep.files.errors import InputError

logger = logging.getLogger(__name__)

#: Published number of single cries by cause, in the order of the classes.
PUBLISHED = {"discomfort": 10497, "hunger": 13095, "isolation": 15609}
BABIES = 24

CAUSES = {"F": "hunger", "I": "discomfort", "S": "isolation", "D": "pain"}
DO_NOT_KNOW = "DK"  # has the first letter of douleur, pain
AGES = {"1": "0.5", "2": "1.5", "3": "2.5", "4": "3.5"}

_BOUT, _CRY = 7, 8  # parts of a name


def prepare_enesbabycries(
    data_folder: str, save_folder: str, seed: int = 0
) -> None:
    """Write ``recordings.csv`` and the manifests of the cause."""
    root = preparation.require_folder(
        data_folder, "SRC", "the folder of EnesBabyCries"
    )
    rows = [_row(path) for path in audio_files(root)]
    _compare(rows)
    prepare_published(
        rows,
        root,
        save_folder,
        "cause",
        list(PUBLISHED),
        corpus_name="EnesBabyCries",
        seed=seed,
    )


def _row(path: str) -> Dict[str, str]:
    parts = Path(path).stem.split("_")
    if len(parts) not in (_BOUT, _CRY) or not all(parts):
        raise InputError(
            f"{path}: the name is not <baby>_<sex>_<age round>_<cause>_"
            "<cause>_<date>_<time>[_<cry>]; restore the published name or move "
            "the file away"
        )
    baby, sex, age, parent, stopped, date, time = parts[:_BOUT]
    return {
        # A cry and its bout can have the same name in two folders.
        "recording_id": path,
        "patient_id": baby,
        "path": path,
        "cause": _cause(stopped),
        "cause_parent": _cause(parent),
        "sex": sex,
        "age_months": AGES.get(age, ""),
        "session": f"{baby}_{date}_{time}",
        "site": "home",
    }


def _cause(code: str) -> str:
    if code.upper() == DO_NOT_KNOW:
        return ""
    return CAUSES.get(code[0].upper(), "")


def _compare(rows: List[Dict[str, str]]) -> None:
    cries = [r for r in rows if len(Path(r["path"]).stem.split("_")) == _CRY]
    if 0 < len(cries) < len(rows):
        logger.warning(
            "%d bouts and %d single cries hold the same sound twice; pass the "
            "folder of bouts or of cries",
            len(rows) - len(cries),
            len(cries),
        )
    if cries:
        causes = Counter(row["cause"] for row in cries)
        compare_with_published(causes, PUBLISHED, "single cries")
    babies = len({row["patient_id"] for row in rows})
    compare_with_published({"babies": babies}, {"babies": BABIES}, "in total")


if __name__ == "__main__":
    command_line(prepare_enesbabycries, seed=(0, "seed of the split"))
