"""Compare recordings with those that a model was trained on.

A model keeps a few numbers of its training recordings: between which values 98 %
of them lie in length, bandwidth and level, and the median and the 99th
percentile of their distance in embedding space. The distance is Mahalanobis'
to their mean (Lee et al. 2018, https://arxiv.org/abs/1807.03888), by dimension:
mean and variances are those of the BatchNorm of the head, and a variance is
averaged with the mean of all. No recording can be told from these numbers.

Measured with 199 cries of 16 babies (width 8, embedding and block 3): of 85
cries of 6 other babies 0 and 2 % are farther than the 99th percentile, of other
sounds 83 and 93 %, of words 93 and 100 %, of cries on telephones 95 and 100 %;
full covariances and nearest neighbours are not better.

Only numpy is used: ``run_onnx.py`` has a copy.
"""

import math
from typing import Dict, List, NamedTuple, Optional, Sequence

import numpy as np

#: Training recordings that are embedded for the distances, at most.
MOST_RECORDINGS = 400
#: A recording so many times as long as those of training is a tape, of which
#: most is something else.
TAPE = 10
#: Bands of power, Hz; the bandwidth ends with the last one this much weaker than
#: the strongest, dB. Cries at 16 kHz: 7,500 Hz or more; at 8 kHz, resampled:
#: 3,500 to 5,500 Hz.
_BAND_HZ, _RANGE_DB = 250, 50
_SPECTRUM_S = 0.02
#: Tolerances beyond the 98 % of training: a factor, Hz, dB.
_LONGER, _WIDER, _LOUDER = 1.25, 500, 6


class Training(NamedTuple):
    """Numbers of a model's training recordings, None where unknown."""

    length_s: List[float]  #: 1st and 99th percentile, as of the next two
    bandwidth_hz: Optional[List[float]] = None
    level_dbfs: Optional[List[float]] = None
    distance: Optional[List[float]] = None  #: median and 99th percentile

    @property
    def tape_s(self) -> float:
        """Length from which a recording is a tape, seconds."""
        return TAPE * self.length_s[1]

    def in_words(self) -> Dict[str, str]:
        """Ranges of training as text, by what is compared."""
        low, high = self.length_s
        words = {"length": f"{low:g} to {high:g} s"}
        for name, values, unit in (
            ("bandwidth", self.bandwidth_hz, "Hz"),
            ("level", self.level_dbfs, "dB"),
        ):
            if values:
                words[name] = f"{values[0]:g} to {values[1]:g} {unit}"
        return words


def training_of(
    lengths: Sequence[float],
    bandwidths: Sequence[float],
    levels: Sequence[float],
    distances: Sequence[float],
) -> Dict:
    """Entry ``training_recordings`` of a model: percentiles, rounded outwards.

    Example
    -------
    >>> training_of([2.04, 7.33], [7750], [], [1.0, 1.5])
    {'length_s': [2.0, 7.3], 'bandwidth_hz': [7750.0, 7750.0], \
'level_dbfs': None, 'distance': [1.25, 1.495]}
    """
    known = len(distances) and float(np.median(distances)) > 0
    return Training(
        _middle(lengths),
        _middle(bandwidths, _BAND_HZ),
        _middle(levels, 1),
        [float(f"{np.quantile(distances, q):.4g}") for q in (0.5, 0.99)]
        if known
        else None,
    )._asdict()


def _middle(
    values: Sequence[float], digit: Optional[float] = None
) -> Optional[List[float]]:
    """1st and 99th percentile, rounded outwards to a digit; by default, to two
    figures."""
    if not len(values):
        return None
    ends = []
    for share, outwards in ((0.01, math.floor), (0.99, math.ceil)):
        end = np.quantile(values, share)
        step = digit or 10.0 ** (math.floor(math.log10(end)) - 1)
        # A rounding error is no reason to go further.
        steps = outwards(round(end / step, 9))
        ends.append(float(f"{steps * step:.6g}"))
    return ends


