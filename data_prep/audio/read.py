"""Decode recordings to mono samples at one rate."""

from functools import lru_cache

import torch
from speechbrain.dataio import audio_io
from torchaudio.transforms import Resample


def read_mono(
    path: str, start: float, stop: float, sample_rate: int
) -> torch.Tensor:
    """Decode a file from ``start`` to ``stop`` (seconds), mix its channels and
    resample: ``[samples]``.
    """
    rate = audio_io.info(path).sample_rate
    offset = round(start * rate)
    sig, _ = audio_io.load(
        path,
        frame_offset=offset,
        num_frames=round(stop * rate) - offset,
    )
    return resampled(sig.mean(dim=0), rate, sample_rate)


def resampled(sig: torch.Tensor, rate: int, new_rate: int) -> torch.Tensor:
    """Resample ``[samples]`` to ``[samples * new_rate / rate]``."""
    return sig if rate == new_rate else _resampler(rate, new_rate)(sig)


@lru_cache(maxsize=None)
def _resampler(rate: int, new_rate: int) -> Resample:
    """Resampler of a pair of rates; making one takes longer than using it."""
    return Resample(rate, new_rate)
