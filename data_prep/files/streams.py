"""Standard output and standard error that cannot be written any more."""

import os
import select
import sys
from typing import TextIO


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
