"""Windows of a recording, read in bounded memory."""

from itertools import islice
from typing import Iterable, Iterator, List, Tuple

import numpy as np
import soundfile
import torch

from data_prep.audio.read import resampled

_BLOCK = 1 << 18  # samples of a channel, decoded at once


def sliding(length: int, size: int, hop: int) -> List[int]:
    """Start indices of windows that are ``hop`` samples apart; the last window
    ends with the recording."""
    last = max(0, length - size)
    return [*range(0, last, hop), last]


def read_windows(
    path: str,
    spans: Iterable[Tuple[float, float]],
    sample_rate: int,
    gain: float = 1.0,
) -> Iterator[torch.Tensor]:
    """Yield windows of a file as ``[samples]``: mono, resampled, amplified,
    shorter where the file ends.

    ``spans`` are start and end in seconds, in the order of time.
    """
    with soundfile.SoundFile(path) as file:
        rate = file.samplerate
        for start, stop in spans:
            first = min(round(start * rate), file.frames)
            if first != file.tell():
                file.seek(first)
            sig = read_mixed(file, round(stop * rate) - first)
            yield resampled(sig * gain, rate, sample_rate)


def read_mixed(file: soundfile.SoundFile, n_frames: int) -> torch.Tensor:
    """Read the next samples of an open file as mono ``[samples]``.

    Channels are mixed block by block: a file with many of them is never in
    memory as a whole.
    """
    sig, n_read = np.empty(n_frames, np.float32), 0
    while n_read < n_frames:
        size = min(_BLOCK, n_frames - n_read)
        block = file.read(size, "float32", always_2d=True)
        if not len(block):
            break
        sig[n_read : n_read + len(block)] = block.mean(axis=1)
        n_read += len(block)
    return torch.from_numpy(sig[:n_read])


def level_dbfs(sig: torch.Tensor) -> float:
    """Root mean square of ``[samples]``, dB of full scale."""
    power = sig.double().square().mean().item() if len(sig) else 0.0
    return float(10 * np.log10(power)) if power > 0 else float("-inf")


def batches(
    windows: Iterable[torch.Tensor], size: int
) -> Iterator[List[torch.Tensor]]:
    """Group windows into lists of up to ``size``."""
    windows = iter(windows)
    return iter(lambda: list(islice(windows, size)), [])
