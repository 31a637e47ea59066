"""Fundamental frequency (F0) and harmonicity of a recording, frame by frame.

The autocorrelation method of Boersma (1993, "Accurate short-term analysis of
the fundamental frequency and the harmonics-to-noise ratio of a sampled sound",
IFA Proceedings 17: 97-110): the autocorrelation of a windowed frame divided by
that of the window, interpolated between samples, and the path through its
peaks of least cost. The peaks are those of the autocorrelation whose spectrum is
the magnitude in place of the power (Tolonen and Karjalainen 2000, "A
computationally efficient multipitch analysis model"), because the resonance of
an infant's vocal tract near 1 kHz makes the second harmonic much stronger than
the first. ``speechbrain.processing.vocal_features`` divides by the window too,
but does not interpolate (one sample of 16 kHz is 54 cents at 500 Hz) and has a
median in place of the path. ``benchmarks/f0.py`` compares this module with it
and with swift-f0 on synthetic cries of known F0.
"""

from typing import Iterator, NamedTuple, Tuple

import numpy as np

RATE = 16000  #: Hz
HOP = 160  #: samples between two frames, 10 ms
#: Phonation of infants is at 200 to 1000 Hz, hyperphonation above.
LOWEST_HZ, HIGHEST_HZ = 150.0, 2000.0

_WINDOW = 400  # samples, 25 ms: 3.75 periods of the lowest F0
_FFT = 1024
_FINER = 4  # lags a sample: zero-padding the spectrum is sinc interpolation
_N_CANDIDATES = 8
_FRAMES_AT_ONCE = 2000
# Costs of a path, terms of Boersma's section 4. Octave cost and voicing threshold
# (his: 0.01 and 0.45 of the power's autocorrelation) are chosen on synthetic
# cries, where a lower octave cost finds hyperphonation an octave too low.
_OCTAVE_COST = 0.08
_VOICING_THRESHOLD = 0.4
_OCTAVE_JUMP_COST = 0.35
_VOICING_COST = 0.14


class PitchContour(NamedTuple):
    """F0 and harmonicity of each frame of ``HOP`` samples."""

    f0: np.ndarray  #: Hz, 0 where unvoiced
    harmonicity: np.ndarray  #: share of the power that is periodic


def pitch_contour(wave: np.ndarray) -> PitchContour:
    """Track the F0 of a recording ``[samples]`` at ``RATE`` Hz.

    Memory for frames is constant; the result has two numbers a frame.

    Example
    -------
    >>> tone = np.sin(2 * np.pi * 440 * np.arange(8000) / RATE)
    >>> f0, harmonicity = pitch_contour(tone)
    >>> len(f0), round(float(f0[25])), round(float(harmonicity[25]), 2)
    (50, 440, 1.0)
    """
    pieces = [_candidates(frames) for frames in _frames(wave)]
    hz, strength, harmonicity = map(np.concatenate, zip(*pieces))
    best = np.arange(len(hz)), _best_path(hz, strength)
    return PitchContour(hz[best], harmonicity[best])


