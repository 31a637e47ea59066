"""Read recordings as mono samples at one rate, whole or in parts."""

from functools import lru_cache
from typing import Iterator, Tuple

import numpy as np
import torch
from torch.nn.functional import pad
from torchaudio.transforms import Resample

from data_prep.audio.decode import (
    mixed_windows,
    open_audio,
    read_frames,
    require_plausible,
)
from data_prep.audio.resample import is_odd, reach, reduced, resample

#: Output samples that a row of a matrix product has at least: with 16 to 64 it
#: was fastest from 48 to 16 kHz.
_AT_ONCE = 32


def resampled(sig: torch.Tensor, rate: int, new_rate: int) -> torch.Tensor:
    """Resample ``[samples]`` to ``[samples * new_rate / rate]``, as torchaudio
    does, in a half to a third of its time: as a matrix product in place of a
    convolution with few channels."""
    if rate == new_rate:
        return sig
    old, new = reduced(rate, new_rate)
    if is_odd(old, new):
        return torch.from_numpy(resample(sig.numpy(), rate, new_rate))
    weights, step, n_before = _filters(rate, new_rate)
    n_taps, at_once = weights.shape
    length = -(-len(sig) * new // old)
    n_rows = -(-length // at_once)
    n_after = (n_rows - 1) * step + n_taps - n_before - len(sig)
    padded = pad(sig, (n_before, max(0, n_after)))
    rows = padded.as_strided((n_rows, n_taps), (step, 1))
    return (rows @ weights).flatten()[:length]


@lru_cache(maxsize=16)
def _filters(rate: int, new_rate: int) -> Tuple[torch.Tensor, int, int]:
    """Weights ``[taps, output samples]`` of torchaudio's filter for some periods
    at once; input samples of these, and of the filter before the first."""
    made = Resample(rate, new_rate)  # takes longer than using it
    old, new = reduced(rate, new_rate)
    n_taps, n_periods = made.kernel.shape[-1], -(-_AT_ONCE // new)
    weights = torch.zeros(n_periods, new, (n_periods - 1) * old + n_taps)
    for i in range(n_periods):
        weights[i, :, i * old : i * old + n_taps] = made.kernel[:, 0]
    return weights.flatten(0, 1).T.contiguous(), n_periods * old, made.width


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
    """

    def __init__(self, path: str, start: float, stop: float, sample_rate: int):
        with open_audio(path) as file:
            require_plausible(file)
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
        n_frames = max(0, last - first)
        sig = read_frames(self.path, self.first + first, n_frames)
        sig = resampled(torch.from_numpy(sig), self.rate, self.sample_rate)
        return sig[begin - n_before * new : end - n_before * new].numpy()

    def blocks(self, size: int) -> Iterator[np.ndarray]:
        """Yield all samples, up to ``size`` at once."""
        for begin in range(0, len(self), size):
            yield self[begin : begin + size]
