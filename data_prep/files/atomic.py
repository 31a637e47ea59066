"""Files that are complete or not there, whatever interrupts their writing."""

import errno
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Iterator

from data_prep.files.errors import InputError

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def cannot_write(path: Path, error: OSError) -> InputError:
    """What to tell whoever cannot write a file or folder.

    Example
    -------
    >>> cannot_write("a.csv", OSError(errno.ENOSPC, "No space left on device"))
    InputError('a.csv could not be written (No space left on device); free some space, then type the same command again')
    """
    cure = "choose another place to write to"
    if error.errno in _NO_SPACE:
        cure = "free some space, then type the same command again"
    reason = error.strerror or error
    return InputError(f"{path} could not be written ({reason}); {cure}")


def make_folder(folder: Path) -> Path:
    """Make a folder to write to, with those above it.

    Example
    -------
    >>> make_folder(getfixture("tmpdir") / "a" / "b").is_dir()
    True
    """
    folder = Path(folder)
    for place in (folder, *folder.parents):
        if place.exists() and not place.is_dir():
            raise InputError(f"{place} is a file; pass a folder to write to")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error)
    return folder


@contextmanager
def complete_or_absent(path: Path) -> Iterator[Path]:
    """Hand out a path to write to; move it to its place once all is written.

    The half-written file is removed when anything goes wrong, and an earlier
    file at ``path`` stays as it was.

    Example
    -------
    >>> path = Path(getfixture("tmpdir")) / "a.csv"
    >>> with complete_or_absent(path) as partial:
    ...     _ = partial.write_text("x")
    >>> path.read_text(), partial.exists()
    ('x', False)
    """
    path = Path(path)
    partial = path.with_name(f"{path.stem}.partial{path.suffix}")
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise cannot_write(path, error)
    finally:
        with suppress(OSError):  # not there, or never could be
            partial.unlink()
