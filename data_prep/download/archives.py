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
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO, Callable, Iterator, List, NamedTuple, Sequence

from tqdm import tqdm

from data_prep.files.atomic import make_folder
from data_prep.files.errors import InputError, require

TAR = (".tar.gz", ".tgz", ".tar")
_DAMAGED = (
    *(zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error),
    *(EOFError, RuntimeError, NotImplementedError, struct.error),
)


class Member(NamedTuple):
    """A file in an archive."""

    name: str
    size: int
    is_plain: bool  #: neither a link nor a device
    open: Callable[[], BinaryIO]


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
    marker.touch()


def is_rest_of_split(name: str) -> bool:
    """Check for a part of a split archive (``x.z01``) that ``x.zip`` ends."""
    suffix = PurePosixPath(name).suffix
    return suffix[:2] == ".z" and suffix[2:].isdecimal()


def _write_all(path: Path, members: Iterator[Member], out: Path) -> None:
    bar = tqdm(members, desc=f"unpacking {path.name}", unit="file")
    for member in bar:
        target = out / _checked(path, member)
        if target.is_file() and target.stat().st_size == member.size:
            continue  # written before an interruption
        target.parent.mkdir(parents=True, exist_ok=True)
        half = target.with_name(f".{target.name}.partial")
        with member.open() as source, open(half, "wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
        os.replace(half, target)


def _checked(path: Path, member: Member) -> PurePosixPath:
    """Path of a member below the folder; refuse any other."""
    name = PurePosixPath(member.name.replace("\\", "/"))
    require(
        not name.is_absolute()
        and ".." not in name.parts
        and not PureWindowsPath(member.name).drive,
        f"{path} holds {member.name}, which leads out of the folder",
        "do not use this archive, and tell those who made it",
    )
    require(
        member.is_plain,
        f"{path} holds {member.name}, which is a link or a device",
        "do not use this archive, and tell those who made it",
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
    parts = sorted(path.parent.glob(names))
    with ExitStack() as stack:
        files = [stack.enter_context(open(p, "rb")) for p in (*parts, path)]
        joined = Joined(files)
        archive = stack.enter_context(zipfile.ZipFile(joined))
        for info in archive.infolist():
            if info.is_dir():
                continue
            opened = partial(archive.open, info)
            if parts:
                opened = partial(_in_split, joined, info)
            kind = stat.S_IFMT(info.external_attr >> 16)
            is_plain = kind in (0, stat.S_IFREG)
            yield Member(info.filename, info.file_size, is_plain, opened)


class Joined(io.RawIOBase):
    """Open files, one after the other, as one."""

    def __init__(self, files: Sequence[BinaryIO]):
        self._files, self._at = files, 0
        self.starts: List[int] = []  #: of each file in the whole
        self._size = 0
        for file in files:
            self.starts.append(self._size)
            self._size += file.seek(0, os.SEEK_END)

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

    def tell(self) -> int:
        """Byte of the whole that is read next."""
        return self._at

    def readinto(self, buffer) -> int:
        """Read from the file that holds the next byte."""
        i = bisect.bisect_right(self.starts, self._at) - 1
        self._files[i].seek(self._at - self.starts[i])
        n_read = self._files[i].readinto(buffer)
        if not n_read and i + 1 < len(self._files) and self._at < self._size:
            raise EOFError("a part is cut short")
        self._at += n_read
        return n_read


def _in_split(joined: Joined, info: zipfile.ZipInfo) -> BinaryIO:
    """Content of a member of a split archive, of a few megabytes.

    zipfile counts its offset from the last part, and it is from the member's.
    """
    begin = info.header_offset - joined.starts[-1] + joined.starts[info.volume]
    joined.seek(begin)
    header = _exactly(joined, 30)
    if header[:4] != b"PK\3\4":
        raise zipfile.BadZipFile(f"{info.filename} is not where it should be")
    joined.seek(begin + 30 + sum(struct.unpack("<HH", header[26:])))
    data = _exactly(joined, info.compress_size)
    if info.compress_type == zipfile.ZIP_DEFLATED:
        data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data)
    elif info.compress_type != zipfile.ZIP_STORED:
        raise NotImplementedError(f"compression {info.compress_type}")
    if zlib.crc32(data) != info.CRC:
        raise zipfile.BadZipFile(f"{info.filename} has another checksum")
    return io.BytesIO(data)


def _exactly(file: BinaryIO, n_bytes: int) -> bytes:
    """Read so many bytes, across the ends of parts."""
    blocks = []
    while n_bytes:
        block = file.read(n_bytes)
        if not block:
            raise EOFError("it is cut short")
        blocks.append(block)
        n_bytes -= len(block)
    return b"".join(blocks)
