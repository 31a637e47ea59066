"""The part of a recording that is played, as a WAV file read in parts."""

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Iterator, Optional, Tuple

import numpy as np

from cry_modules.audio import PEAK
from data_prep.audio.decode import open_audio, read_mixed
from data_prep.audio.measure import UNCUT_S
from data_prep.files.errors import InputError, require

_HEADER = 44  # bytes
_BLOCK = 1 << 16  # samples, decoded at once


@dataclass(frozen=True)
class Clip:
    """The window of an audio file that is played."""

    path: str
    rate: int  #: Hz
    first: int  #: sample
    n_frames: int
    seconds: float  #: length of the whole file
    channel: Optional[int] = None  #: the first is 1; None: all, mixed

    @property
    def start_s(self) -> float:
        """Begin of the window in the file, seconds."""
        return self.first / self.rate

    @property
    def duration_s(self) -> float:
        """Length of the window, seconds."""
        return self.n_frames / self.rate

    @property
    def n_bytes(self) -> int:
        """Size of the WAV file."""
        return _HEADER + 2 * self.n_frames

    def read(self, begin: int, end: int) -> Iterator[bytes]:
        """Yield the bytes of the WAV file from `begin` to `end`, in bounded
        memory: mono, 16 bits, scaled to one peak."""
        if begin < _HEADER:
            yield self._header()[begin:end]
        first = max(0, (begin - _HEADER) // 2)
        last = -(-max(0, end - _HEADER) // 2)
        offset = _HEADER + 2 * first
        gain = _gain(self)
        for sig in self._blocks(first, last):
            sig = np.clip(np.rint(sig * (32767 * gain)), -32768, 32767)
            data = sig.astype("<i2").tobytes()
            yield data[max(0, begin - offset) : max(0, end - offset)]
            offset += len(data)

    def _blocks(self, first: int, last: int) -> Iterator[np.ndarray]:
        """Yield samples of the window; zeros where the file ends before its
        header says."""
        if first >= last:
            return
        channel = None if self.channel is None else self.channel - 1
        with open_audio(self.path) as file:
            file.seek(self.first + first)
            for begin in range(first, last, _BLOCK):
                n_frames = min(_BLOCK, last - begin)
                sig = np.nan_to_num(read_mixed(file, n_frames, channel))
                yield np.pad(sig, (0, n_frames - len(sig)))

    def _header(self) -> bytes:
        size = 2 * self.n_frames
        kind = struct.pack("<HHIIHH", 1, 1, self.rate, 2 * self.rate, 2, 16)
        return (
            b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt "
            + struct.pack("<I", 16) + kind + b"data" + struct.pack("<I", size)
        )  # fmt: skip


@lru_cache(maxsize=64)
def _gain(clip: Clip) -> float:
    """Factor that brings the loudest sample of a window to ``PEAK``."""
    blocks = clip._blocks(0, clip.n_frames)
    peak = max((float(np.abs(sig).max()) for sig in blocks), default=0.0)
    return PEAK / peak if peak > 0 else 1.0


@lru_cache(maxsize=256)
def make_clip(
    path: str,
    span: Optional[Tuple[float, float]],
    around_s: float,
    channel: Optional[int] = None,
) -> Clip:
    """The window of a recording, or of an event with some seconds around it;
    the first ten minutes of a longer one."""
    try:
        with open_audio(path) as file:
            rate, n_frames = file.samplerate, file.frames
            n_channels = file.channels
    except TypeError:  # soundfile needs a sample rate for x.raw
        raise InputError("the file has samples without a header; exclude it")
    seconds = n_frames / rate
    require(n_frames > 0, "the file holds no samples", "exclude it")
    require(
        channel is None or channel <= n_channels,
        f"the event is of channel {channel}, and the recording has "
        f"{n_channels}",
        "exclude it",
    )
    start, stop = 0.0, seconds
    if span is not None:
        require(
            span[0] < seconds,
            f"the event begins at {span[0]:.2f} s, and the recording has "
            f"{seconds:.2f} s",
            "exclude it",
        )
        start = max(0.0, span[0] - around_s)
        stop = min(seconds, span[1] + around_s)
    stop = min(stop, start + UNCUT_S)
    first = min(int(start * rate), n_frames - 1)
    n_frames = max(1, round(stop * rate) - first)
    return Clip(path, rate, first, n_frames, seconds, channel)
