"""Read and resample recordings with numpy and soundfile only."""

import math
from typing import Iterator

import numpy as np
import soundfile
from numpy.lib.stride_tricks import sliding_window_view

from cry_modules.lengths import covering
from data_prep.audio.measure import Audit

#: Zero crossings of the resampling filter on each side, and its cut-off as a
#: share of half the lower rate: those of torchaudio, as in training.
_CROSSINGS, _ROLLOFF = 6, 0.99


def read_mono(file: soundfile.SoundFile, n_frames: int) -> np.ndarray:
    """Read the next samples of an open file as mono ``[samples]``."""
    return file.read(n_frames, "float32", always_2d=True).mean(axis=1)


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


def read_whole(audit: Audit, new_rate: int) -> np.ndarray:
    """Read a recording ``[samples]``."""
    with soundfile.SoundFile(audit.path) as file:
        sig = read_mono(file, round(audit.duration * audit.rate))
    return resample(sig, audit.rate, new_rate)


def read_windows(
    audit: Audit, seconds: float, new_rate: int
) -> Iterator[np.ndarray]:
    """Yield windows ``[samples]`` that cover a recording, in order."""
    size, length = round(seconds * new_rate), round(audit.duration * new_rate)
    n_frames = round(audit.duration * audit.rate)
    with soundfile.SoundFile(audit.path) as file:
        for start in covering(length, size):
            stop = min(start + size, length) / new_rate
            first = min(round(start / new_rate * audit.rate), n_frames)
            if first != file.tell():
                file.seek(first)
            block = read_mono(file, round(stop * audit.rate) - first)
            yield resample(block, audit.rate, new_rate)
