"""Recordings as input of the models: mono, one sample rate, one peak."""

import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Optional, Tuple, Union

import numpy as np
import soundfile
import torch

from cry_modules.lengths import LONGEST_S, MIN_FRAMES, covering
from data_prep.audio.checksums import CHECKSUM_FILE, Checksums
from data_prep.audio.measure import SILENT_DBFS
from data_prep.audio.packs import Pack, Stored, pack_at
from data_prep.audio.read import MonoFile, read_mono, resampled
from data_prep.files.errors import InputError

#: Peak to which the paper's code scales each recording before cropping.
PEAK = 0.9
_BLOCK_S = 60  # of a long file, decoded at once to find its peak


class RecordingReader:
    """Read (part of) a recording as mono samples at one rate and peak, from
    its file or from the pack that replaces the file (data_prep/pack.py).

    Decoded recordings stay in memory until ``cache_mb`` is full: a few hundred
    are read in every epoch. Each loader worker has a separate cache.

    Arguments
    ---------
    sample_rate : int
        Sample rate in Hz; files of another rate are resampled.
    cache_mb : float
        Memory for decoded recordings in megabytes.

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
        self._size = self._free = int(cache_mb * 1e6)
        self._cache = {}
        self._packs = {}
        self._gains = {}  # of long files
        self._known = {}

    def __getstate__(self):
        """A loader worker that is not a fork starts with an empty cache."""
        return {**vars(self), "_cache": {}, "_free": self._size}

    def __call__(self, path: str, start: float, stop: float) -> torch.Tensor:
        """Read the samples from ``start`` to ``stop`` (seconds): ``[samples]``,
        float32, with peak 0.9 unless silent."""
        key = (path, start, stop)
        if key in self._cache:
            return self._cache[key]
        with _still_readable(path):
            sig = self._read(path, start, stop)
        size = sig.numel() * sig.element_size()
        if size <= self._free:
            self._free -= size
            self._cache[key] = sig
        return sig

    def open(self, path: str, start: float, stop: float) -> "Sound":
        """Open (part of) a recording as a ``Sound``, to cut chunks from it.

        Its samples times its gain equal the result of a call; from a pack or a
        long file, only the chunks are read, the latter after its peak was
        found.
        """
        stored = self._stored(path, start, stop)
        if stored is not None:
            return packed_sound(stored)
        if stop - start <= LONGEST_S:
            return Sound(self(path, start, stop).numpy())
        key = (path, start, stop)
        with _still_readable(path):
            file = MonoFile(path, start, stop, self.sample_rate)
            if key not in self._gains:
                blocks = file.blocks(_BLOCK_S * self.sample_rate)
                peak = max(np.abs(block).max() for block in blocks)
                self._gains[key] = _gain(float(peak))
        return Sound(file, self._gains[key])

    def model_input(
        self, path: str, start: float, stop: float, shortest: int
    ) -> Union[torch.Tensor, "LongRecording"]:
        """Read (part of) a recording, repeated up to ``shortest`` samples; above
        ``LONGEST_S``, return what reads its windows."""
        if stop - start > LONGEST_S:
            self._stored(path, start, stop)  # checks the file
            return LongRecording(path, start, stop, self.sample_rate)
        return repeat_to(self(path, start, stop), shortest)

    def expect(self, manifests: Path, root: str) -> None:
        """Refuse, from now on, files of a data folder that are not those of
        the manifests of a folder."""
        is_packed = pack_at(Path(root)) is not None  # checked by itself
        if not is_packed and (Path(manifests) / CHECKSUM_FILE).is_file():
            self._known[manifests, root] = Checksums(manifests, root)

    def _read(self, path, start, stop):
        stored = self._stored(path, start, stop)
        if stored is not None:
            sound = packed_sound(stored)
            return sound[:] * sound.gain
        sig = read_mono(path, start, stop, self.sample_rate)
        if not len(sig):
            raise OSError("it has no samples there")
        return sig * _gain(sig.abs().max().item())

    def _stored(self, path, start, stop):
        """Samples of a pack; None if the recording is a file."""
        folder, name = os.path.split(path)
        if folder not in self._packs:
            self._packs[folder] = self.pack_of(folder)
        pack, below = self._packs[folder]
        if pack is None:
            for known in self._known.values():
                known.check(path)
            return None
        stored = pack.stored(f"{below}/{name}", start, stop)
        if stored is None and not os.path.isfile(path):
            raise InputError(
                f"{path} is neither in {pack.folder} nor a file; prepare the "
                "manifests from the pack"
            )
        return stored

    def pack_of(self, folder: str) -> Tuple[Optional[Pack], str]:
        """Find the pack that holds a folder, and the folder's path in it.

        ``(None, "")`` for a folder of audio files; ``InputError`` for an
        incomplete pack, or one of another sample rate.
        """
        for root in (Path(folder), *Path(folder).parents):
            pack = pack_at(root)
            if pack is None:
                continue
            if pack.rate != self.sample_rate:
                raise InputError(
                    f"{root} is a pack of {pack.rate} Hz and the models need "
                    f"{self.sample_rate} Hz; pack again with --rate "
                    f"{self.sample_rate}"
                )
            return pack, Path(folder).relative_to(root).as_posix()
        return None, ""


@contextmanager
def _still_readable(path: str) -> Iterator[None]:
    """Explain in one line that a file cannot be read, perhaps since its audit."""
    try:
        yield
    except (soundfile.LibsndfileError, OSError) as error:
        reason = str(error).rpartition(": ")[2].rstrip(".")
        what, cure = "cannot be decoded", "restore it"
        if not os.path.exists(path):
            what, cure = "cannot be read any more", "bring it back"
        raise InputError(
            f"{path} {what} ({reason}); {cure}, then run the same command again"
        )


@dataclass
class LongRecording:
    """(Part of) a recording that is read window by window."""

    path: str
    start: float  #: seconds
    stop: float  #: seconds
    sample_rate: int  #: Hz

    def windows(self, n_samples: int) -> Iterator[torch.Tensor]:
        """Yield as few windows ``[n_samples]`` as cover the recording; those
        that are silent are left out unless all are."""
        reader = RecordingReader(self.sample_rate)
        sound = reader.open(self.path, self.start, self.stop)
        starts = covering(len(sound), n_samples)
        any_is_loud = False
        for at in starts:
            sig = sound[at : at + n_samples] * sound.gain
            if level_dbfs(sig) >= SILENT_DBFS:
                any_is_loud = True
                yield sig
        if not any_is_loud:
            yield from (
                sound[at : at + n_samples] * sound.gain for at in starts
            )


class Sound:
    """(Part of) a stored recording ``[samples]``; slices are copies.

    Example
    -------
    >>> sound = Sound(np.array([0, 50, -100, 25], dtype=np.int16), gain=0.009)
    >>> len(sound), sound[1:3], sound[1:3] * sound.gain
    (4, tensor([  50, -100], dtype=torch.int16), tensor([ 0.4500, -0.9000]))
    """

    def __init__(self, samples: Union[np.ndarray, MonoFile], gain: float = 1.0):
        self.samples = samples
        self.gain = gain

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, part: slice) -> torch.Tensor:
        return torch.from_numpy(self.samples[part].copy())


def packed_sound(stored: Stored) -> Sound:
    """Make a ``Sound`` of a pack's samples, with the gain to the common peak.

    Example
    -------
    >>> samples = np.array([0, -100], dtype=np.int16)
    >>> round(packed_sound(Stored(samples, scale=0.001, peak=None)).gain, 6)
    0.009
    """
    peak = stored.peak
    if peak is None:
        # Not the absolute values: that of the smallest int16 overflows.
        largest = max(int(stored.samples.max()), -int(stored.samples.min()))
        peak = largest * stored.scale
    return Sound(stored.samples, stored.scale * _gain(float(peak)))


def _gain(peak: float) -> float:
    """Factor that scales to the peak; 1 for silence."""
    return PEAK / peak if peak > 0 else 1.0


def level_dbfs(sig: torch.Tensor) -> float:
    """Root mean square of ``[samples]``, dB of full scale."""
    power = sig.double().square().mean().item() if len(sig) else 0.0
    return float(10 * np.log10(power)) if power > 0 else float("-inf")


class AudioNormalizer:
    """Prepare a waveform as ``RecordingReader`` prepares a recording: the
    ``audio_normalizer`` of SpeechBrain's inference classes.

    Arguments
    ---------
    sample_rate : int
        Sample rate in Hz of the result.
    shortest : int
        Fewest samples that the encoder accepts; shorter input is repeated.

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
        """``[samples]`` or ``[samples, channels]`` at ``sample_rate`` Hz to
        ``[samples]``."""
        sig = audio if audio.dim() == 1 else audio.mean(dim=1)
        sig = resampled(sig, sample_rate, self.sample_rate)
        sig = sig * _gain(sig.abs().max().item())
        return repeat_to(sig, self.shortest)


def repeat_to(sig: torch.Tensor, n_samples: int) -> torch.Tensor:
    """Repeat a recording up to ``n_samples``; longer ones stay unchanged.

    Not padded with zeros: artificial silence would be what the two views of a
    short recording have in common.

    Arguments
    ---------
    sig : torch.Tensor or Sound
        ``[samples]``, not empty.
    n_samples : int
        Smallest length of the result.

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
    """Fewest samples that the encoder accepts.

    Arguments
    ---------
    hop : int
        Hop of the front end in samples.

    Returns
    -------
    int

    Example
    -------
    >>> shortest_input(hop=160)
    4960
    """
    return (MIN_FRAMES - 1) * hop
