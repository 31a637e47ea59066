"""Write mono audio files, complete or absent."""

import errno
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Callable, Iterator

import numpy as np
import soundfile

from data_prep.files.atomic import cannot_write, complete_or_absent
from data_prep.files.errors import require
from data_prep.files.shapes import is_unicode


@contextmanager
def audio_output(
    path: Path, rate: int, format: str, coding: str = "PCM_16"
) -> Iterator[Callable[[np.ndarray], None]]:
    """Yield a function that appends samples ``[n]`` to a new file.

    Raises ``AccessError`` where the file cannot be written. Errors of what the
    block reads stay what they are.
    """
    require(
        is_unicode(str(path)),
        f"{path} could not be written (its name is not Unicode)",
        "choose another place to write to",
    )
    with complete_or_absent(path) as partial:
        with _write_errors(path):
            file = soundfile.SoundFile(
                partial, "w", rate, 1, coding, format=format
            )

        def write(sig: np.ndarray) -> None:
            with _write_errors(path):
                file.write(sig)

        try:
            yield write
        except BaseException:
            with suppress(soundfile.LibsndfileError):
                file.close()
            raise
        with _write_errors(path):
            file.close()


@contextmanager
def _write_errors(path: Path) -> Iterator[None]:
    """Name the file in errors of libsndfile, which do not say what is wrong."""
    try:
        yield
    # soundfile asserts that all samples are written.
    except (soundfile.LibsndfileError, AssertionError):
        reason = "libsndfile could not write; is the disk full?"
        raise cannot_write(path, OSError(errno.ENOSPC, reason))
