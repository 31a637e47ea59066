"""Windows of a recording, read in bounded memory."""

from typing import Iterable, Iterator, List, Tuple

import numpy as np
import soundfile
import torch

from data_prep.audio.read import resampled

_BLOCK = 1 << 18  # samples of a channel, decoded at once


def sliding(length: int, size: int, hop: int) -> List[int]:
    """First samples of windows that are a hop apart; the last window ends with
    the recording.
    """
    last = max(0, length - size)
    starts = list(range(0, last + 1, hop))
    return starts if starts[-1] == last else [*starts, last]


class WindowReader:
    """Read windows of a file one after the other: mono, resampled, amplified."""

    def __init__(self, path: str, sample_rate: int, gain: float = 1.0):
        self.path = path
        self.sample_rate = sample_rate
        self.gain = gain

    def __call__(
        self, spans: Iterable[Tuple[float, float]]
    ) -> Iterator[torch.Tensor]:
        """Yield each window as ``[samples]``, shorter where the file ends.

        ``spans`` are start and end in seconds, in the order of time.
        """
        with soundfile.SoundFile(self.path) as file:
            rate = file.samplerate
            for start, stop in spans:
                first = min(round(start * rate), file.frames)
                if first != file.tell():
                    file.seek(first)
                sig = read_mixed(file, round(stop * rate) - first)
                yield resampled(sig * self.gain, rate, self.sample_rate)


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
    batch = []
    for window in windows:
        batch.append(window)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
