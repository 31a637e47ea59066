"""Decode and resample recordings with numpy and soundfile only."""

import math
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Iterator

import numpy as np
import soundfile
from numpy.lib.stride_tricks import sliding_window_view

from cry_modules.lengths import covering
from data_prep.audio.measure import SHORTEST_S, SILENT_DBFS

#: Samples of a channel that are decoded at once.
_BLOCK = 1 << 18
#: Zero crossings of the resampling filter on each side, and its cut-off as a
#: share of half the lower rate: those of torchaudio, as in training.
_CROSSINGS, _ROLLOFF = 6, 0.99


class AudioError(Exception):
    """A recording has no scores; the message is the reason."""

    def __init__(self, reason: str, seconds: float = 0.0):
        super().__init__(reason)
        self.seconds = seconds


@dataclass
class Sound:
    """A decoded file: path, rate in Hz, samples a channel, and the peak of its
    mono mix."""

    path: str
    rate: int
    n_frames: int
    peak: float

    @property
    def seconds(self) -> float:
        """Duration."""
        return self.n_frames / self.rate


@contextmanager
def opened(path: str) -> Iterator[soundfile.SoundFile]:
    """Open a file to decode it.

    Example
    -------
    >>> with opened("no.wav"):
    ...     pass
    Traceback (most recent call last):
    ...
    cry_modules.export.onnx_audio.AudioError: unreadable: no such file
    """
    try:
        with soundfile.SoundFile(path) as file:
            yield file
    except (OSError, soundfile.SoundFileError, TypeError) as error:
        # TypeError: soundfile needs a rate for x.raw.
        raise AudioError(f"unreadable: {_reason(path, error)}")


def _reason(path, error) -> str:
    if not os.path.exists(path):
        return "no such file"
    if not os.path.isfile(path):
        return "no regular file"
    text = getattr(error, "error_string", None) or str(error)
    return " ".join(text.split()).replace("Error : ", "").rstrip(".")


def examine(path: str) -> Sound:
    """Decode a file block by block and check that it can be used."""
    n_frames, energy, peak = 0, 0.0, 0.0
    with opened(path) as file:
        rate, promised = file.samplerate, file.frames
        exact = file.format in ("WAV", "FLAC")  # other headers estimate
        while len(mono := read_mono(file, _BLOCK)):
            if not np.isfinite(mono).all():
                raise AudioError("not finite: samples are NaN or infinite")
            n_frames += len(mono)
            energy += float(np.square(mono, dtype=np.float64).sum())
            peak = max(peak, float(np.abs(mono).max()))
    sound = Sound(path, rate, n_frames, peak)
    level = decibels(energy / max(1, n_frames))
    reason = _rejection(sound, level, promised if exact else n_frames)
    if reason:
        raise AudioError(reason, sound.seconds)
    return sound


def _rejection(sound, level, promised) -> str:
    if sound.n_frames == 0:
        return "empty: a header and no samples"
    if sound.n_frames < promised:
        end = promised / sound.rate
        return f"truncated: {sound.seconds:.3f} of {end:.3f} s"
    if sound.seconds < SHORTEST_S:
        return f"too short: {sound.seconds:.3f} s"
    return f"silent: {level:.0f} dBFS" if level < SILENT_DBFS else ""


def read_mono(file: soundfile.SoundFile, n_frames: int) -> np.ndarray:
    """Read the next samples of an open file as mono ``[samples]``."""
    return file.read(n_frames, "float32", always_2d=True).mean(axis=1)


def decibels(power: float) -> float:
    """Level of a power, dB of full scale."""
    return 10 * math.log10(power) if power > 0 else float("-inf")


def resample(sig: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """Resample ``[samples]`` as torchaudio's ``Resample`` does by default: a
    sinc under a raised cosine, evaluated at each new sample.
    """
    if rate == new_rate:
        return sig
    divisor = math.gcd(rate, new_rate)
    old, new = rate // divisor, new_rate // divisor
    # Each of ``new`` output samples to ``old`` input samples has weights of
    # its own; they repeat.
    cutoff = _ROLLOFF * min(old, new)
    width = math.ceil(_CROSSINGS * old / cutoff)
    inputs = np.arange(-width, old + width) / old
    # In single precision, as torchaudio's.
    outputs = np.arange(new, dtype=np.float32)[:, None] / np.float32(new)
    crossings = ((inputs - outputs) * cutoff).clip(-_CROSSINGS, _CROSSINGS)
    fade = np.cos(crossings * (np.pi / 2 / _CROSSINGS)) ** 2
    weights = (np.sinc(crossings) * fade * cutoff / old).astype(np.float32)
    padded = np.pad(sig, (width, width + old))
    spans = sliding_window_view(padded, weights.shape[1])[::old]
    # Not a matrix product, which would start threads of its own.
    rows = np.einsum("ik,jk->ij", spans, weights)
    return rows.reshape(-1)[: -(-len(sig) * new // old)]


def repeat_to(sig: np.ndarray, n_samples: int) -> np.ndarray:
    """Repeat a short recording until it has ``n_samples``."""
    if len(sig) >= n_samples:
        return sig
    return np.tile(sig, -(-n_samples // len(sig)))[:n_samples]


def read_windows(
    sound: Sound, seconds: float, new_rate: int
) -> Iterator[np.ndarray]:
    """Yield windows ``[samples]`` that cover a recording, in order."""
    size, length = round(seconds * new_rate), round(sound.seconds * new_rate)
    with opened(sound.path) as file:
        for start in covering(length, size):
            stop = min(start + size, length) / new_rate
            first = min(round(start / new_rate * sound.rate), sound.n_frames)
            if first != file.tell():
                file.seek(first)
            block = read_mono(file, round(stop * sound.rate) - first)
            yield resample(block, sound.rate, new_rate)
