"""Prepare ESC-50 (https://github.com/karolpiczak/ESC-50).

2,000 clips of 5 s, 44.1 kHz mono, 50 classes of 40 clips, cut from 1,524
Freesound recordings. CC BY-NC (the ESC-10 part CC BY). Download and
unpack the zip, or clone the repository: ``meta/esc50.csv`` and ``audio/``.

The patient is the source recording, ``fs<src_file>``. Splits are the five
official folds; by default fold 5 is the test set and fold 4 the validation
set. The corpus has two faults:

* Four sources (131943, 134049, 209698, 234879) are in two official folds, as
  different classes. All nine clips are moved to the first of the two folds.
* The crying babies 3-151080-A and 5-151085-A overlap, although they are two
  Freesound recordings in two folds. The audit lists such copies in
  ``duplicates.csv``.

Use it to distinguish cries from other sounds (column ``sound``: crying_baby or
other; 40 cries of 18 sources), and as a smoke test. Do not use it for claims
about infants or for long pre-training. Classes differ in bandwidth, which a
classifier can learn instead of the sound.
"""

import logging
from collections import Counter
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

META = "meta/esc50.csv"
COLUMNS = ("filename", "fold", "target", "category", "src_file")

PUBLISHED = {"clips": 2000, "categories": 50, "sources": 1524}
CLIPS_A_CATEGORY = 40
CRY = "crying_baby"


def prepare_esc50(
    data_folder: str,
    save_folder: str,
    test_fold: int = 5,
    valid_fold: int = 4,
) -> None:
    """Write ``recordings.csv`` and the manifests of the 50 categories."""
    root = preparation.require_folder(
        data_folder, "SRC", "the folder of ESC-50"
    )
    table = read_table(require_table(root, META, "ESC-50"), COLUMNS)
    categories = _categories(table)
    rows = [_row(source, cells, root) for source, cells in table]
    _compare(rows)
    _keep_sources_whole(rows)
    prepare_published(
        rows,
        root,
        save_folder,
        "category",
        categories,
        corpus_name="ESC-50",
        test_fold=test_fold,
        valid_fold=valid_fold,
    )


def _categories(table) -> List[str]:
    """Categories in the published order, by ``target``."""
    targets = {}
    for source, cells in table:
        target = cells["target"]
        if not (target.isascii() and target.isdigit()):
            raise InputError(
                f"{source}: target is {cells['target']!r}; expected a whole "
                "number"
            )
        targets[cells["category"]] = int(cells["target"])
    return sorted(targets, key=targets.get)


def _row(source, cells, root) -> Dict[str, str]:
    if not cells["src_file"]:
        raise InputError(
            f"{source}: src_file is empty; fill it in, or one recording can be "
            "in two splits"
        )
    return {
        "recording_id": Path(cells["filename"]).stem,
        "patient_id": f"fs{cells['src_file']}",
        "path": require_audio(
            f"audio/{cells['filename']}",
            root,
            source,
            "add the file, or remove the row",
        ),
        "category": cells["category"],
        "sound": CRY if cells["category"] == CRY else "other",
        "fold": cells["fold"],
    }


def _compare(rows):
    clips = Counter(row["category"] for row in rows)
    totals = {
        "clips": len(rows),
        "categories": len(clips),
        "sources": len({row["patient_id"] for row in rows}),
    }
    compare_with_published(totals, PUBLISHED, "in total")
    expected = dict.fromkeys(clips, CLIPS_A_CATEGORY)
    compare_with_published(clips, expected, "clips")


def _keep_sources_whole(rows: List[Dict[str, str]]) -> None:
    first, moved = {}, []
    for row in sorted(rows, key=lambda row: row["fold"]):
        fold = first.setdefault(row["patient_id"], row["fold"])
        if row["fold"] != fold:
            moved.append(f"{row['recording_id']} to fold {fold}")
            row["fold"] = fold
    if moved:
        logger.warning(
            "sources in two official folds are moved to the first: %s",
            ", ".join(moved),
        )


if __name__ == "__main__":
    command_line(
        prepare_esc50,
        test_fold=(5, "official fold of the test set"),
        valid_fold=(4, "official fold of the validation set"),
    )
