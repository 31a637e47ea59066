"""Atomic writes: a file is complete or absent, whatever interrupts writing.

Links are followed: the file that they lead to is replaced. What is not a
regular file (a device, a pipe, standard output) cannot be replaced, so it is
written to once the content is complete.
"""

import errno
import os
import re
import shutil
import stat
import sys
import tempfile
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Iterator, Optional, TextIO

from data_prep.files.errors import (
    AccessError,
    cannot_access,
    cure_of,
    is_of_disk,
    require,
)
from data_prep.files.made_folders import remember_made

#: Words in the RuntimeError of torch's writer.
_TORCH_WRITER = ("PytorchStreamWriter", "inline_container", "iostream")
_STANDARD_STREAMS = {"-": 1, "/dev/stdout": 1, "/dev/stderr": 2}


def cannot_write(path: Path, error: OSError) -> AccessError:
    """Make the ``AccessError`` for a file or folder that cannot be written."""
    reason = error.strerror or error
    name = "standard output" if str(path) == "-" else path
    return AccessError(
        f"{name} could not be written ({reason}); {cure_of(error)}"
    )


def write_error(path: Path, error: Exception) -> Exception:
    """Turn an error while `path` was written into one line, if it is not a
    fault of the program: torch reports a full disk as a RuntimeError."""
    if isinstance(error, OSError):
        return cannot_write(path, error)
    if any(name in str(error) for name in _TORCH_WRITER):
        reason = "torch could not write; is the disk full?"
        return cannot_write(path, OSError(errno.ENOSPC, reason))
    return error


@contextmanager
def named_in_errors(folder: Path) -> Iterator[None]:
    """Name a folder in errors of its disk that name no file."""
    try:
        yield
    except OSError as error:
        if error.filename is None and is_of_disk(error):
            raise cannot_write(folder, error)
        raise


def make_folder(folder: Path) -> Path:
    """Create a folder to write to, with its parents."""
    folder = Path(folder)
    for path in (folder, *folder.parents):
        is_file = path.exists() and not path.is_dir()
        require(not is_file, f"{path} is a file", "pass a folder to write to")
        # Not created: the link may lead to a disk that is not mounted.
        require(
            path.exists() or not path.is_symlink(),
            f"{path} is a link to {os.path.realpath(path)}, which does not "
            "exist",
            "create that folder, or pass another",
        )
    remember_made(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error)
    return folder


def check_output(path: Path) -> None:
    """Refuse an output that cannot be a file: a folder, a socket, a disk."""
    with suppress(OSError):  # absent, or a link to what is absent
        mode = os.stat(path).st_mode
        require(
            not stat.S_ISDIR(mode), f"{path} is a folder", "pass a file name"
        )
        require(
            not stat.S_ISSOCK(mode) and not stat.S_ISBLK(mode),
            f"{path} is a {'disk' if stat.S_ISBLK(mode) else 'socket'}",
            "pass a file name",
        )


def descriptor_of(path: Path) -> Optional[int]:
    """Descriptor of this process that a path, or the link there, names, such
    as ``-``, ``/dev/stdout`` or ``/dev/fd/63``; None for other paths.
    """
    path = str(path)
    for _ in range(40):  # links, as many as Linux follows
        if path in _STANDARD_STREAMS:
            return _STANDARD_STREAMS[path]
        process = rf"/proc/(?:(?:thread-)?self|{os.getpid()})"
        match = re.fullmatch(rf"/dev/fd/(\d+)|{process}/fd/(\d+)", path)
        if match:
            return int(match[1] or match[2])
        if not os.path.islink(path):
            return None
        path = os.path.join(os.path.dirname(path), os.readlink(path))
    return None


def is_stream(path: Path) -> bool:
    """Check for a device or a pipe, which is written to, not replaced."""
    if descriptor_of(path) is not None:
        return True
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except OSError:  # absent, or a link to what is absent
        return False


def require_writable(path: Path) -> None:
    """Refuse an output file that cannot be written, before there is work to
    lose."""
    check_output(path)
    try:
        if not is_stream(path):
            folder = os.path.dirname(_target(path))
            tempfile.TemporaryFile(dir=folder).close()
        elif descriptor_of(path) is None and not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise cannot_write(path, error)


def _target(path: Path) -> str:
    """Path behind links; raise ``OSError`` for links that form a loop."""
    target = os.path.realpath(path)
    if os.path.islink(target):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return target


def messages_to(out: Optional[Path]) -> TextIO:
    """Stream for the messages of a command: not standard output if that may
    be where `out` is written."""
    is_apart = out is None or not is_stream(out)
    return sys.stdout if is_apart else sys.stderr


