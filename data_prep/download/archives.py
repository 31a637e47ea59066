"""Unpack archives that came from elsewhere: nothing is written outside the
folder, links and devices are refused, an interrupted one resumes."""

import bisect
import gzip
import io
import os
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from contextlib import ExitStack
from functools import partial
from glob import escape
from itertools import accumulate
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO, Callable, Iterator, List, NamedTuple, Sequence

from tqdm import tqdm

from data_prep.files.atomic import make_folder, named_in_errors
from data_prep.files.errors import InputError, require

TAR = (".tar.gz", ".tgz", ".tar")
#: Bytes that an archive may unpack to: so many, and a multiple of its own.
_MOST_BYTES, _MOST_RATIO = 10**9, 50
_DAMAGED = (
    *(zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error),
    *(EOFError, RuntimeError, NotImplementedError, struct.error),
)


_CURE = "do not use this archive, and tell those who made it"


class Member(NamedTuple):
    """A file in an archive."""

    name: str
    size: int
    is_plain: bool  #: neither a link nor a device
    opened: Callable[[], BinaryIO]


def unpack(path: Path, out: Path, marker: Path) -> None:
    """Unpack an archive into a folder; copy what is not one. The marker is an
    empty file that says that all of it is there."""
    make_folder(out)
    try:
        if path.name.endswith(TAR):
            _write_all(path, _in_tar(path), out)
        elif path.suffix == ".zip":
            _write_all(path, _in_zip(path), out)
        else:
            shutil.copyfile(path, out / path.name)
    except _DAMAGED as error:
        cure = "delete it, then run the same command again"
        if "multiple disks" in str(error):
            cure = (
                f"unpack it by hand into {out}, as 7z x {path} does, and create "
                f"the empty file {marker}"
            )
        raise InputError(f"{path} cannot be unpacked ({error}); {cure}")
    if hasattr(os, "sync"):
        os.sync()  # a marker after a power cut must not be all that is left
    marker.touch()


def is_rest_of_split(name: str) -> bool:
    """Check for a part of a split archive (``x.z01``) that ``x.zip`` ends."""
    suffix = PurePosixPath(name).suffix
    return suffix[:2] == ".z" and suffix[2:].isdecimal()


def _write_all(path: Path, members: Iterator[Member], out: Path) -> None:
    bar = tqdm(members, desc=f"unpacking {path.name}", unit="file")
    left = _MOST_BYTES + _MOST_RATIO * path.stat().st_size
    for member in bar:
        left -= member.size
        require(left >= 0, f"{path} unpacks to more than any audio does", _CURE)
        target = out / _checked(path, member)
        if target.is_file() and target.stat().st_size == member.size:
            continue  # written before an interruption
        target.parent.mkdir(parents=True, exist_ok=True)
        half = target.with_name(f".{target.name}.partial")
        try:
            with named_in_errors(half), open(half, "wb") as file:
                with member.opened() as source:
                    shutil.copyfileobj(source, file, 1 << 20)
        except BaseException:
            half.unlink(missing_ok=True)
            raise
        os.replace(half, target)


def _checked(path: Path, member: Member) -> PurePosixPath:
    """Path of a member below the folder; refuse any other."""
    name = PurePosixPath(member.name.replace("\\", "/"))
    require(
        not name.is_absolute()
        and ".." not in name.parts
        and not PureWindowsPath(member.name).drive,
        f"{path} holds {member.name}, which leads out of the folder",
        _CURE,
    )
    require(
        bool(name.name) and member.name.isprintable(),
        f"{path} holds {member.name!r}, which is not the name of a file",
        _CURE,
    )
    require(
        member.is_plain,
        f"{path} holds {member.name}, which is a link or a device",
        _CURE,
    )
    return name


def _in_tar(path: Path) -> Iterator[Member]:
    with tarfile.open(path) as archive:
        for info in archive:
            if not info.isdir():
                opened = partial(archive.extractfile, info)
                yield Member(info.name, info.size, info.isfile(), opened)


def _in_zip(path: Path) -> Iterator[Member]:
    names = f"{escape(path.stem)}.z[0-9][0-9]"
    parts = [*sorted(path.parent.glob(names)), path]
    with ExitStack() as stack:
        files = [stack.enter_context(open(part, "rb")) for part in parts]
        joined = Joined(files)
        archive = stack.enter_context(zipfile.ZipFile(joined))
        for info in archive.infolist():
            if info.filename.endswith("/"):
                continue
            if len(parts) > 1:
                info = _in_the_whole(info, joined.starts)
            kind = stat.S_IFMT(info.external_attr >> 16)
            is_plain = kind in (0, stat.S_IFREG)
            opened = partial(archive.open, info)
            yield Member(info.filename, info.file_size, is_plain, opened)


def _in_the_whole(info: zipfile.ZipInfo, starts: List[int]) -> zipfile.ZipInfo:
    """Member of a split archive, at its place in the joined parts: its offset
    counts from its part, and zipfile takes it to count from the last one."""
    whole = zipfile.ZipInfo(info.filename, info.date_time)
    for name in (
        *("orig_filename", "compress_type", "compress_size", "file_size"),
        *("CRC", "flag_bits", "external_attr"),
    ):
        setattr(whole, name, getattr(info, name))
    whole.header_offset = info.header_offset + starts[info.volume] - starts[-1]
    return whole


class Joined(io.RawIOBase):
    """Open files, one after the other, as one."""

    def __init__(self, files: Sequence[BinaryIO]):
        sizes = [file.seek(0, os.SEEK_END) for file in files]
        ends = [*accumulate(sizes)]
        self._files, self._at, self._size = files, 0, ends[-1]
        self.starts = [0, *ends[:-1]]  #: of each file in the whole

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that it can be read from anywhere."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a byte of the whole."""
        begin = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}
        self._at = max(0, begin[whence] + offset)
        return self._at

    def read(self, n_bytes: int = -1) -> bytes:
        """Read so many bytes across the ends of files, or up to the last."""
        left = self._size - self._at if n_bytes < 0 else n_bytes
        blocks = []
        while left > 0 and self._at < self._size:
            i = bisect.bisect_right(self.starts, self._at) - 1
            self._files[i].seek(self._at - self.starts[i])
            blocks.append(self._files[i].read(left))
            if not blocks[-1]:
                raise EOFError("a part is cut short")
            self._at += len(blocks[-1])
            left -= len(blocks[-1])
        return b"".join(blocks)

    def tell(self) -> int:
        """Byte of the whole that is read next."""
        return self._at
