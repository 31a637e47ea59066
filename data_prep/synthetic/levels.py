"""Level of a sound while it is active, and the part of a clip that it fills."""

from typing import Tuple

import numpy as np

FRAME_S = 0.02
#: Frames up to so much below the active level are active (ITU-T P.56).
MARGIN_DB = 15.9
#: Frames up to so much below it belong to the event at its ends.
EDGE_DB = 30.0


def frame_powers(sig: np.ndarray, rate: int) -> np.ndarray:
    """Mean power of frames of 20 ms ``[frames]``; the last may be shorter."""
    size = max(1, round(FRAME_S * rate))
    starts = np.arange(0, len(sig), size)
    sums = np.add.reduceat(np.square(sig, dtype=np.float64), starts)
    return sums / np.diff(np.append(starts, len(sig)))


def active_power(powers: np.ndarray) -> float:
    """Mean power of the active frames: those at most 15.9 dB below that mean.

    As the active speech level of ITU-T P.56, with frames in place of an
    envelope: pauses within a clip do not lower its level. 0 for silence.

    Example
    -------
    >>> active_power(np.array([0.0, 1.0, 1.0, 1e-9]))
    1.0
    """
    active = powers[powers > 0]
    while len(active):
        louder = active[active >= active.mean() * 10 ** (-MARGIN_DB / 10)]
        if len(louder) == len(active):
            return float(active.mean())
        active = louder
    return 0.0


def active_part(sig: np.ndarray, rate: int) -> Tuple[int, int]:
    """First sample, and the one after the last, of what a clip holds: without
    frames at its ends that are more than 30 dB below its active level."""
    powers = frame_powers(sig, rate)
    limit = active_power(powers) * 10 ** (-EDGE_DB / 10)
    kept = np.flatnonzero((powers >= limit) & (powers > 0))
    if not len(kept):
        return 0, 0
    size = max(1, round(FRAME_S * rate))
    return int(kept[0]) * size, min(len(sig), int(kept[-1] + 1) * size)
