"""Resample recordings: a sinc under a raised cosine, as torchaudio's default.

torchaudio holds a weight for each pair of an input and an output sample of a
period: 11127 to 16000 Hz takes 178 million, and 6 GB to compute them. Such
rates are resampled with the few weights of each output that are not zero.
"""

import math
from functools import lru_cache
from typing import Tuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

#: Zero crossings of the filter on each side, and its cut-off as a share of
#: half the lower rate: torchaudio's.
_CROSSINGS, _ROLLOFF = 6, 0.99
#: Most weights of a torchaudio filter; from 44100 to 16000 Hz it has 73,000.
_MOST_WEIGHTS = 1 << 20
_AT_ONCE = 1 << 20  # products of samples and weights


def reduced(rate: int, new_rate: int) -> Tuple[int, int]:
    """Samples of a period before and after resampling."""
    divisor = math.gcd(rate, new_rate)
    return rate // divisor, new_rate // divisor


def reach(old: int, new: int) -> int:
    """Samples on each side of an output sample that it depends on."""
    return math.ceil(_CROSSINGS * old / (_ROLLOFF * min(old, new)))


def is_odd(old: int, new: int) -> bool:
    """Check for rates whose torchaudio filter is too large."""
    return new * (old + 2 * reach(old, new)) > _MOST_WEIGHTS


def resample(sig: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """Resample ``[samples]`` without torch, in little memory at any rate."""
    if rate == new_rate:
        return sig
    old, new = reduced(rate, new_rate)
    weights, first = _filters(old, new)
    n_taps = weights.shape[1]
    spans = sliding_window_view(np.pad(sig, n_taps), n_taps)
    result = np.empty(-(-len(sig) * new // old), np.float32)
    size = max(1, _AT_ONCE // n_taps)
    for begin in range(0, len(result), size):
        period, phase = divmod(
            np.arange(begin, min(begin + size, len(result))), new
        )
        rows = spans[period * old + first[phase] + n_taps]
        # Not a matrix product, which would start threads of its own.
        result[begin : begin + size] = np.einsum(
            "ik,ik->i", rows, weights[phase]
        )
    return result


@lru_cache(maxsize=4)
def _filters(old: int, new: int) -> Tuple[np.ndarray, np.ndarray]:
    """Weights ``[new, taps]`` of the output samples of a period, and the first
    input sample ``[new]`` of each."""
    width = reach(old, new)
    # In single precision, as torchaudio's: of a long period that is too coarse.
    kind = np.float64 if is_odd(old, new) else np.float32
    times = np.arange(new, dtype=kind) / kind(new)
    first = np.arange(new) * old // new - width
    inputs = (first[:, None] + np.arange(2 * width + 2)) / old
    crossings = (inputs - times[:, None]) * (_ROLLOFF * min(old, new))
    crossings = crossings.clip(-_CROSSINGS, _CROSSINGS)
    fade = np.cos(crossings * (np.pi / 2 / _CROSSINGS)) ** 2
    scale = _ROLLOFF * min(old, new) / old
    return (np.sinc(crossings) * fade * scale).astype(np.float32), first
