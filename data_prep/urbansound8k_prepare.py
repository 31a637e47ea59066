"""Prepare UrbanSound8K (https://zenodo.org/records/1203745).

8,732 excerpts of up to 4 s in 10 classes, of any rate, mono or stereo, cut from
Freesound recordings: ``metadata/UrbanSound8K.csv`` and ``audio/fold<n>/``.
CC BY-NC 3.0; ``FREESOUNDCREDITS.txt`` has the attributions.

The patient is the source recording, ``fs<fsID>``. Splits are the ten official
folds; by default fold 10 is the test set and fold 9 the validation set. Never
reshuffle them: excerpts of one recording would be in training and in test, and
the accuracy rises for that reason alone. Report the mean over all ten.

Use it for pre-training, and as other sounds than cries: children playing, dogs,
sirens, street music. It has no class of cries.
"""

from collections import Counter
from pathlib import Path
from typing import Dict

from data_prep.corpora import preparation
from data_prep.corpora.published import (
    command_line,
    compare_with_published,
    prepare_published,
    require_audio,
    require_table,
)
from data_prep.files.errors import require
from data_prep.files.tables import read_table

META = "metadata/UrbanSound8K.csv"
COLUMNS = ("slice_file_name", "fsID", "salience", "fold", "class")

#: Published number of excerpts by class, in the published order.
PUBLISHED = {
    "air_conditioner": 1000,
    "car_horn": 429,
    "children_playing": 1000,
    "dog_bark": 1000,
    "drilling": 1000,
    "engine_idling": 1000,
    "gun_shot": 374,
    "jackhammer": 1000,
    "siren": 929,
    "street_music": 1000,
}
SALIENCE = {"1": "foreground", "2": "background"}


def prepare_urbansound8k(
    data_folder: str,
    save_folder: str,
    test_fold: int = 10,
    valid_fold: int = 9,
) -> None:
    """Write ``recordings.csv`` and the manifests of the ten classes."""
    root = preparation.require_folder(
        data_folder, "SRC", "the folder of UrbanSound8K"
    )
    table = read_table(require_table(root, META, "UrbanSound8K"), COLUMNS)
    rows = [_row(source, cells, root) for source, cells in table]
    excerpts = Counter(row["category"] for row in rows)
    compare_with_published(excerpts, PUBLISHED, "excerpts")
    prepare_published(
        rows,
        root,
        save_folder,
        "category",
        list(PUBLISHED),
        corpus_name="UrbanSound8K",
        test_fold=test_fold,
        valid_fold=valid_fold,
    )


def _row(source, cells, root) -> Dict[str, str]:
    for column in ("fsID", "fold"):
        require(
            cells[column].isascii() and cells[column].isdigit(),
            f"{source}: {column} is {cells[column]!r}",
            "expected a whole number; restore the published table",
        )
    require(
        cells["class"] in PUBLISHED,
        f"{source}: class is {cells['class']!r}",
        f"expected one of {', '.join(PUBLISHED)}",
    )
    name = cells["slice_file_name"]
    return {
        "recording_id": Path(name).stem,
        "patient_id": f"fs{cells['fsID']}",
        "path": require_audio(
            f"audio/fold{cells['fold']}/{name}",
            root,
            source,
            "add the file, or remove the row",
        ),
        "category": cells["class"],
        "salience": SALIENCE.get(cells["salience"], ""),
        "fold": cells["fold"],
    }


if __name__ == "__main__":
    command_line(
        prepare_urbansound8k,
        test_fold=(10, "official fold of the test set"),
        valid_fold=(9, "official fold of the validation set"),
    )
