"""Memory of this process: how much is free, and whether freed memory is kept."""

import ctypes
import platform
from pathlib import Path
from typing import Iterator, Tuple

import torch

#: Where Linux mounts control groups; version 2 has one tree.
_CGROUPS = Path("/sys/fs/cgroup")
_PROC = Path("/proc")


def free_memory(device: torch.device) -> float:
    """Bytes that may be allocated on a device; infinite where unknown.

    Example
    -------
    >>> free_memory(torch.device("cpu")) > 0
    True
    """
    if device.type == "cuda":
        in_use = torch.cuda.memory_reserved(device)
        kept = in_use - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    if device.type != "cpu":
        return float("inf")
    return min([_available(_PROC), *_left_in_groups(_PROC, _CGROUPS)])


def resident_memory() -> int:
    """Bytes of this process in memory; 0 where the system does not say."""
    return _field(_PROC / "self/status", "VmRSS")


def peak_memory() -> int:
    """The most bytes of this process that were in memory; 0 as above."""
    return _field(_PROC / "self/status", "VmHWM")


def _available(proc: Path) -> float:
    """Bytes that the system could give without swapping."""
    return _field(proc / "meminfo", "MemAvailable") or float("inf")


def _field(path: Path, name: str) -> int:
    """Bytes of a line such as ``VmRSS: 12 kB``; 0 if it is absent."""
    try:
        # The name of a process may be cut within a character.
        lines = path.read_text("utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        return 0
    for line in lines:
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024
    return 0


def _left_in_groups(proc: Path, root: Path) -> Iterator[float]:
    """Bytes left by the limit of each control group, parents included."""
    for folder, limit, usage in _groups(proc, root):
        while folder != folder.parent and root in (folder, *folder.parents):
            yield _number(folder / limit) - _used(folder, usage)
            folder = folder.parent


def _groups(proc: Path, root: Path) -> Iterator[Tuple[Path, str, str]]:
    """Folder of this process's groups, with names of limit and usage."""
    try:
        lines = (proc / "self/cgroup").read_text("utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        path = path.lstrip("/")
        if controllers == "":  # version 2
            yield root / path, "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            folder = root / "memory" / path
            yield folder, "memory.limit_in_bytes", "memory.usage_in_bytes"


def _used(folder: Path, usage: str) -> float:
    """Bytes in use, without files that the kernel can drop."""
    used = _number(folder / usage)
    try:
        text = (folder / "memory.stat").read_text(encoding="utf-8")
    except OSError:
        text = ""
    stat = dict(line.split()[:2] for line in text.splitlines())
    dropped = stat.get("total_inactive_file", stat.get("inactive_file", 0))
    return 0 if used == float("inf") else used - int(dropped)


def _number(path: Path) -> float:
    """The number that a file holds; infinite if it is absent or says max."""
    try:
        return float(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return float("inf")


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
