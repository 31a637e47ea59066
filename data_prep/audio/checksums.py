"""Checksums of the audio of manifests, to notice a file that was exchanged.

``checksums.csv`` is in the manifest folder. All files of a small corpus are
compared before training; files of any corpus are compared when they are read.
"""

import os
from pathlib import Path
from typing import Dict, Optional

from data_prep.files.errors import require
from data_prep.files.fingerprint import fingerprint
from data_prep.files.keyed_rows import KeyedRows
from data_prep.files.tables import write_table

CHECKSUM_FILE = "checksums.csv"
#: Begins the checksum of a recording in a pack, which is of its samples.
PACKED = "packed-"
#: Corpora of up to so many files are compared as a whole, others by size and
#: time, and by content when a file is read.
FEW = 5000


class Checksums:
    """Checksums of the recordings in a data folder, by path."""

    def __init__(self, manifests: Path, root: Path):
        self._rows = KeyedRows(Path(manifests) / CHECKSUM_FILE, "path")
        self._root = os.path.join(root, "")

    def check(self, path: str) -> None:
        """Refuse a recording of the data folder whose content has changed."""
        number = self._find(path)
        require(
            number is None or self._is_same(number),
            f"{path} is not the file that it was when {self._rows.path} was "
            "written",
            "restore it, or start a new run, with another --output_folder",
        )

    def of(self, path: str) -> str:
        """Look up the checksum of a recording; empty if it has none."""
        number = self._find(path)
        return "" if number is None else self._rows[number][1]

    def changed(self) -> Optional[str]:
        """Find the first file that has changed; None if all are the same."""
        numbers = range(len(self._rows))
        paths = (self._rows.key(n) for n in numbers if not self._is_same(n))
        return next(paths, None)

    def _find(self, path: str) -> Optional[int]:
        is_inside = path.startswith(self._root)
        return self._rows.find(path[len(self._root) :]) if is_inside else None

    def _is_same(self, number) -> bool:
        path, expected = self._rows[number]
        return expected.startswith(PACKED) or expected == fingerprint(
            self._root + path
        )


def changed_file(manifests: Path, root: Path) -> Optional[str]:
    """Find the first file of a small corpus that has changed; None if all are
    the same, their checksums unknown, or there are too many to read now."""
    table = Path(manifests) / CHECKSUM_FILE
    if not table.is_file() or table.read_bytes().count(b"\n") > FEW + 1:
        return None
    return Checksums(manifests, root).changed()


def write_checksums(checksums: Dict[str, str], folder: Path) -> None:
    """Write the checksums of recordings, by path."""
    write_table(
        Path(folder) / CHECKSUM_FILE, ("path", "checksum"), checksums.items()
    )
