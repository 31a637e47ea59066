"""Jitter and shimmer: how much consecutive cycles of a voice differ.

A period is the lag at which the surroundings of a cycle's peak match the next
cycle best (waveform matching; Titze and Liang 1993, "Comparison of F0 extraction
methods for high-precision voice perturbation measurements", J. Speech Hear. Res.
36: 1120-1133). A cycle's amplitude is from peak to peak.
"""

from typing import List, Tuple

import numpy as np
from scipy.signal import resample_poly

from cry_modules.evaluation.pitch import HOP, RATE

#: Larger ratios of consecutive periods or amplitudes are errors, as in Praat.
MOST_PERIOD_RATIO, MOST_AMPLITUDE_RATIO = 1.3, 1.6

_FINER = 2  # samples a sample where cycles are matched
_SEARCH = 0.2  # of a period, around that of F0
_LEAST_MATCH = 0.5  # correlation
_FRAMES_AT_ONCE = 200
_MARGIN = 2 * HOP  # samples, more than two periods of the lowest F0


def jitter_and_shimmer(
    wave: np.ndarray, f0: np.ndarray, stretches: List[Tuple[int, int]]
) -> Tuple[float, float]:
    """Mean absolute difference of consecutive periods and of their amplitudes,
    each relative to its mean; 0 without two consecutive cycles.

    Arguments
    ---------
    wave : numpy.ndarray
        ``[samples]`` at ``RATE`` Hz.
    f0 : numpy.ndarray
        Hz, of each frame of ``HOP`` samples.
    stretches : list
        First frame, and that after the last one, of each voiced stretch.

    Example
    -------
    >>> tone = np.sin(2 * np.pi * 440 * np.arange(16000) / RATE)
    >>> jitter, shimmer = jitter_and_shimmer(
    ...     tone, np.full(100, 440), [(0, 100)]
    ... )
    >>> round(jitter, 3), round(shimmer, 3)
    (0.0, 0.0)
    """
    limits = MOST_PERIOD_RATIO, MOST_AMPLITUDE_RATIO
    differences: List[List[np.ndarray]] = [[], []]
    values: List[List[np.ndarray]] = [[], []]
    for first, last in stretches:
        for at in range(first, last, _FRAMES_AT_ONCE):
            end = min(at + _FRAMES_AT_ONCE, last)
            for i, column in enumerate(_cycles(wave, f0, at, end)):
                a, b = column[:-1], column[1:]
                near = (b <= a * limits[i]) & (a <= b * limits[i])  # not of nan
                differences[i].append(np.abs(b - a)[near])
                values[i].append(column[np.isfinite(column)])
    jitter, shimmer = (
        float(_mean(d) / (_mean(v) or 1.0)) for d, v in zip(differences, values)
    )
    return jitter, shimmer


def _mean(pieces: List[np.ndarray]) -> float:
    """Mean of numbers in pieces, 0 of none."""
    n = sum(map(len, pieces))
    return sum(piece.sum() for piece in pieces) / n if n else 0.0


def _cycles(
    wave: np.ndarray, f0: np.ndarray, first: int, last: int
) -> Tuple[np.ndarray, np.ndarray]:
    """Period in samples and amplitude of each cycle of voiced frames; nan where
    it does not match the next one."""
    start, stop = first * HOP - _MARGIN, last * HOP + _MARGIN
    part = wave[max(0, start) : stop].astype(np.float64)
    before = max(0, -start)
    part = np.pad(part, (before, stop - start - before - len(part)))
    sig = resample_poly(part, _FINER, 1)

    # A cycle begins where the phase of F0 passes a whole number.
    at = _FINER * (_MARGIN + np.arange(HOP * (last - first)))
    centres = _FINER * (_MARGIN + HOP * (np.arange(last - first) + 0.5))
    period = _FINER * RATE / np.interp(at, centres, f0[first:last])
    phase = np.cumsum(_FINER / period)
    begins = np.searchsorted(phase, np.arange(int(phase[-1])))
    period, begin = period[begins], at[begins]

    inside = np.arange(int(period.max(initial=0)) + 1) < period[:, None]
    cycle = sig[begin[:, None] + np.arange(inside.shape[1])]
    highest = np.where(inside, cycle, -np.inf).max(axis=1, initial=-np.inf)
    lowest = np.where(inside, cycle, np.inf).min(axis=1, initial=np.inf)
    # The same polarity in all cycles.
    up = cycle if sig.max() > -sig.min() else -cycle
    peak = begin + np.where(inside, up, -np.inf).argmax(axis=1)
    periods = _matched(sig, peak, period)
    return periods, np.where(np.isfinite(periods), highest - lowest, np.nan)


def _matched(
    sig: np.ndarray, peak: np.ndarray, period: np.ndarray
) -> np.ndarray:
    """Lag of the best match with the next cycle, near the period of F0, of the
    half period around each peak; nan where none matches."""
    if not len(peak):
        return period
    quarter, lag = period.max() / 4, np.round(period).astype(int)
    near = np.arange(-int(quarter), int(quarter) + 1)
    furthest = int(_SEARCH * period.max()) + 2
    offset = np.arange(-furthest, furthest + 1)
    inside = np.abs(near) <= period[:, None] / 4
    samples = peak[:, None] + near
    shifted = samples[:, None] + (lag[:, None] + offset)[:, :, None]
    cycle = sig[samples] * inside
    following = sig[shifted] * inside[:, None]
    match = np.einsum("kw,klw->kl", cycle, following)
    norm = (cycle**2).sum(axis=1)[:, None] * (following**2).sum(axis=2)
    match /= np.sqrt(np.maximum(norm, np.finfo(np.float64).tiny))
    allowed = np.abs(offset) <= np.maximum(_SEARCH * period, 2)[:, None]
    best = np.where(allowed, match, -1)[:, 1:-1].argmax(axis=1) + 1
    a, b, c = (match[np.arange(len(best)), best + i] for i in (-1, 0, 1))
    bend = a - 2 * b + c
    is_peak = (b >= a) & (b >= c) & (bend < 0) & (b > _LEAST_MATCH)
    shift = 0.5 * (a - c) / np.where(is_peak, bend, 1.0)
    return np.where(is_peak, lag + offset[best] + shift, np.nan)
