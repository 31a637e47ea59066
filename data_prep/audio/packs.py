"""Packs: recordings in a few large files that replace a data folder.

A pack is a folder, described by ``pack.json``. Each part, written by one run
of ``data_prep/pack.py``, consists of ``pack-<i>of<n>.json`` (its files, their
sizes and checksums), ``.csv`` (the index of recordings), ``.audit.jsonl``
(audits of the original files) and shards of samples,
``pack-<i>of<n>-<shard>.i16``. Shards are mapped into memory, which processes
share.
"""

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Dict, Iterable, List, NamedTuple, Optional, Tuple

import numpy as np
from tqdm import tqdm

from data_prep.files import shapes
from data_prep.files.errors import InputError, require
from data_prep.files.fingerprint import sha256
from data_prep.files.folders import FILE_NAME, file_inside
from data_prep.files.keyed_rows import KeyedRows
from data_prep.files.shapes import mismatch, number, one_of, whole
from data_prep.files.tables import write_table

PACK_FILE = "pack.json"
VERSION = 1
#: Little-endian on every machine.
DTYPE, SAMPLE_BYTES = "<i2", 2


class Packed(NamedTuple):
    """One recording of a pack: a row of the index."""

    path: str  #: relative to the data folder, as in a folder of files
    shard: str = ""  #: file of samples; empty for a rejected recording
    offset: int = 0  #: first sample in the shard
    samples: int = 0  #: 0 for a rejected recording
    scale: float = 1.0  #: value of one integer step, of full scale
    peak: int = 0  #: largest absolute sample, as stored
    rate: int = 0  #: of the original file, Hz
    frames: int = 0  #: of the original file


#: Shapes of an index row, of a recording with samples and of a rejected one.
ROW = [
    *(object, FILE_NAME, whole(0), whole(1), number(1e-30, 1e30)),
    *(whole(0, 1 << 15), whole(1), whole(1)),
]
REJECTED = [object, one_of(""), *[whole(0, 0)] * 2, *[object] * 4]

#: Shapes of ``pack.json`` and of ``pack-<i>of<n>.json``.
HEAD = {
    "pack": whole(VERSION, VERSION),
    "rate": whole(1, 1 << 20),
    "dtype?": one_of(DTYPE),
    "parts": whole(1, 10000),
    str: object,
}
PART = {
    "head": HEAD,
    "name": str,
    "files": {FILE_NAME: {"bytes": whole(0), "sha256?": str}},
    str: object,
}
#: Cure of a damaged file.
_COPY = "copy it again, or delete it and pack again"


class Stored(NamedTuple):
    """Samples of a recording in a pack, or of a part of it."""

    samples: np.ndarray  #: ``[samples]``, integers, mapped into memory
    scale: float  #: value of one integer step, of full scale
    peak: Optional[float]  #: of the whole recording; None for a part


class Pack:
    """All parts of a pack; raises ``InputError`` unless they are complete.

    ``pack_at`` opens it. It is pickled as the folder's name, so each process
    maps the shards itself.
    """

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        self._head = read_description(self.folder / PACK_FILE, {str: object})
        require(
            self._head.get("pack") == VERSION,
            f"{folder} is a pack of version {self._head.get('pack')!r:.60}, "
            f"not {VERSION}",
            "pack the recordings again",
        )
        read_description(self.folder / PACK_FILE, HEAD)
        self.rate = self._head["rate"]
        self.files: Dict[str, Dict] = {}
        self.audits: List[Path] = []
        self._parts: List[Index] = []
        self._shards: Dict[str, np.memmap] = {}
        for part in range(1, self._head["parts"] + 1):
            self._add_part(part, self._head["parts"])

    def __reduce__(self):
        return pack_at, (str(self.folder),)

    def __contains__(self, path: str) -> bool:
        return any(path in part for part in self._parts)

    @property
    def paths(self) -> List[str]:
        """Paths of the recordings, including rejected ones."""
        paths = [recording.path for part in self._parts for recording in part]
        return list({_plain(path): path for path in paths}.values())

    def _find(self, path) -> Optional[Packed]:
        # If two parts hold the path, the later one counts.
        rows = (part.find(path) for part in reversed(self._parts))
        return next((recording for recording in rows if recording), None)

    def _add_part(self, number, n_parts):
        name = part_name(number, n_parts)
        require(
            (self.folder / f"{name}.json").is_file(),
            f"{self.folder} lacks part {number} of {n_parts} ({name}.json)",
            "copy it there, or run the same pack command again to resume",
        )
        part = read_description(self.folder / f"{name}.json", PART)
        for key, value in self._head.items():
            require(
                part["head"].get(key) == value,
                f"{self.folder}: {name}.json is of a pack with {key} "
                f"{part['head'].get(key)!r:.80}, {PACK_FILE} has {value!r:.80}",
                "keep the parts of one pack together",
            )
        self.name = part["name"]
        for file, expected in part["files"].items():
            self._check_size(file, expected["bytes"])
        self.files.update(part["files"])
        self.audits.append(self.folder / f"{name}.audit.jsonl")
        self._parts.append(read_index(self.folder / f"{name}.csv"))

    def _check_size(self, file, n_bytes):
        require(
            os.path.lexists(self.folder / file),
            f"{self.folder} lacks {file}",
            "copy it there, or pack into a new folder",
        )
        size = os.stat(file_inside(self.folder, file, _COPY)).st_size
        require(
            size == n_bytes,
            f"{self.folder / file} has {size} bytes, not {n_bytes}",
            "copy it again, or pack into a new folder",
        )

    def stored(self, path: str, start: float, stop: float) -> Optional[Stored]:
        """Samples from `start` to `stop` (seconds), mapped but not yet read;
        None if the pack lacks the recording."""
        recording = self._find(path)
        if recording is None:
            return None
        require(
            recording.samples > 0,
            f"{path} was rejected when {self.folder} was packed",
            "prepare the manifests from the pack",
        )
        first, last = _span(recording, self.rate, start, stop)
        shard = self._mapped(recording)
        samples = shard[recording.offset + first : recording.offset + last]
        whole = last - first == recording.samples
        peak = recording.peak * recording.scale if whole else None
        return Stored(samples, recording.scale, peak)

    def _mapped(self, recording: Packed) -> np.ndarray:
        """The shard of a recording, mapped into memory."""
        name = recording.shard
        known = self.files.get(name, {"bytes": 0})
        require(
            2 * (recording.offset + recording.samples) <= known["bytes"],
            f"{self.folder}: the index has {recording.path} beyond the end of "
            f"{name}",
            _COPY,
        )
        if name not in self._shards:
            # A plain array on the map: slicing a memmap takes longer.
            self._shards[name] = np.asarray(
                np.memmap(self.folder / name, dtype=DTYPE, mode="r")
            )
        return self._shards[name]


