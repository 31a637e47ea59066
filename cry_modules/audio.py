"""Recordings as the models hear them: mono, one rate, one level.

Authors
 * The contributors of cry-ssl 2026
"""

from functools import lru_cache

import torch
from speechbrain.dataio import audio_io
from torchaudio.transforms import Resample

from cry_modules.cnn14 import MIN_FRAMES

#: Peak to which the paper's code scales each recording before cropping.
PEAK = 0.9


class RecordingReader:
    """Read (part of) a recording as mono samples at one rate and peak.

    Decoded recordings are kept in memory until ``cache_mb`` is full, since a
    few hundred of them are read in every epoch; what does not fit is read
    anew. Each loader worker has a cache of its own.

    Arguments
    ---------
    sample_rate : int
        Hz of the samples returned; files of any rate are resampled.
    cache_mb : float
        Memory for decoded recordings, in megabytes.

    Example
    -------
    >>> import soundfile
    >>> path = str(getfixture("tmpdir").join("a.wav"))
    >>> soundfile.write(path, [[0.1, 0.3]] * 800, samplerate=8000)
    >>> sig = RecordingReader(sample_rate=16000)(path, start=0.0, stop=0.05)
    >>> sig.shape, round(sig.abs().max().item(), 3)
    (torch.Size([800]), 0.9)
    """

    def __init__(self, sample_rate: int = 16000, cache_mb: float = 0):
        self.sample_rate = sample_rate
        self._free = int(cache_mb * 1e6)
        self._cache = {}

    def __call__(self, path: str, start: float, stop: float) -> torch.Tensor:
        """Arguments
        ---------
        path : str
            WAV, FLAC, OGG or MP3.
        start : float
            Seconds.
        stop : float
            Seconds.

        Returns
        -------
        torch.Tensor
            ``[samples]``, float32, peak 0.9 (silence stays silence).
        """
        key = (path, start, stop)
        if key in self._cache:
            return self._cache[key]
        sig = self._read(path, start, stop)
        size = sig.numel() * sig.element_size()
        if size <= self._free:
            self._free -= size
            self._cache[key] = sig
        return sig

    def _read(self, path, start, stop):
        rate = audio_io.info(path).sample_rate
        offset = round(start * rate)
        sig, _ = audio_io.load(
            path,
            frame_offset=offset,
            num_frames=round(stop * rate) - offset,
        )
        sig = sig.mean(dim=0)
        if rate != self.sample_rate:
            sig = _resampler(rate, self.sample_rate)(sig)
        peak = sig.abs().max()
        return sig * (PEAK / peak) if peak > 0 else sig


@lru_cache(maxsize=None)
def _resampler(rate: int, new_rate: int) -> Resample:
    """One filter for each pair of rates: making it costs more than using it."""
    return Resample(rate, new_rate)


def repeat_to(sig: torch.Tensor, n_samples: int) -> torch.Tensor:
    """Repeat a short recording until it has ``n_samples``; leave a long one.

    Repetition instead of zeros: silence of our making would be what a short
    recording's two views have in common.

    Arguments
    ---------
    sig : torch.Tensor
        ``[samples]``, not empty.
    n_samples : int
        Samples wanted.

    Returns
    -------
    torch.Tensor
        ``[max(samples, n_samples)]``.

    Example
    -------
    >>> repeat_to(torch.tensor([1, 2, 3]), 5)
    tensor([1, 2, 3, 1, 2])
    """
    if len(sig) >= n_samples:
        return sig
    return sig.repeat(-(-n_samples // len(sig)))[:n_samples]


def shortest_input(sample_rate: int = 16000, hop_ms: float = 10) -> int:
    """Samples that the encoder's five poolings need at the least.

    Arguments
    ---------
    sample_rate : int
        Hz.
    hop_ms : float
        Hop of the features in milliseconds.

    Returns
    -------
    int

    Example
    -------
    >>> shortest_input()
    4960
    """
    return (MIN_FRAMES - 1) * round(sample_rate * hop_ms / 1000)
