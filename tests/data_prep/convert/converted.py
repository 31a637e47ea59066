"""Files to convert, and the outputs of a conversion."""

import csv
import random
import struct
import subprocess

import pytest

from data_prep.convert import convert
from data_prep.files.errors import InputError


def rows(out, table="convert.csv"):
    with open(out / table, encoding="utf-8", newline="") as file:
        return {row["path"]: row for row in csv.DictReader(file)}


def ffmpeg(*arguments):
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *arguments]
    subprocess.run([str(part) for part in command], check=True)


def write_3gp(path, seconds, frames_per_packet=7):
    """Write random AMR frames, several per packet as phones do.

    ffmpeg writes one frame per packet; its tables of sizes, times and chunks
    are changed.
    """
    draw, n_packets = random.Random(1), round(seconds * 50 / frames_per_packet)
    n_frames = n_packets * frames_per_packet
    raw = path.with_suffix(".raw")
    frames = (b"\x3c" + draw.randbytes(31) for _ in range(n_frames))
    raw.write_bytes(b"#!AMR\n" + b"".join(frames))
    ffmpeg("-f", "amr", "-i", raw, "-c", "copy", path)
    raw.unlink()
    content = path.read_bytes()
    for kind, *entries in (
        (b"stsz", (32, n_frames), (32 * frames_per_packet, n_packets)),
        (b"stts", (1, n_frames, 160), (1, n_packets, 160 * frames_per_packet)),
        (b"stsc", (1, 1, n_frames), (1, 1, n_packets)),
    ):
        old, new = (struct.pack(f">4s{len(e)}I", bytes(4), *e) for e in entries)
        assert content.count(kind + old) == 1
        content = content.replace(kind + old, kind + new)
    path.write_bytes(content)


def refused(*parts, **arguments):
    with pytest.raises(InputError) as error:
        convert(**arguments)
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


def audio_in(folder):
    kinds = (".flac", ".wav")
    return sorted(p.name for p in folder.rglob("*") if p.suffix in kinds)
