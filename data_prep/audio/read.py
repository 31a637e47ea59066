"""Decode recordings to mono samples, in bounded memory."""

import os
from io import FileIO
from typing import Iterable, Iterator, Tuple

import numpy as np
import soundfile
import torch

from data_prep.audio.headers import TO_THE_END, sample_bytes
from data_prep.audio.resample import reach, reduced, resampled

#: Longer recordings are read in parts, so that memory is bounded; seconds.
LONGEST_S = 120.0
_BLOCK = 1 << 18  # samples of all channels, decoded at once


def open_audio(path: str) -> soundfile.SoundFile:
    """Open an audio file; where a recorder that lost its power left a length
    of zero in the header, up to the end of the file."""
    path = os.path.abspath(path)  # a file called "-" is not standard input
    file = soundfile.SoundFile(path)
    if file.frames:
        return file
    lengths = sample_bytes(path)
    if lengths is None or not lengths.is_unknown:
        return file
    file.close()
    length = TO_THE_END
    if lengths.width == 8:
        length = lengths.present.to_bytes(8, "little")
    return soundfile.SoundFile(_Patched(path, lengths.field, length))


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


def read_mixed(file: soundfile.SoundFile, n_frames: int) -> np.ndarray:
    """Read the next samples of an open file as mono ``[samples]``.

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
        mono = block[:, 0] if block.shape[1] == 1 else block.mean(axis=1)
        sig[n_read : n_read + len(block)] = mono
        n_read += len(block)
    return sig[:n_read]


def mixed_windows(
    path: str, spans: Iterable[Tuple[float, float]]
) -> Iterator[Tuple[np.ndarray, int]]:
    """Yield windows of a file as mono ``[samples]``, shorter where the file
    ends, and its rate.

    ``spans`` are start and end in seconds, in the order of time.
    """
    with open_audio(path) as file:
        rate = file.samplerate
        for start, stop in spans:
            first = min(round(start * rate), file.frames)
            if first != file.tell():
                file.seek(first)
            yield read_mixed(file, round(stop * rate) - first), rate


def read_mono(
    path: str, start: float, stop: float, sample_rate: int
) -> torch.Tensor:
    """Decode a file from ``start`` to ``stop`` (seconds), mix its channels and
    resample: ``[samples]``.
    """
    ((sig, rate),) = mixed_windows(path, [(start, stop)])
    return resampled(torch.from_numpy(sig), rate, sample_rate)


class MonoFile:
    """(Part of) a file as mono ``[samples]`` at one rate, decoded where it is
    sliced.

    Example
    -------
    >>> path = str(getfixture("tmpdir").join("a.wav"))
    >>> soundfile.write(path, [[0.25, 0.75]] * 800, samplerate=8000)
    >>> sound = MonoFile(path, 0.0, 0.05, sample_rate=16000)
    >>> len(sound), sound[300:302].round(2)
    (800, array([0.5, 0.5], dtype=float32))
    """

    def __init__(self, path: str, start: float, stop: float, sample_rate: int):
        with open_audio(path) as file:
            rate, end = file.samplerate, file.frames
        self.path, self.rate, self.sample_rate = path, rate, sample_rate
        self.first = min(round(start * rate), end)
        self.n_frames = min(round(stop * rate), end) - self.first
        self.period = reduced(rate, sample_rate)

    def __len__(self) -> int:
        old, new = self.period
        return -(-self.n_frames * new // old)

    def __getitem__(self, part: slice) -> np.ndarray:
        begin, end, _ = part.indices(len(self))
        old, new = self.period
        # From the beginning of a period, so that the filters are the same,
        # with all samples that the filter reaches.
        margin = reach(old, new) + 1 if old != new else 0
        n_before = max(0, begin // new - -(-margin // old))
        first = n_before * old
        last = min(self.n_frames, -(-end * old // new) + margin)
        with open_audio(self.path) as file:
            file.seek(self.first + first)
            sig = torch.from_numpy(read_mixed(file, max(0, last - first)))
        sig = resampled(sig, self.rate, self.sample_rate).numpy()
        return sig[begin - n_before * new : end - n_before * new]

    def blocks(self, size: int) -> Iterator[np.ndarray]:
        """Yield all samples, up to ``size`` at once."""
        for begin in range(0, len(self), size):
            yield self[begin : begin + size]
