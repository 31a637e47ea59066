"""Recordings as the models hear them: mono, one rate, one level."""

import os
from pathlib import Path
from typing import Optional, Tuple

import numpy as np
import torch

from cry_modules.lengths import MIN_FRAMES
from data_prep.audio.packs import Pack, Stored, pack_at
from data_prep.audio.read import read_mono, resampled
from data_prep.files.errors import InputError

#: Peak to which the paper's code scales each recording before cropping.
PEAK = 0.9


class RecordingReader:
    """Read (part of) a recording as mono samples at one rate and peak, from
    its file or from the pack that took the file's place (data_prep/pack.py).

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
        self._packs = {}

    def __call__(self, path: str, start: float, stop: float) -> torch.Tensor:
        """Arguments
        ---------
        path : str
            WAV, FLAC, OGG or MP3, in a folder or in a pack.
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

    def open(self, path: str, start: float, stop: float) -> "Sound":
        """The recording as it is kept, of which chunks will be cut: of one in
        a pack, no more than these is read.

        Arguments
        ---------
        path : str
            WAV, FLAC, OGG or MP3, in a folder or in a pack.
        start : float
            Seconds.
        stop : float
            Seconds.

        Returns
        -------
        Sound
            Times its gain it is what a call returns.
        """
        stored = self._stored(path, start, stop)
        if stored is None:
            return Sound(self(path, start, stop).numpy())
        return packed_sound(stored)

    def _read(self, path, start, stop):
        stored = self._stored(path, start, stop)
        if stored is not None:
            sound = packed_sound(stored)
            return sound[:] * sound.gain
        sig = read_mono(path, start, stop, self.sample_rate)
        return sig * _gain(sig.abs().max().item())

    def _stored(self, path, start, stop):
        """What a pack has of it; None where it is to be decoded."""
        folder, name = os.path.split(path)
        if folder not in self._packs:
            self._packs[folder] = self.pack_of(folder)
        pack, below = self._packs[folder]
        if pack is None:
            return None
        stored = pack.stored(f"{below}/{name}", start, stop)
        if stored is None and not os.path.isfile(path):
            raise InputError(
                f"{path} is not in {pack.folder}, nor a file; prepare the "
                "manifests from the pack"
            )
        return stored

    def pack_of(self, folder: str) -> Tuple[Optional[Pack], str]:
        """The pack that a folder of recordings lies in.

        Arguments
        ---------
        folder : str
            The data folder, or one below it.

        Returns
        -------
        pack : Pack or None
            None for a folder of files.
        below : str
            The folder, relative to the pack.

        Raises
        ------
        InputError
            The pack is not whole, or of another rate.
        """
        for root in (Path(folder), *Path(folder).parents):
            pack = pack_at(root)
            if pack is None:
                continue
            if pack.rate != self.sample_rate:
                raise InputError(
                    f"{root} is a pack of {pack.rate} Hz and the models hear "
                    f"{self.sample_rate} Hz; pack again with --rate "
                    f"{self.sample_rate}"
                )
            return pack, Path(folder).relative_to(root).as_posix()
        return None, ""


class Sound:
    """(Part of) a recording as it is kept, copied where it is sliced.

    Shapes: samples ``[samples]``.

    Example
    -------
    >>> sound = Sound(np.array([0, 50, -100, 25], dtype=np.int16), gain=0.009)
    >>> len(sound), sound[1:3], sound[1:3] * sound.gain
    (4, tensor([  50, -100], dtype=torch.int16), tensor([ 0.4500, -0.9000]))
    """

    def __init__(self, samples: np.ndarray, gain: float = 1.0):
        self.samples = samples
        self.gain = gain

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, part: slice) -> torch.Tensor:
        return torch.from_numpy(self.samples[part].copy())


def packed_sound(stored: Stored) -> Sound:
    """The sound of what a pack has.

    Example
    -------
    >>> samples = np.array([0, -100], dtype=np.int16)
    >>> round(packed_sound(Stored(samples, scale=0.001, peak=None)).gain, 6)
    0.009
    """
    peak = stored.peak
    if peak is None:
        # The least 16-bit number has no positive one.
        peak = np.abs(stored.samples.astype(np.int32)).max() * stored.scale
    return Sound(stored.samples, stored.scale * _gain(float(peak)))


def _gain(peak: float) -> float:
    """What scales to the peak; silence stays silence."""
    return PEAK / peak if peak > 0 else 1.0


class AudioNormalizer:
    """What a ``RecordingReader`` does to a recording, for a waveform: where
    SpeechBrain's inference asks for an ``audio_normalizer``.

    Arguments
    ---------
    sample_rate : int
        Hz of the samples returned.
    shortest : int
        Samples that the encoder needs; a shorter recording is repeated.

    Example
    -------
    >>> normalizer = AudioNormalizer(16000, shortest=4960)
    >>> sig = normalizer(torch.rand(800, 2), 8000)
    >>> sig.shape, round(sig.abs().max().item(), 3)
    (torch.Size([4960]), 0.9)
    """

    def __init__(self, sample_rate: int, shortest: int):
        self.sample_rate = sample_rate
        self.shortest = shortest

    def __call__(self, audio: torch.Tensor, sample_rate: int) -> torch.Tensor:
        """Arguments
        ---------
        audio : torch.Tensor
            ``[samples]`` or ``[samples, channels]``.
        sample_rate : int
            Hz.

        Returns
        -------
        torch.Tensor
            ``[samples]``.
        """
        sig = audio if audio.dim() == 1 else audio.mean(dim=1)
        sig = resampled(sig, sample_rate, self.sample_rate)
        sig = sig * _gain(sig.abs().max().item())
        return repeat_to(sig, self.shortest)


def repeat_to(sig: torch.Tensor, n_samples: int) -> torch.Tensor:
    """Repeat a short recording until it has ``n_samples``; leave a long one.

    Repetition instead of zeros: silence of our making would be what a short
    recording's two views have in common.

    Arguments
    ---------
    sig : torch.Tensor or Sound
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
    return sig[:].repeat(-(-n_samples // len(sig)))[:n_samples]


def shortest_input(hop: int) -> int:
    """Samples that the encoder's five poolings need at the least.

    Arguments
    ---------
    hop : int
        Of the front end, samples.

    Returns
    -------
    int

    Example
    -------
    >>> shortest_input(hop=160)
    4960
    """
    return (MIN_FRAMES - 1) * hop
