"""Voice memos as phones write them: AMR-NB in 3gp, several frames per packet.

Debian's ffmpeg has no AMR encoder, and its muxers write one frame per packet.
"""

import random
import struct
from pathlib import Path
from typing import List

RATE = 8000
FRAME = 160  # samples: 20 ms
FRAME_TYPE_7 = 0x3C  # 12.2 kbit/s, frame is good
PAYLOAD = 31  # bytes after that header


def write_3gp(
    path: Path, seconds: float = 7.0, frames_per_packet: int = 7, seed: int = 1
) -> Path:
    """Write a .3gp file of random AMR frames, which sound like noise.

    The length is rounded to whole packets of `frames_per_packet` AMR frames.
    """
    rng = random.Random(seed)
    n_packets = round(seconds * RATE / FRAME / frames_per_packet)
    frames = b"".join(
        bytes([FRAME_TYPE_7]) + rng.getrandbits(8 * PAYLOAD).to_bytes(31, "big")
        for _ in range(n_packets * frames_per_packet)
    )
    ftyp = _box(b"ftyp", b"3gp4" + _words(0) + b"3gp4")
    # The offset of the audio depends on the length of moov.
    length = len(_moov(n_packets, frames_per_packet, 0))
    moov = _moov(n_packets, frames_per_packet, len(ftyp) + length + 8)
    path.write_bytes(ftyp + moov + _box(b"mdat", frames))
    return path


def _words(*values: int) -> bytes:
    return struct.pack(f">{len(values)}I", *values)


def _box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return _words(8 + len(body)) + kind + body


def _full(kind: bytes, *content: bytes, flags: int = 0) -> bytes:
    """Box that begins with version 0 and flags."""
    return _box(kind, _words(flags), *content)


def _moov(n_packets: int, frames_per_packet: int, offset: int) -> bytes:
    duration = n_packets * frames_per_packet * FRAME
    unity = _words(0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    mvhd = _full(
        b"mvhd",
        _words(0, 0, RATE, duration, 0x10000, 0x01000000, 0, 0),
        unity,
        _words(0, 0, 0, 0, 0, 0, 2),
    )
    tkhd = _full(
        b"tkhd",
        _words(0, 0, 1, 0, duration, 0, 0, 0, 0x01000000),
        unity,
        _words(0, 0),
        flags=7,
    )
    mdhd = _full(b"mdhd", _words(0, 0, RATE, duration, 0x55C40000))
    hdlr = _full(b"hdlr", _words(0), b"soun", _words(0, 0, 0), b"sound\0")
    dref = _full(b"dref", _words(1), _full(b"url ", flags=1))
    minf = _box(
        b"minf",
        _full(b"smhd", _words(0)),
        _box(b"dinf", dref),
        _box(b"stbl", *_tables(n_packets, frames_per_packet, offset)),
    )
    mdia = _box(b"mdia", mdhd, hdlr, minf)
    return _box(b"moov", mvhd, _box(b"trak", tkhd, mdia))


def _tables(n: int, frames_per_packet: int, offset: int) -> List[bytes]:
    damr = _box(
        b"damr", b"test", struct.pack(">BHBB", 0, 0x81FF, 0, frames_per_packet)
    )
    entry = struct.pack(">6xH8xHH4xHH", 1, 1, 16, RATE, 0)
    size = frames_per_packet * (1 + PAYLOAD)
    return [
        _full(b"stsd", _words(1), _box(b"samr", entry, damr)),
        _full(b"stts", _words(1, n, frames_per_packet * FRAME)),
        _full(b"stsc", _words(1, 1, n, 1)),
        _full(b"stsz", _words(size, n)),
        _full(b"stco", _words(1, offset)),
    ]
