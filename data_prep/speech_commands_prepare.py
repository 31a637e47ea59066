"""Prepare Speech Commands v0.02 (Warden 2018, https://arxiv.org/abs/1804.03209).

105,829 recordings of 35 words, up to 1 s, 16 kHz, in a folder a word:
``<word>/<speaker>_nohash_<n>.wav``. CC BY 4.0. Noises in
``_background_noise_`` are left out.

The patient is the speaker, the hash at the beginning of a name. Splits are the
official ``validation_list.txt`` and ``testing_list.txt``, which share no speaker
with the rest.

Use it as adult speech that is not a cry, and to test a method on many
individuals (``--words bed cat happy``). It says nothing about infants.
"""

import re
from collections import Counter
from pathlib import Path
from typing import Dict, Optional, Sequence

from data_prep.audio.folder import READABLE, audio_files
from data_prep.corpora import preparation
from data_prep.corpora.published import (
    command_line,
    compare_with_published,
    prepare_published,
    require_table,
)
from data_prep.files.errors import require
from data_prep.files.spreadsheets import content_of, decoded

LISTS = {"valid": "validation_list.txt", "test": "testing_list.txt"}
NOISES = "_background_noise_"

#: Published number of recordings by split, and of words.
PUBLISHED = {"train": 84843, "valid": 9981, "test": 11005, "words": 35}

_NAME = re.compile(r"(?P<speaker>[0-9a-f]+)_nohash_\d+")


def prepare_speech_commands(
    data_folder: str, save_folder: str, words: Optional[Sequence[str]] = None
) -> None:
    """Write ``recordings.csv`` and the manifests of the words."""
    root = preparation.require_folder(
        data_folder, "SRC", "the folder of Speech Commands"
    )
    paths = [
        path
        for path in audio_files(root, READABLE)
        if not path.startswith(f"{NOISES}/")
    ]
    split_of = _official_splits(root, paths)
    rows = [_row(path, split_of) for path in paths]
    everything = sorted({row["word"] for row in rows})
    if not words:
        counts = Counter(row["split"] for row in rows)
        counts["words"] = len(everything)
        compare_with_published(counts, PUBLISHED, "in total")
    for word in words or ():
        require(
            word in everything,
            f"--words {word} is not a folder of {root} with recordings",
            f"those are {', '.join(everything)}",
        )
    chosen = sorted(set(words or everything))
    prepare_published(
        [row for row in rows if row["word"] in chosen],
        root,
        save_folder,
        "word",
        chosen,
        corpus_name="Speech Commands",
    )


def _official_splits(root: Path, paths: Sequence[str]) -> Dict[str, str]:
    """Split by path of the recordings in the official lists, in the encoding
    and with the separators of whatever system has saved them."""
    split_of = {}
    for split, name in LISTS.items():
        table = require_table(root, name, "Speech Commands")
        text = decoded(table, content_of(table)).replace("\\", "/")
        lines = text.split()
        require(
            not {*paths}.isdisjoint(lines),
            f"{table} lists no recording of {root}",
            "restore the published list",
        )
        split_of.update(dict.fromkeys(lines, split))
    return split_of


def _row(path: str, split_of: Dict[str, str]) -> Dict[str, str]:
    word, _, name = path.partition("/")
    match = _NAME.fullmatch(Path(name).stem)
    require(
        match is not None,
        f"{path}: the name is not <word>/<speaker>_nohash_<n>",
        "restore the published name or move the file away",
    )
    return {
        "recording_id": f"{word}_{Path(name).stem}",
        # A hash of digits and an e alone would pass for a number (1E+05).
        "patient_id": f"sc_{match['speaker']}",
        "path": path,
        "word": word,
        "split": split_of.get(path, "train"),
    }


if __name__ == "__main__":
    command_line(
        prepare_speech_commands,
        words=((), "words to keep; default: all"),
    )
