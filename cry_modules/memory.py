"""Memory that a training step frees and the next one needs again.

Authors
 * The contributors of cry-ssl 2026
"""

import ctypes
import platform

# Of mallopt(3).
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4


def keep_freed_memory() -> bool:
    """Let the process keep what tensors on the CPU gave back.

    By default the C library returns large blocks to the system at once, and
    gets them back page by page, each filled with zeros: a seventh of the
    processor time of a step at width 64. Nothing that is computed changes.

    Returns
    -------
    bool
        Whether the C library is one that can be told so.

    Example
    -------
    >>> keep_freed_memory() == (platform.libc_ver()[0] == "glibc")
    True
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    no_mmap = libc.mallopt(_M_MMAP_MAX, 0)
    no_trim = libc.mallopt(_M_TRIM_THRESHOLD, -1)
    return bool(no_mmap and no_trim)
