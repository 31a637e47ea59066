"""Locks of output folders: two commands never write into one folder."""

import json
import logging
import os
import socket
import time
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import ContextManager, Dict, Iterator, Optional

from data_prep.files.atomic import (
    cannot_write,
    is_stream,
    make_folder,
    names,
    try_lock,
)
from data_prep.files.errors import InputError
from data_prep.files.folders import require_regular_files

logger = logging.getLogger(__name__)

#: Descriptors of the locks that this process holds, by path.
_held: Dict[str, int] = {}


@contextmanager
def locked(
    folder: Path, name: str = ".lock", file: Optional[Path] = None
) -> Iterator[int]:
    """Hold the lock of an output folder; yield its descriptor.

    A folder that holds a pipe is refused: a write to it could wait for ever.
    With `file`, what is written is that file or folder in it. The system frees
    the lock when this process ends, however it ends. Within one process the
    same folder can be locked again. Raises ``InputError``, which names the
    other process, if there is one.
    """
    path = os.path.join(os.path.realpath(make_folder(folder)), name)
    if path in _held:
        yield _held[path]
        return
    if file is None:
        require_regular_files(folder)
    _held[path] = descriptor = _acquire(Path(path), folder, file)
    try:
        yield descriptor
    finally:
        if _held.pop(path, None) is not None:  # not in a forked child
            if names(path, descriptor):  # the folder was not moved
                with suppress(OSError):
                    os.unlink(path)
            os.close(descriptor)


def locked_beside(path: Path) -> ContextManager[int]:
    """Hold the lock of an output file, or of a folder that is replaced as a
    whole; a device or a pipe has none."""
    path = Path(path)
    if is_stream(path) and not path.is_dir():
        return nullcontext(-1)
    return locked(path.parent, f".{path.name}.lock", path)


def _acquire(path: Path, folder: Path, file: Optional[Path]) -> int:
    """Open and lock a file that names this process."""
    while True:
        try:
            descriptor = _open(path)
        except OSError as error:
            raise cannot_write(folder, error)
        try:
            is_free = try_lock(descriptor)
        except OSError:
            logger.warning(
                "%s is on a file system without locks: do not start another "
                "command that writes there",
                folder,
            )
            break
        if not is_free:
            holder = _holder(descriptor)
            os.close(descriptor)
            raise InputError(
                f"{file or folder} is in use by {holder}; wait for it or stop "
                f"it, or pass another {'name' if file else 'folder'}"
            )
        if names(path, descriptor):
            break
        os.close(descriptor)  # its holder has just removed it
    entry = {"pid": os.getpid(), "host": socket.gethostname()}
    entry["since"] = time.strftime("%Y-%m-%d %H:%M:%S")
    with suppress(OSError):  # only the message needs it
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(entry).encode(), 0)
    return descriptor


def _open(path: Path) -> int:
    flags = getattr(os, "O_NOFOLLOW", 0)
    try:
        return os.open(path, flags | os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError:
        # Another user's, left by a killed command or in use: enough to lock.
        return os.open(path, flags | os.O_RDONLY)


def _holder(descriptor: int) -> str:
    """Describe the process that holds a lock."""
    try:
        entry = json.loads(os.pread(descriptor, 1000, 0))
        pid, host, since = (str(entry[key]) for key in ("pid", "host", "since"))
    except (OSError, ValueError, TypeError, LookupError):
        return "another process"
    return f"process {pid} on {host} since {since}"


def _forget() -> None:
    """Close the locks in a forked child: else a loader worker that outlives
    its parent would hold them."""
    for descriptor in _held.values():
        os.close(descriptor)
    _held.clear()


if os.name == "posix":
    os.register_at_fork(after_in_child=_forget)
