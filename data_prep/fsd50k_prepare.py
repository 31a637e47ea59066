"""Prepare FSD50K (Fonseca et al. 2020, https://zenodo.org/records/4060432).

51,197 Freesound clips of 0.3 to 30 s, 44.1 kHz, with labels of 200 classes, which
include all classes above them: ``FSD50K.dev_audio`` (36,796 clips of train, 4,170
of val), ``FSD50K.eval_audio`` (10,231), ``FSD50K.ground_truth`` and
``FSD50K.metadata``. CC BY 4.0 as a whole; each clip has its own licence (CC0,
CC BY, CC BY-NC or Sampling+), which is the column ``licence``: keep CC0 and
CC BY for what you share, with the attribution in ``uploader``.

The patient is the uploader, ``fs_<name>``. Splits are the official ones; clips of
an uploader who is also in a split that is held out are left out of the other
one. Either folder of audio is enough; its uploaders are then split anew, since
train, val and test are not all in it.

A clip has several labels. ``sound`` is the first of ``--labels`` among them, else
other: by default ``Crying_and_sobbing`` and what is mistaken for it. Crying is of
babies and of adults, without a label that says which.
"""

import logging
from collections import Counter
from pathlib import Path
from typing import Dict, Iterator, List, Sequence

from data_prep.corpora import preparation
from data_prep.corpora.published import (
    command_line,
    compare_with_published,
    prepare_published,
    require_audio,
    require_table,
)
from data_prep.files.errors import require
from data_prep.files.identifiers import identity
from data_prep.files.missing import is_missing
from data_prep.files.shapes import read_json
from data_prep.files.tables import read_table

logger = logging.getLogger(__name__)

OTHER = "other"
LABELS = ["Crying_and_sobbing", "Laughter", "Speech", "Cat", "Music"]

#: Published number of clips by official split.
PUBLISHED = {"train": 36796, "valid": 4170, "test": 10231}
SPLITS = {"train": "train", "val": "valid"}

#: Licences by what is in their addresses.
LICENCES = {
    "/zero/": "CC0",
    "/by-nc/": "CC BY-NC",
    "/by/": "CC BY",
    "/sampling+/": "CC Sampling+",
}
_INFO = {str: {"uploader": str, "license": str, str: object}}
_MOST_BYTES = 1 << 28  # of descriptions


def prepare_fsd50k(
    data_folder: str, save_folder: str, labels: Sequence[str] = LABELS
) -> None:
    """Write ``recordings.csv`` and the manifests of ``sound``."""
    root = preparation.require_folder(
        data_folder, "SRC", "the folder of FSD50K"
    )
    rows = []
    for part in ("dev", "eval"):
        if (root / f"FSD50K.{part}_audio").is_dir():
            rows += _clips(root, part, labels)
    require(
        bool(rows),
        f"{root} has neither FSD50K.dev_audio nor FSD50K.eval_audio",
        "pass the folder that holds them",
    )
    clips = Counter(row["split"] for row in rows)
    compare_with_published(clips, PUBLISHED, "clips")
    present = {label for row in rows for label in row["labels"].split()}
    for label in labels:
        require(
            label in present,
            f"--labels {label} is not a label of any clip in {root}",
            "correct it; FSD50K.ground_truth/vocabulary.csv lists the labels",
        )
    rows = _uploaders_in_one_split(rows)
    if len(clips) < len(PUBLISHED):
        logger.warning(
            "%s holds the official %s alone: uploaders are split anew",
            root,
            " and ".join(clips),
        )
        rows = [{k: v for k, v in r.items() if k != "split"} for r in rows]
    prepare_published(
        rows,
        root,
        save_folder,
        "sound",
        [OTHER, *reversed(labels)],
        corpus_name="FSD50K",
    )


def _clips(root: Path, part: str, labels) -> Iterator[Dict[str, str]]:
    """Rows of the development or evaluation set."""
    table = require_table(root, f"FSD50K.ground_truth/{part}.csv", "FSD50K")
    name = f"FSD50K.metadata/{part}_clips_info_FSD50K.json"
    info = read_json(
        require_table(root, name, "FSD50K"),
        _INFO,
        "unpack FSD50K.metadata.zip again",
        most_bytes=_MOST_BYTES,
    )
    columns = ["fname", "labels"] + ["split"] * (part == "dev")
    for source, cells in read_table(table, columns):
        clip, split = cells["fname"], cells.get("split", "test")
        require(
            part == "eval" or split in SPLITS,
            f"{source}: split is {split!r}",
            f"expected one of {', '.join(SPLITS)}",
        )
        require(
            clip in info,
            f"{source}: {clip} is not in {name}",
            "restore the published tables",
        )
        uploader = info[clip]["uploader"]
        require(
            not is_missing(uploader),
            f"{name}: {clip} has no uploader",
            "unpack FSD50K.metadata.zip again",
        )
        path = f"FSD50K.{part}_audio/{clip}.wav"
        all_labels = cells["labels"].split(",")
        yield {
            "recording_id": f"fs{clip}",
            "patient_id": f"fs_{uploader}",
            "path": require_audio(path, root, source, "unpack all parts"),
            "sound": next((n for n in labels if n in all_labels), OTHER),
            "labels": " ".join(all_labels),
            "licence": licence_of(info[clip]["license"]),
            "uploader": uploader,
            "split": "test" if part == "eval" else SPLITS[split],
        }


def licence_of(address: str) -> str:
    """Short name of a clip's licence; the address of one that is not known.

    Example
    -------
    >>> licence_of("http://creativecommons.org/licenses/by-nc/3.0/")
    'CC BY-NC'
    """
    names = (name for part, name in LICENCES.items() if part in address)
    return next(names, address)


def _uploaders_in_one_split(rows: List[Dict[str, str]]) -> List[Dict[str, str]]:
    """Leave out clips of uploaders who are in a split that is held out, too."""
    split_of: Dict[str, str] = {}
    for split in ("train", "valid", "test"):
        for row in rows:
            if row["split"] == split:
                split_of[identity(row["patient_id"])] = split
    kept = [
        row
        for row in rows
        if row["split"] == split_of[identity(row["patient_id"])]
    ]
    if len(kept) < len(rows):
        logger.warning(
            "%d of %d clips are left out: their uploader is in a split that is "
            "held out, too",
            len(rows) - len(kept),
            len(rows),
        )
    return kept


if __name__ == "__main__":
    command_line(
        prepare_fsd50k,
        labels=(LABELS, "labels in the order in which a clip takes them"),
    )
