"""Memory that a training step frees and the next one needs again."""

import ctypes
import platform

# Of mallopt(3).
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4

# The C library's own values.
_TRIM_THRESHOLD = 128 * 1024
_MMAP_MAX = 65536


def keep_freed_memory() -> bool:
    """Let the process keep what tensors on the CPU gave back.

    By default the C library returns large blocks to the system at once, and
    gets them back page by page, each filled with zeros: a seventh of the
    processor time of a step at width 64. Nothing that is computed changes.

    Example
    -------
    >>> keep_freed_memory() == (platform.libc_ver()[0] == "glibc")
    True
    """
    return _set(mmap_max=0, trim_threshold=-1)


def return_freed_memory() -> bool:
    """Undo ``keep_freed_memory``: less memory, more time."""
    return _set(_MMAP_MAX, _TRIM_THRESHOLD)


def _set(mmap_max: int, trim_threshold: int) -> bool:
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    mapped = libc.mallopt(_M_MMAP_MAX, mmap_max)
    trimmed = libc.mallopt(_M_TRIM_THRESHOLD, trim_threshold)
    return bool(mapped and trimmed)
