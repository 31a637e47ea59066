"""Read and resample recordings with numpy and soundfile only."""

from typing import Iterator, Sequence, Tuple

import numpy as np

from data_prep.audio.decode import mixed_windows
from data_prep.audio.measure import Audit
from data_prep.audio.resample import resample


def read_whole(audit: Audit, new_rate: int) -> np.ndarray:
    """Read a recording ``[samples]``."""
    ((sig, rate),) = mixed_windows(audit.path, [(0.0, audit.duration)])
    if not len(sig):
        raise OSError("the file no longer holds samples")
    return resample(sig, rate, new_rate)


def read_windows(
    audit: Audit, spans: Sequence[Tuple[float, float]], new_rate: int
) -> Iterator[np.ndarray]:
    """Yield windows ``[samples]`` of a recording: start and end in seconds."""
    for sig, rate in mixed_windows(audit.path, spans):
        yield resample(sig, rate, new_rate)