def _span(
    recording: Packed, rate: int, start: float, stop: float
) -> Tuple[int, int]:
    """First and last sample between two times, rounded as in the original.

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
    """Pack in a folder, None if the folder is not a pack."""
    try:
        status = os.stat(os.path.join(folder, PACK_FILE))
    except OSError:
        return None
    # Another file, whatever the clock says.
    changed = status.st_ino, status.st_size, status.st_mtime_ns
    return _open(os.path.abspath(folder), changed)


@lru_cache(maxsize=None)
def _open(folder: str, changed: Tuple) -> Optional[Pack]:
    head = read_description(Path(folder) / PACK_FILE, {str: object})
    return Pack(Path(folder)) if "pack" in head else None  # unrelated file


def part_name(number: int, n_parts: int) -> str:
    """Common prefix of the names of a part's files."""
    return f"pack-{number}of{n_parts}"


def read_description(path: Path, shape: Dict) -> Dict:
    """Read the description of a pack or of a part."""
    return shapes.read_json(path, shape, _COPY)


#: Keeps the bytes of names that are not Unicode in the index.
_ERRORS = "surrogateescape"


def write_index(path: Path, recordings: Iterable[Packed]) -> None:
    """Write the index of one part of a pack."""
    write_table(path, Packed._fields, recordings, _ERRORS)


class Index(Sequence):
    """Recordings of one part, each parsed on access."""

    def __init__(self, path: Path):
        self._rows = KeyedRows(path, "path", _plain, _ODD, errors=_ERRORS)
        require(
            tuple(self._rows.columns) == Packed._fields,
            f"{path} has other columns than {', '.join(Packed._fields)}",
            _COPY,
        )

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, path: str) -> bool:
        return self._rows.find(path) is not None

    def __getitem__(self, number: int) -> Packed:
        row = zip(Packed.__annotations__.values(), self._rows[number])
        try:
            values = [kind(cell) for kind, cell in row]
            fault = mismatch(values, (ROW, REJECTED))
        except ValueError as error:
            fault = error
        require(
            not fault,
            f"{self._rows.source(number)} is damaged ({fault})",
            "copy the file again",
        )
        return Packed(*values)

    def find(self, path: str) -> Optional[Packed]:
        """Recording at a path, None if absent; ``./a//b`` equals ``a/b``."""
        number = self._rows.find(path)
        return None if number is None else self[number]


def read_index(path: Path) -> Index:
    """Read the index of one part of a pack."""
    try:
        return Index(path)
    except InputError:
        raise InputError(f"{path} is damaged; copy it again")


#: Matches paths in the index that are quoted or that ``_plain`` changes.
_ODD = rb'^"|//|\./'


def _plain(path: str) -> str:
    """``./a//b.wav`` and ``a/b.wav`` are one file."""
    # Parsing is slow, and most paths are plain already.
    odd = "//" in path or "./" in path
    return PurePosixPath(path).as_posix() if odd else path


def digest_of(path: Path, bar: Optional[tqdm] = None) -> Dict:
    """Size and sha256 of a file."""
    digest = sha256(path) if bar is None else sha256(path, bar.update)
    return {"bytes": os.path.getsize(path), "sha256": digest}
