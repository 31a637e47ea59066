"""Memory of this process: how much is free, and whether freed memory is kept."""

import ctypes
import platform
import re
from pathlib import Path
from typing import Iterator, Tuple

import torch

#: Where Linux mounts control groups; version 2 has one tree.
_CGROUPS = Path("/sys/fs/cgroup")
_PROC = Path("/proc")


def free_memory(device: torch.device) -> float:
    """Free bytes on a device, within the limits of control groups; infinite
    where unknown."""
    if device.type == "cuda":
        in_use = torch.cuda.memory_reserved(device)
        kept = in_use - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    if device.type != "cpu":
        return float("inf")
    available = _field(_PROC / "meminfo", "MemAvailable") or float("inf")
    return min([available, *_left_in_groups(_PROC, _CGROUPS)])


def resident_memory() -> int:
    """Bytes that this process has in memory; 0 where unknown."""
    return _field(_PROC / "self/status", "VmRSS")


def peak_memory() -> int:
    """Most bytes that this process had in memory; 0 where unknown."""
    return _field(_PROC / "self/status", "VmHWM")


def _field(path: Path, name: str) -> int:
    """Read the bytes of a line such as ``VmRSS: 12 kB``; 0 if absent."""
    # The name of a process may be cut within a character.
    text = path.read_text("utf-8", "replace") if path.is_file() else ""
    kilobytes = re.search(rf"^{name}:\s+(\d+)", text, re.M)
    return int(kilobytes[1]) * 1024 if kilobytes else 0


def _left_in_groups(proc: Path, root: Path) -> Iterator[float]:
    """Bytes left under the limit of each control group and its parents."""
    for folder, limit, usage in _groups(proc, root):
        while folder != folder.parent and root in (folder, *folder.parents):
            yield _number(folder / limit) - _used(folder, usage)
            folder = folder.parent


def _groups(proc: Path, root: Path) -> Iterator[Tuple[Path, str, str]]:
    """Folders of this process's groups, with the files of limit and usage."""
    groups = proc / "self/cgroup"
    text = groups.read_text("utf-8") if groups.is_file() else ""
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        path = path.lstrip("/")
        if controllers == "":  # version 2
            yield root / path, "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            folder = root / "memory" / path
            yield folder, "memory.limit_in_bytes", "memory.usage_in_bytes"


def _used(folder: Path, usage: str) -> float:
    """Bytes in use, without cached files that the kernel can drop."""
    used, stat = _number(folder / usage), folder / "memory.stat"
    words = stat.read_text("utf-8").split() if stat.is_file() else []
    sizes = dict(zip(words[::2], words[1::2]))
    dropped = sizes.get("total_inactive_file", sizes.get("inactive_file", 0))
    return 0 if used == float("inf") else used - int(dropped)


def _number(path: Path) -> float:
    """Read the number in a file; infinite if absent or ``max``."""
    try:
        return float(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return float("inf")


def keep_freed_memory() -> bool:
    """Keep the memory that tensors on the CPU free; return whether it is kept.

    By default the C library returns large blocks to the system at once and
    gets them back page by page, each filled with zeros, which takes a seventh
    of the processor time of a step at width 64. Results do not change.
    """
    return _set_malloc(mmap_max=0, trim_threshold=-1)


def return_freed_memory() -> bool:
    """Undo ``keep_freed_memory``: less memory, more time."""
    # The C library's defaults.
    return _set_malloc(mmap_max=65536, trim_threshold=128 * 1024)


def _set_malloc(mmap_max: int, trim_threshold: int) -> bool:
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt  # numbers of parameters: see mallopt(3)
    return bool(mallopt(-4, mmap_max) and mallopt(-1, trim_threshold))
