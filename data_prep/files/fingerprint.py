"""Identity of a file by its content, not by its path or time.

A file is compared by its size and a hash of three blocks, since reading
200,000 recordings takes hours.
"""

import hashlib
import os
import stat
from pathlib import Path
from typing import Callable, List, Union

#: Bytes of each of the three blocks: the first, the middle and the last one.
_BLOCK = 1 << 14

#: Size, modification time in ns, and a hash of three blocks.
Stamp = Union[List[int], str]


def stamp(file: Path) -> Stamp:
    """Identity of a file at this moment, ``unreadable`` without one."""
    try:
        status = os.stat(file)
        if not stat.S_ISREG(status.st_mode):  # a pipe would block
            return "unreadable"
        return [status.st_size, status.st_mtime_ns, _hash(file)]
    except OSError:
        return "unreadable"


def is_same(before: Stamp, file: Path, by_time: bool = False) -> bool:
    """Check that a file has kept its content since ``stamp``.

    With `by_time`, equal size and modification time suffice, for files that
    are too many to open and are compared again when they are read.
    """
    if by_time and not isinstance(before, str):
        try:
            status = os.stat(file)
        except OSError:
            return False
        if before[:2] == [status.st_size, status.st_mtime_ns]:
            return True
    now = stamp(file)
    if isinstance(before, str) or isinstance(now, str):
        return before == now
    return (before[0], *before[2:]) == (now[0], *now[2:])


def fingerprint(file: Path) -> str:
    """Size and hash of a file as a text, ``unreadable`` without one."""
    return fingerprint_of(stamp(file))


def fingerprint_of(stamp: Stamp) -> str:
    """Text of a stamp, without the time; empty if it has no hash."""
    if isinstance(stamp, str):
        return stamp
    if len(stamp) < 3:
        return ""
    return f"{stamp[0]}-{stamp[2]:012x}"


def sha256(
    file: Path, progress: Callable[[int], object] = lambda n_bytes: None
) -> str:
    """SHA-256 of a whole file; `progress` is called with the bytes read."""
    digest = hashlib.sha256()
    with open(file, "rb") as opened:
        for block in iter(lambda: opened.read(1 << 22), b""):
            digest.update(block)
            progress(len(block))
    return digest.hexdigest()


def _hash(file: Path) -> int:
    digest = hashlib.blake2b(digest_size=6)
    with open(file, "rb", buffering=0) as opened:
        size = opened.seek(0, os.SEEK_END)
        for offset in sorted({0, size // 2, max(0, size - _BLOCK)}):
            opened.seek(offset)
            digest.update(opened.read(_BLOCK))
    return int.from_bytes(digest.digest(), "big")
