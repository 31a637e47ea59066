"""Windows of a recording, read in bounded memory."""

from itertools import islice
from typing import Iterable, Iterator, List, Optional, Tuple

import torch

from data_prep.audio.decode import mixed_windows
from data_prep.audio.read import resampled


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
    channel: Optional[int] = None,
) -> Iterator[torch.Tensor]:
    """Yield windows of a file as ``[samples]``: mono (see ``read_mixed``),
    resampled, amplified, shorter where the file ends.

    ``spans`` are start and end in seconds, in the order of time.
    """
    for sig, rate in mixed_windows(path, spans, channel):
        yield resampled(torch.from_numpy(sig) * gain, rate, sample_rate)


def batches(
    windows: Iterable[torch.Tensor], size: int
) -> Iterator[List[torch.Tensor]]:
    """Group windows into lists of up to ``size``."""
    windows = iter(windows)
    return iter(lambda: list(islice(windows, size)), [])