def band_powers(sig: np.ndarray, rate: int) -> np.ndarray:
    """Power of a signal ``[samples]`` in bands of 250 Hz, ``[bands]``; those
    of the parts of a recording may be added."""
    size = round(_SPECTRUM_S * rate)
    n_frames = max(1, len(sig) // size)
    frames = np.resize(sig, n_frames * size).reshape(-1, size)
    window = np.hanning(size + 1)[:-1].astype(np.float32)
    power = (np.abs(np.fft.rfft(frames * window, axis=1)) ** 2).sum(axis=0)
    n_bins = round(_BAND_HZ * size / rate)
    n_bands = len(power) // n_bins
    return power[: n_bands * n_bins].reshape(n_bands, n_bins).sum(axis=1)


def bandwidth(powers: np.ndarray) -> float:
    """Upper end of the highest band with sound, Hz.

    Example
    -------
    >>> rng = np.random.default_rng(0)
    >>> spectrum = np.fft.rfft(rng.normal(size=16000))
    >>> spectrum[4000:] = 0
    >>> bandwidth(band_powers(np.fft.irfft(spectrum), 16000))
    4250.0
    """
    heard = powers >= powers.max() * 10 ** (-_RANGE_DB / 10)
    return float(_BAND_HZ * (np.flatnonzero(heard)[-1] + 1))


def distance(
    embs: np.ndarray, mean: np.ndarray, variance: np.ndarray
) -> np.ndarray:
    """Distance of embeddings ``[n, dimensions]`` to a mean, ``[n]``."""
    shrunk = (variance + variance.mean()) / 2
    squares = (np.asarray(embs, float) - mean) ** 2
    return np.sqrt((squares / np.maximum(shrunk, 1e-30)).mean(axis=-1))


def left_out_distances(
    embs: np.ndarray,
    patients: Sequence,
    mean: np.ndarray,
    variance: np.ndarray,
    n: int,
) -> np.ndarray:
    """Distance of training recordings to those of the other patients, where
    mean and variance are of all `n`; empty with one patient.

    Example
    -------
    >>> embs = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> how = embs.mean(axis=0), embs.var(axis=0), 4
    >>> left_out_distances(embs, ["a", "b", "c", "d"], *how)[:1].round(3)
    array([2.449])
    >>> float(distance(embs[0], embs[1:].mean(0), embs[1:].var(0)).round(3))
    2.449
    """
    centred = np.asarray(embs, float) - mean
    patients, result = np.asarray(patients, dtype=object), np.empty(len(embs))
    for patient in set(patients.tolist()):
        rows = patients == patient
        others = n - int(rows.sum())
        if others <= 0:
            return np.empty(0)
        shift = -centred[rows].sum(axis=0) / others
        squares = n * variance - (centred[rows] ** 2).sum(axis=0)
        rest = np.maximum(squares / others - shift**2, 0)
        result[rows] = distance(centred[rows], shift, rest)
    return result


class Reference(NamedTuple):
    """Training recordings that others are compared with."""

    training: Training
    mean: np.ndarray  #: of the head's input ``[dimensions]``
    variance: np.ndarray

    def ratio(self, emb: np.ndarray) -> Optional[float]:
        """Distance of an embedding ``[dimensions]`` over the 99th percentile
        of training; None if that is unknown."""
        if not self.training.distance:
            return None
        far = self.training.distance[1]
        return float(distance(emb, self.mean, self.variance)) / far

    def is_far(self, embs: np.ndarray) -> np.ndarray:
        """Tell which embeddings ``[n, dimensions]`` are farther than the 99th
        percentile of training, ``[n]``; False if that is unknown."""
        if not self.training.distance:
            return np.zeros(len(embs), dtype=bool)
        far = self.training.distance[1]
        return distance(embs, self.mean, self.variance) > far

    def unlike(
        self,
        seconds: float,
        powers: np.ndarray,
        level: float,
        ratio: Optional[float],
    ) -> List[str]:
        """Names of what lies outside, see the function ``unlike``."""
        return unlike(self.training, seconds, bandwidth(powers), level, ratio)


def unlike(
    training: Training,
    seconds: float,
    width_hz: float,
    level: float,
    ratio: Optional[float],
) -> List[str]:
    """Names of what lies outside the training recordings: ``length``,
    ``bandwidth``, ``level``, and ``sound`` where the distance is above their
    99th percentile (`ratio` above 1).

    Example
    -------
    >>> training = Training([2.0, 7.4], [7500, 8000], [-40, -12])
    >>> unlike(training, 60.0, 4000, -20, 1.2)
    ['length', 'bandwidth', 'sound']
    """
    low, high = training.length_s
    names = []
    if not low / _LONGER <= seconds <= high * _LONGER:
        names.append("length")
    for name, value, values, tolerance in (
        ("bandwidth", width_hz, training.bandwidth_hz, _WIDER),
        ("level", level, training.level_dbfs, _LOUDER),
    ):
        if values and not (
            values[0] - tolerance <= value <= values[1] + tolerance
        ):
            names.append(name)
    return names + ["sound"] * (ratio is not None and ratio > 1)
