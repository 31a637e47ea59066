"""Packs: recordings in a few large files that take the place of a data folder.

A pack is a folder. ``pack.json`` says what it is; each part, which one machine
made, brings ``pack-<i>of<n>.json`` (its files, their sizes and checksums),
``.csv`` (where each recording lies), ``.audit.jsonl`` (what reading the
original files showed) and shards of samples, ``pack-<i>of<n>-<shard>.i16``.
``data_prep/pack.py`` writes them. Only what is read of a shard is loaded from
disk, and processes share it.
"""

import json
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Dict, Iterable, List, NamedTuple, Optional, Tuple

import numpy as np

from data_prep.files.errors import InputError
from data_prep.files.keyed_rows import KeyedRows
from data_prep.files.tables import write_table

PACK_FILE = "pack.json"
VERSION = 1
#: Little-endian, whatever the machine.
DTYPE = "<i2"


class Packed(NamedTuple):
    """One recording of a pack: a row of the index.

    Arguments
    ---------
    path : str
        As its file's, relative to the data folder.
    shard : str
        File that holds it; empty for a rejected recording.
    offset : int
        First sample.
    samples : int
        How many; 0 for a rejected recording.
    scale : float
        Level of 1 in the shard, of full scale.
    peak : int
        Largest sample, as stored.
    rate : int
        Of the original file, Hz.
    frames : int
        Of the original file.
    """

    path: str
    shard: str = ""
    offset: int = 0
    samples: int = 0
    scale: float = 1.0
    peak: int = 0
    rate: int = 0
    frames: int = 0


class Stored(NamedTuple):
    """(Part of) a recording as it lies in a pack.

    Arguments
    ---------
    samples : numpy.ndarray
        ``[samples]``, integers, mapped into memory.
    scale : float
        What one step stands for.
    peak : float or None
        Of the whole recording; None for a part of one.
    """

    samples: np.ndarray
    scale: float
    peak: Optional[float]


class Pack:
    """All parts of a pack, checked for being there.

    ``pack_at`` opens it. Goes to another process as its folder's name: each
    process maps the shards for itself.
    """

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        self._head = read_json(self.folder / PACK_FILE)
        if self._head.get("pack") != VERSION:
            raise InputError(
                f"{folder} is a pack of version {self._head.get('pack')}, not "
                f"{VERSION}; pack the recordings again"
            )
        self.rate = self._head["rate"]
        self.files: Dict[str, Dict] = {}
        self.audits: List[Path] = []
        self._parts: List[Index] = []
        self._shards: Dict[str, np.memmap] = {}
        for number in range(1, self._head["parts"] + 1):
            self._add_part(number, self._head["parts"])

    def __reduce__(self):
        return pack_at, (str(self.folder),)

    def __contains__(self, path: str) -> bool:
        return any(path in part for part in self._parts)

    @property
    def paths(self) -> List[str]:
        """Of the recordings, rejected ones included."""
        found = [recording.path for part in self._parts for recording in part]
        return list({_plain(path): path for path in found}.values())

    def _find(self, path) -> Optional[Packed]:
        # Where two parts hold it, the later one counts.
        found = (part.find(path) for part in reversed(self._parts))
        return next((recording for recording in found if recording), None)

    def _add_part(self, number, n_parts):
        name = part_name(number, n_parts)
        if not (self.folder / f"{name}.json").is_file():
            raise InputError(
                f"{self.folder} lacks part {number} of {n_parts} ({name}.json)"
                "; copy it there, or go on packing: the same command does"
            )
        about = read_json(self.folder / f"{name}.json")
        for key, value in self._head.items():
            if about["head"].get(key) != value:
                raise InputError(
                    f"{self.folder}: {name}.json is of a pack with {key} "
                    f"{about['head'].get(key)}, {PACK_FILE} says {value}; keep "
                    "the parts of one pack together"
                )
        self.name = about["name"]
        for file, expected in about["files"].items():
            self._check_size(file, expected["bytes"])
        self.files.update(about["files"])
        self.audits.append(self.folder / f"{name}.audit.jsonl")
        self._parts.append(read_index(self.folder / f"{name}.csv"))

    def _check_size(self, file, n_bytes):
        try:
            found = os.stat(self.folder / file).st_size
        except OSError:
            raise InputError(
                f"{self.folder} lacks {file}; copy it there, or pack into a "
                "new folder"
            )
        if found != n_bytes:
            raise InputError(
                f"{self.folder / file} has {found} bytes, not {n_bytes}; copy "
                "it again, or pack into a new folder"
            )

    def stored(self, path: str, start: float, stop: float) -> Optional[Stored]:
        """(Part of) a recording, of which nothing is read yet."""
        recording = self._find(path)
        if recording is None:
            return None
        if not recording.samples:
            raise InputError(
                f"{path} was rejected when {self.folder} was packed; prepare "
                "the manifests from the pack"
            )
        first, last = _span(recording, self.rate, start, stop)
        if recording.shard not in self._shards:
            # A plain array on the map: slices of a memmap take longer.
            self._shards[recording.shard] = np.asarray(
                np.memmap(self.folder / recording.shard, dtype=DTYPE, mode="r")
            )
        samples = self._shards[recording.shard][
            recording.offset + first : recording.offset + last
        ]
        whole = last - first == recording.samples
        peak = recording.peak * recording.scale if whole else None
        return Stored(samples, recording.scale, peak)


