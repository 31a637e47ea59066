"""Files that are complete or not there, whatever interrupts their writing.

Authors
 * The contributors of cry-ssl 2026
"""

import os
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

from data_prep.errors import InputError


@contextmanager
def complete_or_absent(path: Path) -> Iterator[Path]:
    """Hand out a path to write to; move it to its place once all is written.

    The half-written file is removed when anything goes wrong, and an earlier
    file at ``path`` stays as it was.

    Arguments
    ---------
    path : pathlib.Path
        Where the file belongs.

    Yields
    ------
    pathlib.Path
        Where to write it, with the same suffix.

    Raises
    ------
    InputError
        The disk is full, or the folder cannot be written to.

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
        raise InputError(
            f"{path} could not be written ({error.strerror or error}); free "
            "some space, or choose another folder to write to"
        )
    finally:
        partial.unlink(missing_ok=True)
