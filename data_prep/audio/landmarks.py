"""Landmarks of a recording, which survive shifting, scaling and coding.

Landmarks are pairs of spectrogram peaks (Wang, "An industrial-strength audio
search algorithm", ISMIR 2003). The frequencies of two peaks and the time
between them form a number. Shifted, scaled, resampled and re-encoded copies
share many numbers at one offset in time; other recordings hardly any.
"""

import numpy as np

# scipy is imported where it is used: it takes a quarter of a second, and each
# training looks up only what its audit has measured.

#: Seconds, at every sample rate, so that bins have the same width (15.6 Hz).
WINDOW_S = 0.064
HOP_S = 0.016
#: The telephone band, Hz.
BAND_HZ = (200.0, 3600.0)
#: A peak is the maximum within this many frames and bins on each side.
REACH = (6, 6)
#: Peaks this far below the loudest are noise, dB.
FLOOR_DB = 60.0
#: Strongest peaks kept per second.
PEAKS_PER_S = 20
#: Each peak is paired with this many following peaks ...
FAN_OUT = 5
#: ... within this many frames.
FARTHEST = 63

_BIN_BITS = 8
_SAMPLES_AT_ONCE = 1 << 22  # 4096 windows at 16 kHz


class Landmarks:
    """Landmarks of a recording, from blocks of its ``[samples]``."""

    def __init__(self, rate: int):
        self.rate = rate
        self._n_samples = 0
        self._rest = np.zeros(0, np.float32)
        self._logs = []

    def add(self, samples: np.ndarray) -> None:
        """Add the next block; only its spectrogram is kept."""
        self._n_samples += len(samples)
        self._rest = np.concatenate([self._rest, samples])
        logs = _spectrogram(self._rest, self.rate)
        if len(logs):
            self._logs.append(logs)
            self._rest = self._rest[len(logs) * round(self.rate * HOP_S) :]

    def result(self) -> np.ndarray:
        """Landmarks ``[n, 2]``: a number that encodes two spectral peaks and
        their distance, and the frame of the first."""
        logs = np.concatenate(self._logs or [np.zeros((0, 1), np.float32)])
        frames, bins, heights = _peaks(logs)
        most = int(np.ceil(PEAKS_PER_S * self._n_samples / self.rate))
        if len(frames) > most:
            strongest = np.sort(np.argpartition(-heights, most)[:most])
            frames, bins = frames[strongest], bins[strongest]
        return _pairs(frames, bins)


def landmarks(samples: np.ndarray, rate: int) -> np.ndarray:
    """Landmarks of a whole recording ``[samples]``, see ``Landmarks``."""
    whole = Landmarks(rate)
    whole.add(samples)
    return whole.result()


def _spectrogram(samples, rate) -> np.ndarray:
    """Log magnitudes of the band, ``[frames, bins]``, float32."""
    from scipy.fft import rfft

    window = round(rate * WINDOW_S)
    if len(samples) < window:
        return np.zeros((0, 1), np.float32)
    cut = np.lib.stride_tricks.sliding_window_view(samples, window)
    cut = cut[:: round(rate * HOP_S)]
    low, high = (round(hz * WINDOW_S) for hz in BAND_HZ)
    taper = np.hanning(window).astype(np.float32)
    size = max(1, _SAMPLES_AT_ONCE // window)
    blocks = [
        np.abs(rfft(cut[i : i + size] * taper, axis=1)[:, low:high])
        for i in range(0, len(cut), size)
    ]
    return np.log(np.concatenate(blocks) + 1e-9)


def _peaks(logs):
    """Frames, bins and heights of the peaks, in order of time."""
    from scipy.ndimage import maximum_filter

    # In silence all points are equally high: no peaks.
    if not logs.size or logs.max() == logs.min():
        return (np.zeros(0, np.int64),) * 3
    size = (2 * REACH[0] + 1, 2 * REACH[1] + 1)
    largest = maximum_filter(logs, size, mode="nearest")
    floor = logs.max() - FLOOR_DB * np.log(10) / 20
    frames, bins = np.nonzero((logs == largest) & (logs > floor))
    return frames, bins, logs[frames, bins]


def _pairs(frames, bins) -> np.ndarray:
    pairs = []
    for step in range(1, FAN_OUT + 1):
        first, second = slice(None, -step), slice(step, None)
        apart = frames[second] - frames[first]
        near = (apart > 0) & (apart <= FARTHEST)
        number = (
            (apart << (2 * _BIN_BITS))
            | (bins[first] << _BIN_BITS)
            | bins[second]
        )
        pairs.append(np.stack([number, frames[first]], axis=1)[near])
    return np.concatenate(pairs).astype(np.uint32)
