"""Decode audio files to mono samples of their rate, in bounded memory."""

import os
from contextlib import contextmanager
from io import FileIO
from typing import Iterable, Iterator, Optional, Tuple

import numpy as np
import soundfile

from data_prep.audio.headers import TO_THE_END, sample_bytes

#: Longer recordings are read in parts, so that memory is bounded; seconds.
LONGEST_S = 120.0
#: Plausible sample rates of recordings, Hz.
RATES = (4000, 192000)
_BLOCK = 1 << 18  # samples of all channels, decoded at once


class NotAFile(soundfile.LibsndfileError):
    """A pipe or a device, which libsndfile would wait for; or a folder."""

    error_string = "it is a pipe, a device or a folder, not a file"


@contextmanager
def open_audio(path: str) -> Iterator[soundfile.SoundFile]:
    """Open an audio file; where a recorder that lost its power left a length
    of zero in the header, up to the end of the file."""
    path = os.path.abspath(path)  # a file called "-" is not standard input
    if os.path.exists(path) and not os.path.isfile(path):
        raise NotAFile(1)
    with soundfile.SoundFile(path) as file:
        lengths = None if file.frames else sample_bytes(path)
        if lengths is None or not lengths.is_unknown:
            yield file
            return
    length = TO_THE_END
    if lengths.width == 8:
        length = lengths.present.to_bytes(8, "little")
    with _Patched(path, lengths.field, length) as patched:
        with soundfile.SoundFile(patched) as file:
            yield file


def require_plausible(file: soundfile.SoundFile) -> None:
    """Raise ``RuntimeError`` for a rate that no recording has: resampling, and
    the length in seconds, would follow a damaged header."""
    if not RATES[0] <= file.samplerate <= RATES[1]:
        raise RuntimeError(f"a sample rate of {file.samplerate} Hz")


class _Patched(FileIO):
    """A file that reads as if it held other bytes at an offset."""

    def __init__(self, path: str, offset: int, patch: bytes):
        super().__init__(path)
        self._patch = offset, patch

    def readinto(self, buffer) -> int:
        """Read the next bytes into a buffer."""
        begin = self.tell()
        n_read = super().readinto(buffer)
        offset, patch = self._patch
        for place, byte in enumerate(patch, start=offset - begin):
            if 0 <= place < n_read:
                buffer[place : place + 1] = bytes([byte])
        return n_read


def read_mixed(
    file: soundfile.SoundFile, n_frames: int, channel: Optional[int] = None
) -> np.ndarray:
    """Read the next samples of an open file as mono ``[samples]``: all channels
    mixed, or one of them, the first is 0.

    Channels are mixed block by block: a file with many of them is never in
    memory as a whole.
    """
    sig, n_read = np.empty(n_frames, np.float32), 0
    at_once = max(1, _BLOCK // file.channels)
    while n_read < n_frames:
        size = min(at_once, n_frames - n_read)
        block = file.read(size, "float32", always_2d=True)
        if not len(block):
            break
        mono = _mean(block) if channel is None else block[:, channel]
        sig[n_read : n_read + len(block)] = mono
        n_read += len(block)
    return sig[:n_read]


def _mean(block: np.ndarray) -> np.ndarray:
    """Mean of the channels ``[frames, channels]``."""
    n_channels = block.shape[1]
    if n_channels > 7:
        return block.mean(axis=1)
    # The same sums; numpy takes three times as long for a few columns.
    mono = block[:, 0]
    for channel in range(1, n_channels):
        mono = mono + block[:, channel]
    return mono if n_channels == 1 else mono / np.float32(n_channels)


def mixed_windows(
    path: str,
    spans: Iterable[Tuple[float, float]],
    channel: Optional[int] = None,
) -> Iterator[Tuple[np.ndarray, int]]:
    """Yield windows of a file as mono ``[samples]`` (see ``read_mixed``),
    shorter where the file ends, and its rate.

    ``spans`` are start and end in seconds, in the order of time. Samples that
    two successive windows share are decoded once.
    """
    with open_audio(path) as file:
        require_plausible(file)
        rate = file.samplerate
        which = () if channel is None else (channel,)
        sig, begin = np.empty(0, np.float32), 0
        for start, stop in spans:
            first = min(round(start * rate), file.frames)
            end = round(stop * rate)
            is_shared = begin <= first < begin + len(sig) <= end
            sig = sig[first - begin :] if is_shared else sig[:0]
            if first + len(sig) != file.tell():
                file.seek(first + len(sig))
            n_frames = end - first - len(sig)
            new = read_mixed(file, n_frames, *which)
            sig, begin = np.concatenate([sig, new]) if len(sig) else new, first
            yield sig, rate


def read_frames(path: str, first: int, n_frames: int) -> np.ndarray:
    """Read samples of a file from a first one on, as mono ``[samples]``."""
    with open_audio(path) as file:
        file.seek(first)
        return read_mixed(file, n_frames)