def _frames(wave: np.ndarray) -> Iterator[np.ndarray]:
    """Yield frames ``[frames, _WINDOW]`` centred in their hops, some at once;
    its first and last samples go on around the recording."""
    wave = wave if len(wave) else np.zeros(1)
    n_frames = max(1, len(wave) // HOP)
    for at in range(0, n_frames, _FRAMES_AT_ONCE):
        n = min(_FRAMES_AT_ONCE, n_frames - at)
        first = at * HOP - (_WINDOW - HOP) // 2
        last = first + (n - 1) * HOP + _WINDOW
        part = wave[max(first, 0) : last].astype(np.float64)
        before = max(-first, 0)
        around = before, last - first - before - len(part)
        part = np.pad(part, around, mode="edge")
        views = np.lib.stride_tricks.sliding_window_view(part, _WINDOW)
        yield views[::HOP]


def _autocorrelation(frames: np.ndarray, exponent: float) -> np.ndarray:
    """Autocorrelation of frames at lags of ``1 / _FINER`` samples up to the
    period of the lowest F0, 1 at lag 0; that of the power for exponent 2."""
    spectrum = np.abs(np.fft.rfft(frames, _FFT)) ** exponent
    longest = round(_FINER * RATE / LOWEST_HZ) + 4
    r = np.fft.irfft(spectrum, _FINER * _FFT)[..., :longest]
    return r / np.maximum(r[..., :1], np.finfo(np.float64).tiny)


_HANN = np.hanning(_WINDOW + 2)[1:-1]
_OF_WINDOW = {n: _autocorrelation(_HANN, n) for n in (1, 2)}


def _candidates(
    frames: np.ndarray,
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """F0 in Hz, strength and harmonicity of the best peaks ``[frames, 1 +
    _N_CANDIDATES]``; the first, of 0 Hz, is "unvoiced"."""
    largest = np.abs(frames).max(axis=1, keepdims=True)
    frames = frames - frames.mean(axis=1, keepdims=True)
    # Rounding errors of a constant are not a sound.
    frames = frames * _HANN * (np.abs(frames) > 1e-6 * largest)
    r = _autocorrelation(frames, 1) / _OF_WINDOW[1]
    left, peak, right = r[:, 1:-3], r[:, 2:-2], r[:, 3:-1]
    lags = np.arange(2, r.shape[1] - 2)
    hz = _FINER * RATE / lags
    is_peak = (peak > left) & (peak >= right) & (hz <= HIGHEST_HZ)
    rank = np.where(is_peak, peak + _OCTAVE_COST * np.log2(hz), -np.inf)
    best = np.argpartition(-rank, _N_CANDIDATES, axis=1)[:, :_N_CANDIDATES]
    a, b, c, rank = (
        np.take_along_axis(x, best, axis=1) for x in (left, peak, right, rank)
    )
    known = np.isfinite(rank)
    # The vertex of the parabola through the peak and its neighbours.
    bend = np.where(known, a - 2 * b + c, 1.0)
    shift = np.where(known, 0.5 * (a - c) / bend, 0.0)
    hz = np.where(known, _FINER * RATE / (lags[best] + shift), 0.0)
    strength = np.where(known, b - 0.25 * (a - c) * shift, -np.inf)
    of_power = _autocorrelation(frames, 2) / _OF_WINDOW[2]
    near = lags[best][..., None] + np.arange(-2, 3)
    near = np.take_along_axis(of_power[:, None], near, axis=2).max(axis=2)
    unvoiced = np.zeros((len(frames), 1))
    columns = hz, np.minimum(strength, 1.0), np.clip(near, 0.0, 1.0)
    hz, strength, near = (np.hstack([unvoiced, x]) for x in columns)
    return hz, strength, near


def _best_path(hz: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Candidate of each frame on the path of least cost (Viterbi)."""
    octave = np.log2(np.where(hz > 0, hz, LOWEST_HZ) / LOWEST_HZ)
    gain = strength + _OCTAVE_COST * octave
    gain[:, 0] = _VOICING_THRESHOLD
    total, each = gain[0], np.arange(hz.shape[1])
    best_before = np.zeros(hz.shape, dtype=np.int8)
    for i in range(1, len(hz)):
        cost = np.abs(octave[i][:, None] - octave[i - 1]) * _OCTAVE_JUMP_COST
        cost[0, 1:] = cost[1:, 0] = _VOICING_COST
        score = total - cost
        best_before[i] = score.argmax(axis=1)
        total = score[each, best_before[i]] + gain[i]
    path = np.empty(len(hz), dtype=int)
    path[-1] = total.argmax()
    for i in range(len(hz) - 1, 0, -1):
        path[i - 1] = best_before[i, path[i]]
    return path
