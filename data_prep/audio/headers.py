"""Lengths of the samples that headers of uncompressed audio files state.

A recorder that loses its power leaves a header with a length of zero, or the
largest; a copy that is cut off leaves one with more samples than the file.
"""

import os
import struct
from typing import BinaryIO, Iterator, NamedTuple, Optional, Tuple

#: Lengths from here on mean that the recorder did not know the length.
STREAMED = 0x7FFFF000
#: Length that libsndfile takes as "up to the end of the file".
TO_THE_END = b"\xff" * 4


class SampleBytes(NamedTuple):
    """Bytes of samples that a header states, and that the file holds."""

    stated: int
    present: int
    field: int  #: offset of the stated length in the file
    width: int = 4  #: bytes of that field
    #: False if the samples are followed by bytes that are not a chunk
    is_followed: bool = True

    @property
    def is_unknown(self) -> bool:
        """True if the header does not state the length."""
        return (self.stated == 0 < self.present) or (
            self.stated >= STREAMED and self.present < self.stated
        )

    @property
    def is_truncated(self) -> bool:
        """True if the header states more than the file holds."""
        return self.present < self.stated and not self.is_unknown


def sample_bytes(path: str) -> Optional[SampleBytes]:
    """Read the length from the header of a WAV, RF64, W64, AIFF or AU file;
    None for other files."""
    with open(path, "rb") as file:
        begin = file.seek(after_tags(file))
        head = file.read(12)
        size = file.seek(0, os.SEEK_END)
        if head[:4] in (b"RIFF", b"RF64", b"BW64"):
            return _wav_samples(file, size, begin + 12)
        if head[:4] == b"riff":
            return _chunk_samples(file, size, begin + 40, b"data", "<16sQ", 24)
        if head[:4] == b"FORM":
            return _chunk_samples(file, size, begin + 12, b"SSND", ">4sI", 0, 8)
        if head[:4] == b".snd" and len(head) == 12:
            offset, stated = struct.unpack(">4xII", head)
            # A length of 0xFFFFFFFF is the format's own way to stream.
            if stated != 0xFFFFFFFF and begin + offset <= size:
                return SampleBytes(stated, size - begin - offset, begin + 8)
    return None


def after_tags(file: BinaryIO) -> int:
    """Offset of a file's content, after ID3 tags in front of it."""
    offset = 0
    while True:
        file.seek(offset)
        head = file.read(10)
        if len(head) < 10 or head[:3] != b"ID3" or max(head[6:]) > 127:
            return offset
        length = 0
        for byte in head[6:]:
            length = length << 7 | byte
        footer = 10 if head[5] & 0x10 else 0
        offset += 10 + length + footer


def _wav_samples(file, size: int, first: int) -> Optional[SampleBytes]:
    long, long_at = 0, 0
    for name, stated, begin in _chunks(file, size, first):
        if name == b"ds64" and begin + 16 <= size:
            file.seek(begin + 8)
            long, long_at = struct.unpack("<Q", file.read(8))[0], begin + 8
        if name != b"data":
            continue
        field, width = begin - 4, 4
        if long_at and stated == 0xFFFFFFFF:
            stated, field, width = long, long_at, 8
        end = begin + stated + stated % 2
        rest = [*_chunks(file, size, end)] if end < size else []
        # The last chunk ends with the file, or all of it is not a chunk.
        last = rest and rest[-1][2] + rest[-1][1]
        is_followed = end >= size or (bool(rest) and last >= size - 1)
        present = size - begin
        if not stated and is_followed:
            present = 0  # other chunks follow an empty one
        return SampleBytes(stated, present, field, width, is_followed)
    return None


def _chunk_samples(
    file, size, offset, name, header, counted, before=0
) -> Optional[SampleBytes]:
    """Find the chunk of samples, whose length counts some bytes more."""
    for chunk, stated, begin in _chunks(file, size, offset, header, counted):
        if chunk[:4] == name:
            width = 8 if counted else 4
            return SampleBytes(
                max(0, stated - before),
                max(0, size - begin - before),
                begin - width,
                width,
            )
    return None


def _chunks(
    file, size: int, offset: int, header: str = "<4sI", counted: int = 0
) -> Iterator[Tuple[bytes, int, int]]:
    """Yield name, length and first byte of the chunks from an offset on."""
    n_head, align = struct.calcsize(header), 8 if counted else 2
    while offset + n_head <= size:
        file.seek(offset)
        name, length = struct.unpack(header, file.read(n_head))
        if not all(32 <= byte < 127 for byte in name[:4]):
            return
        length = max(0, length - counted)
        yield name, length, offset + n_head
        offset += n_head + length + -length % align