def _span(
    recording: Packed, rate: int, start: float, stop: float
) -> Tuple[int, int]:
    """Samples between two times, rounded as those of the original file.

    Example
    -------
    >>> _span(Packed("a", samples=800, rate=44100, frames=2205), 16000, 0, 0.05)
    (0, 800)
    """
    begin, end = (
        min(round(seconds * recording.rate), recording.frames)
        for seconds in (start, stop)
    )
    if begin == 0 and end == recording.frames:
        return 0, recording.samples
    first = begin * rate // recording.rate
    last = first - (begin - end) * rate // recording.rate
    return first, min(last, recording.samples)


def pack_at(folder: Path) -> Optional[Pack]:
    """The pack that a folder is.

    Example
    -------
    >>> pack_at(getfixture("tmpdir")) is None
    True
    """
    try:
        changed = os.stat(os.path.join(folder, PACK_FILE)).st_mtime_ns
    except OSError:
        return None
    return _open(os.path.abspath(folder), changed)


@lru_cache(maxsize=None)
def _open(folder: str, changed: int) -> Optional[Pack]:
    head = read_json(Path(folder) / PACK_FILE)
    return Pack(Path(folder)) if "pack" in head else None  # another's file


def part_name(number: int, n_parts: int) -> str:
    """Beginning of the names of a part's files.

    Example
    -------
    >>> part_name(2, 4)
    'pack-2of4'
    """
    return f"pack-{number}of{n_parts}"


def read_json(path: Path) -> Dict:
    """A file that says what a pack or a part is."""
    try:
        return dict(json.loads(Path(path).read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        raise InputError(f"{path} is damaged; copy it again")


#: In the index, names that are not Unicode keep their bytes.
_ERRORS = "surrogateescape"


def write_index(path: Path, recordings: Iterable[Packed]) -> None:
    """Write the index of one part."""
    write_table(path, Packed._fields, recordings, _ERRORS)


class Index(Sequence):
    """Recordings of one part, each a ``Packed`` when it is asked for."""

    def __init__(self, path: Path):
        self._rows = KeyedRows(path, "path", _plain, _ODD, errors=_ERRORS)

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, path: str) -> bool:
        return self._rows.find(path) is not None

    def __getitem__(self, number: int) -> Packed:
        row = zip(Packed.__annotations__.values(), self._rows[number])
        try:
            return Packed(*(kind(cell) for kind, cell in row))
        except ValueError as error:
            raise InputError(
                f"{self._rows.source(number)} is damaged ({error}); copy the "
                "file again"
            )

    def find(self, path: str) -> Optional[Packed]:
        """The recording of a path, however that is written."""
        number = self._rows.find(path)
        return None if number is None else self[number]


def read_index(path: Path) -> Index:
    """Recordings of one part."""
    try:
        return Index(path)
    except InputError:
        raise InputError(f"{path} is damaged; copy it again")


#: Of the index: quoted paths, and those that ``_plain`` changes.
_ODD = rb'^"|//|\./'


def _plain(path: str) -> str:
    """``./a//b.wav`` and ``a/b.wav`` are one file."""
    # Most paths are plain, and to make sure of it takes long.
    odd = "//" in path or "./" in path
    return PurePosixPath(path).as_posix() if odd else path
