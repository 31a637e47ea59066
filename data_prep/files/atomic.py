"""Atomic writes: a file is complete or absent, whatever interrupts writing."""

import errno
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Iterator

from data_prep.files.errors import InputError, require

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def cannot_write(path: Path, error: OSError) -> InputError:
    """Make the ``InputError`` for a file or folder that cannot be written.

    Example
    -------
    >>> cannot_write("a.csv", OSError(errno.ENOSPC, "No space left on device"))
    InputError('a.csv could not be written (No space left on device); free some space, then run the same command again')
    """
    cure = "choose another place to write to"
    if error.errno in _NO_SPACE:
        cure = "free some space, then run the same command again"
    reason = error.strerror or error
    return InputError(f"{path} could not be written ({reason}); {cure}")


def make_folder(folder: Path) -> Path:
    """Create a folder to write to, with its parents."""
    folder = Path(folder)
    for path in (folder, *folder.parents):
        is_file = path.exists() and not path.is_dir()
        require(not is_file, f"{path} is a file", "pass a folder to write to")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error)
    return folder


@contextmanager
def complete_or_absent(path: Path) -> Iterator[Path]:
    """Yield a temporary path; rename it to ``path`` when the block succeeds.

    If the block fails, the temporary file is removed and an earlier file at
    ``path`` stays unchanged.
    """
    path = Path(path)
    partial = path.with_name(f"{path.stem}.partial{path.suffix}")
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise cannot_write(path, error)
    finally:
        with suppress(OSError):
            partial.unlink()
