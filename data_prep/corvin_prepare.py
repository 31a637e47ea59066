"""Prepare the cries of Corvin et al. 2024 (https://zenodo.org/records/11061909).

284 cries of 22 babies, 4.7 to 12 s, 44.1 kHz, each baby with both kinds: 196 at
the bath (discomfort) and 88 at a vaccination (pain). CC BY 4.0 on Zenodo, MIT
in the authors' repository
(https://github.com/theunissenlab/BabyCriesDiscomfortPain), folder
``OpenData/cry_sequences_22babies``. File names: ``<baby>_<B|D><number>.wav``.

The patient is the baby, three letters. Without official splits and with 22
babies, a test split has three: use folds over all (``python -m
data_prep.split RECORDINGS --label_column pain --folds 11 --out DIR``) and give
intervals over babies.

Use it for pain against discomfort and for identity. Baths and vaccinations were
recorded in different places: compare every result with the background alone
(``python -m data_prep.confounds``), and stay below 8 kHz, above which the
device shows.
"""

import re
from collections import Counter
from pathlib import Path
from typing import Dict

from data_prep.audio.folder import READABLE, audio_files
from data_prep.corpora import preparation
from data_prep.corpora.published import (
    command_line,
    compare_with_published,
    prepare_published,
)
from data_prep.files.errors import InputError

#: Published number of cries by kind, in the order of the classes, and of babies.
PUBLISHED = {"discomfort": 196, "pain": 88}
BABIES = 22

#: Label and context by the letter of a name.
KINDS = {"B": ("discomfort", "bath"), "D": ("pain", "vaccination")}
_NAME = re.compile(r"(?P<baby>[A-Za-z]{3})_(?P<kind>[BD])\d+")


def prepare_corvin(data_folder: str, save_folder: str, seed: int = 0) -> None:
    """Write ``recordings.csv`` and the manifests of pain against discomfort."""
    root = preparation.require_folder(
        data_folder, "SRC", "the folder cry_sequences_22babies"
    )
    rows = [_row(path) for path in audio_files(root, READABLE)]
    cries = Counter(row["pain"] for row in rows)
    compare_with_published(cries, PUBLISHED, "cries")
    babies = len({row["patient_id"] for row in rows})
    compare_with_published({"babies": babies}, {"babies": BABIES}, "in total")
    prepare_published(
        rows,
        root,
        save_folder,
        "pain",
        list(PUBLISHED),
        corpus_name="Corvin et al. 2024",
        seed=seed,
    )


def _row(path: str) -> Dict[str, str]:
    match = _NAME.fullmatch(Path(path).stem)
    if match is None:
        raise InputError(
            f"{path}: the name is not <baby>_<B|D><number>; pass the folder "
            "cry_sequences_22babies, restore the published name or move the "
            "file away"
        )
    label, context = KINDS[match["kind"]]
    return {
        "recording_id": Path(path).stem,
        "patient_id": match["baby"].upper(),
        "path": path,
        "pain": label,
        "context": context,
    }


if __name__ == "__main__":
    command_line(prepare_corvin, seed=(0, "seed of the split"))