@contextmanager
def complete_or_absent(path: Path) -> Iterator[Path]:
    """Yield a temporary path; when the block succeeds, rename its file to
    ``path``, or copy it to a device or pipe.

    If the block fails, the temporary file is removed and an earlier file at
    ``path`` stays unchanged. A file that is replaced keeps its permissions. A
    power cut leaves the earlier or the new file, not an empty one.
    """
    path, partial = Path(path), None
    check_output(path)
    how = _copied if is_stream(path) else renamed
    try:
        with how(path) as partial:
            yield partial
    except BrokenPipeError:  # the reader has seen enough
        raise
    except OSError as error:
        written = {str(path), str(partial), os.path.realpath(path)}
        named = {str(n) for n in (error.filename, error.filename2) if n}
        if partial is None or not named or named & written:
            raise cannot_write(path, error)
        raise cannot_access(error)  # a file that the block reads
    except RuntimeError as error:
        raise write_error(path, error)


@contextmanager
def _copied(path: Path) -> Iterator[Path]:
    """Yield a temporary path; copy its file to a device or pipe."""
    with tempfile.TemporaryDirectory() as folder:
        partial = Path(folder, f"output{path.suffix}")
        yield partial
        for stream in (sys.stdout, sys.stderr):
            stream.flush()  # what was printed comes first
        with open(partial, "rb") as source, open(_stream(path), "wb") as target:
            shutil.copyfileobj(source, target)


def _stream(path: Path) -> int:
    """Open a device or pipe for writing."""
    number = descriptor_of(path)
    if number is not None:
        # Not opened again: a redirected file would be written from its start.
        return os.dup(number)
    flags = os.O_WRONLY | getattr(os, "O_NOCTTY", 0)
    try:
        descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        if error.errno != errno.ENXIO or not path.is_fifo():
            raise
        print(f"waiting for a reader of {path}", file=sys.stderr, flush=True)
        return os.open(path, flags)
    os.set_blocking(descriptor, True)
    return descriptor


@contextmanager
def renamed(path: Path) -> Iterator[Path]:
    """Yield a temporary path; rename its file to that of `path`, or to the
    target of a link there."""
    target = Path(_target(path))
    with _own_file(target) as partial:
        yield partial
        _keep_permissions(target, partial)
        to_disk(partial)
        os.replace(partial, target)
    to_disk(target.parent)


@contextmanager
def _own_file(target: Path) -> Iterator[Path]:
    """Create a temporary file of this writer alone; remove it after an error.

    The name follows from that of the target, so that what a killed writer left
    is replaced. It is random while another writer has that one.
    """
    path = target.with_name(f".{target.stem}.partial{target.suffix}")
    # Windows renames no open file.
    descriptor = None if os.name == "nt" else _create_locked(path)
    if descriptor is None:
        name = f".{uuid.uuid4().hex[:12]}.partial{target.suffix}"
        path = target.with_name(name)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666))
    try:
        yield path
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise
    finally:
        if descriptor is not None:
            os.close(descriptor)  # which also unlocks it


def _create_locked(path: Path) -> Optional[int]:
    """Create and lock a file, in place of one that no process has locked; None
    if another process has it."""
    for _ in range(2):
        new, descriptor = True, None
        try:
            try:
                flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
                descriptor = os.open(path, flags, 0o666)
            except FileExistsError:
                new = False
                descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
            if try_lock(descriptor) and names(path, descriptor):
                if new:
                    return descriptor
                # Not emptied: a child of the killed writer may still write.
                path.unlink()
        except OSError:
            if new and descriptor is not None:
                return descriptor  # no locks, but only one can create it
        if descriptor is not None:
            os.close(descriptor)
    return None


def try_lock(descriptor: int) -> bool:
    """Lock an open file; False if another process, or another opening of the
    file, has locked it. The system unlocks it when the process ends.

    Raises ``OSError`` where the file system has no locks.
    """
    try:
        try:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # Windows
            import msvcrt

            # Far behind the content, which others may read.
            os.lseek(descriptor, 1 << 30, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            return False
        raise
    return True


def names(path: Path, descriptor: int) -> bool:
    """Check that a path still names an open file."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(descriptor))
    except OSError:
        return False


def _keep_permissions(target: Path, partial: Path) -> None:
    """Give a new file the owner and permissions of the file it replaces."""
    if not target.exists():
        return
    before = os.stat(target)
    if os.name == "posix":
        with suppress(OSError):  # only root may give files away
            os.chown(partial, before.st_uid, before.st_gid)
    with suppress(OSError):  # a file system without permissions
        os.chmod(partial, stat.S_IMODE(before.st_mode))


def to_disk(path: Path) -> None:
    """Force a file or folder from the system's buffers to the disk."""
    is_folder = os.path.isdir(path)
    try:
        # Windows flushes only files that are open for writing.
        flags = os.O_RDWR if os.name == "nt" else os.O_RDONLY
        descriptor = os.open(path, flags)
    except OSError:
        if is_folder:  # Windows; a folder without permission to list it
            return
        raise
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems cannot; a full or broken disk is an error.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
            raise
    finally:
        os.close(descriptor)
