"""Standard streams that are closed, cannot show a letter, or cannot be written
any more."""

import io
import os
import select
import sys
from typing import TextIO


def replace_closed_streams() -> None:
    """Open the null device in place of standard streams that a process was
    started without: else the next file that it opens gets their number, and
    what is printed is written there."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # the lowest free number is taken
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))


def escape_unprintable() -> None:
    """Print escapes of letters that the locale or terminal does not have."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def close_broken_streams() -> bool:
    """Discard what is printed from now on where it cannot be written; True if
    that is so for standard output or standard error."""
    streams = [s for s in (sys.stdout, sys.stderr) if s and not s.closed]
    broken = list(filter(_is_broken, streams))
    for stream in broken:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    return bool(broken)


def _is_broken(stream: TextIO) -> bool:
    """Check for a full disk, or a pipe without a reader."""
    try:
        descriptor = stream.fileno()
    except OSError:  # no file of the system, as in a notebook
        return False
    try:
        stream.flush()
    except OSError:
        return True
    if os.name == "nt":
        return False
    # What could not be written may be lost, and then flushing succeeds.
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))
