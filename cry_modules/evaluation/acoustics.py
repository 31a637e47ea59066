"""Acoustic measures of cries: F0, voice quality, durations of expirations.

The measures that cry research reports (Wasz-Hoeckert et al. 1968, "The infant
cry: a spectrographic and auditory analysis"; Corwin, Lester and Golub 1996,
"The infant cry: what can it tell us?"; LaGasse, Neal and Lester 2005,
"Assessment of infant cry"; Reggiannini et al. 2013, "A flexible analysis tool
for the quantitative acoustic assessment of infant cry"). Formulas:

- F0 and harmonics-to-noise ratio: Boersma 1993, see ``pitch.py``.
- Jitter and shimmer ("local"): the mean absolute difference of consecutive
  periods, or of their amplitudes, relative to the mean, see ``perturbation.py``.
- Expirations: stretches of 0.1 s or more, between pauses of 0.1 s or more, in
  which the level is at most 25 dB below the loud frames (the rule and values of
  Praat's "To TextGrid (silences)"), or less where the background is louder:
  halfway to it, but not less than 15 dB, by which 93 to 96 % of the frames of
  synthetic cries with a background are right (25 dB: 69 to 97 %). Silence
  before and after them changes nothing.
- Rises and falls of the melody: moves of F0 by a tenth or more, without a
  move of a tenth in the opposite direction between; this project's choice.
- Level range: 20th to 80th percentile, as in eGeMAPS (Eyben et al. 2016).

A measure without anything to measure is 0, as in openSMILE: F0, jitter,
shimmer and harmonics-to-noise ratio of an unvoiced recording, which
``voiced_share`` tells, or all measures of silence.
"""

from typing import Dict, List, Optional, Tuple, Union

import numpy as np
import torch
from scipy.ndimage import median_filter
from torch import nn

from cry_modules.evaluation.perturbation import jitter_and_shimmer
from cry_modules.evaluation.pitch import HOP, RATE, pitch_contour
from cry_modules.lengths import LONGEST_S
from data_prep.audio.read import resampled
from data_prep.files.errors import require

HYPERPHONATION_HZ = 1000  # Golub and Corwin 1985
#: Limits of the quietest frames of expirations, below the loud ones.
BELOW_DB = 15, 25
SHORTEST_S = 0.1  # expiration, and pause
STEP_SEMITONES = 12 * np.log2(1.1)  # of a rise or fall

_FRAMES_S = HOP / RATE
_DIGITAL_SILENCE_DB = 60  # below the loudest frame: padding, not a background

#: Numbers that grow with the length of a recording are not in the control.
_COUNTS = "expiration_count", "pause_count"

#: First and last frame (not included) of stretches of a recording.
Spans = List[Tuple[int, int]]


def acoustic_measures(
    wav: Union[np.ndarray, torch.Tensor], sample_rate: int
) -> Dict[str, float]:
    """Measure a recording; level and silence around it change nothing.

    Arguments
    ---------
    wav : numpy.ndarray or torch.Tensor
        ``[samples]``.
    sample_rate : int
        Hz; other rates than 16 kHz are resampled.

    Returns
    -------
    dict
        Finite numbers by names that end in their units; shares are 0 to 1.

    Example
    -------
    >>> seconds = np.arange(16000) / 16000
    >>> tone = np.sin(2 * np.pi * 450 * seconds) * (seconds < 0.5)
    >>> measures = acoustic_measures(tone, 16000)
    >>> round(measures["f0_median_hz"]), measures["expiration_mean_s"]
    (450, 0.5)
    """
    sig = torch.as_tensor(wav).detach().cpu().float()
    require(
        sample_rate > 0, f"a sample rate of {sample_rate} Hz", "pass its own"
    )
    require(
        sig.dim() == 1 and bool(torch.isfinite(sig).all()),
        f"a recording of shape {list(sig.shape)} is not [samples] of finite "
        "numbers",
        "mix its channels, or repair it",
    )
    wave = (
        resampled(sig, sample_rate, RATE).numpy() if len(sig) else sig.numpy()
    )
    level = _levels(np.pad(wave, (0, max(0, HOP - len(wave)))))
    spans = expirations(level)
    f0, harmonicity = pitch_contour(wave)
    sounding = np.zeros(len(f0), dtype=bool)
    for first, last in spans:
        sounding[first:last] = True
    f0 = np.where(sounding, f0, 0.0)
    measures = {
        **_f0_measures(f0, spans),
        **_voice_quality(wave, f0, harmonicity),
        **_durations(spans),
    }
    inside = level[sounding]
    low, high = np.percentile(inside, [20, 80]) if len(inside) else (0, 0)
    measures["level_range_db"] = high - low
    return {name: float(value) for name, value in measures.items()}


class AcousticMeasures(nn.Module):
    """Acoustic measures of recordings, without their counts, in the order of
    ``acoustic_measures``.

    Long recordings are measured in windows of ``n_samples``.

    Arguments
    ---------
    sample_rate : int
        Hz.

    Example
    -------
    >>> AcousticMeasures(16000)(torch.randn(2, 8000)).shape
    torch.Size([2, 18])
    """

    def __init__(self, sample_rate: int):
        super().__init__()
        self.sample_rate = sample_rate
        self.n_samples = round(LONGEST_S * sample_rate)

    def forward(
        self, wavs: torch.Tensor, lengths: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """``[batch, samples]`` and valid shares to ``[batch, measures]``."""
        ends = torch.full((len(wavs),), wavs.shape[1])
        if lengths is not None:
            ends = torch.round(lengths.cpu().double() * wavs.shape[1]).long()
        rows = [self._measured(w[:n]) for w, n in zip(wavs.cpu(), ends)]
        return torch.stack(rows).to(wavs.device)

    def _measured(self, wav: torch.Tensor) -> torch.Tensor:
        measures = acoustic_measures(wav, self.sample_rate)
        kept = [v for k, v in measures.items() if k not in _COUNTS]
        return torch.tensor(kept, dtype=torch.float32)


def _levels(wave: np.ndarray) -> np.ndarray:
    """Level of each hop without its direct current, dB."""
    hops = wave[: len(wave) // HOP * HOP].reshape(-1, HOP)
    power = np.einsum("ij,ij->i", hops, hops, dtype=np.float64) / HOP
    rounding = 1e-9 * power
    power -= hops.mean(axis=1, dtype=np.float64) ** 2
    power[power <= rounding] = 0
    return 10 * np.log10(np.maximum(power, np.finfo(np.float64).tiny))


def expirations(level: np.ndarray) -> Spans:
    """Expirations by the level of each frame, dB.

    Example
    -------
    >>> expirations(np.repeat([-90.0, -20.0, -60.0, -22.0], 20))
    [(20, 40), (60, 80)]
    """
    loudest = level.max()
    if loudest <= 10 * np.log10(np.finfo(np.float64).tiny):
        return []
    heard = level[level > loudest - _DIGITAL_SILENCE_DB]
    background, loud = np.percentile(heard, [5, 95])
    below = np.clip((loud - background) / 2, *BELOW_DB)
    shortest = round(SHORTEST_S / _FRAMES_S)
    spans: Spans = []
    for first, last in _runs(level >= loud - below):
        if spans and first - spans[-1][1] < shortest:
            spans[-1] = (spans[-1][0], last)
        else:
            spans.append((first, last))
    return [span for span in spans if span[1] - span[0] >= shortest]


def _runs(mask: np.ndarray) -> Spans:
    """Stretches of frames of a mask."""
    edges = np.flatnonzero(np.diff(np.pad(mask.astype(np.int8), 1)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist()))


def _durations(spans: Spans) -> Dict[str, float]:
    """Durations of expirations and of the pauses between them."""
    lasting = np.array([last - first for first, last in spans]) * _FRAMES_S
    pairs = zip(spans, spans[1:])
    pauses = np.array([b[0] - a[1] for a, b in pairs]) * _FRAMES_S
    total = (spans[-1][1] - spans[0][0]) * _FRAMES_S if spans else 1.0
    return {
        "expiration_count": len(lasting),
        "expiration_mean_s": lasting.mean() if len(lasting) else 0,
        "expiration_longest_s": lasting.max(initial=0),
        "expirations_per_s": len(lasting) / total,
        "pause_count": len(pauses),
        "pause_mean_s": pauses.mean() if len(pauses) else 0,
        "pause_longest_s": pauses.max(initial=0),
    }


def _f0_measures(f0: np.ndarray, spans: Spans) -> Dict[str, float]:
    """Level, spread and melody of F0, and how much is voiced."""
    voiced = f0[f0 > 0]
    n_frames = sum(last - first for first, last in spans)
    semitones = 12 * np.log2(voiced)
    is_any = len(voiced) > 0
    low, high = np.percentile(semitones, [5, 95]) if is_any else (0, 0)
    melodies = [_semitones(f0[first:last]) for first, last in spans]
    slopes = [_slope(*melody) for melody in melodies if len(melody[0]) > 1]
    turns = [rises_and_falls(m) for _, m in melodies if len(m)]
    rises, falls = np.mean(turns, axis=0) if turns else (0, 0)
    return {
        "f0_median_hz": np.median(voiced) if is_any else 0,
        "f0_mean_hz": voiced.mean() if is_any else 0,
        "f0_sd_semitones": semitones.std() if is_any else 0,
        "f0_range_semitones": high - low,
        "f0_slope_semitones_per_s": np.mean(slopes) if slopes else 0,
        "f0_rises_per_expiration": rises,
        "f0_falls_per_expiration": falls,
        "hyperphonation_share": (voiced > HYPERPHONATION_HZ).mean()
        if is_any
        else 0,
        "voiced_share": len(voiced) / n_frames if n_frames else 0,
    }


def _semitones(f0: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Seconds and F0 in semitones of the voiced frames of an expiration, the
    median of 50 ms, so that a single error is not a melody."""
    at = np.flatnonzero(f0)
    semitones = 12 * np.log2(f0[at])
    if len(at):
        semitones = median_filter(semitones, 5, mode="nearest")
    return at * _FRAMES_S, semitones


def _slope(x: np.ndarray, y: np.ndarray) -> float:
    """Slope of the line of least squares."""
    x = x - x.mean()
    return (x * y).sum() / (x * x).sum()


def rises_and_falls(
    semitones: np.ndarray, step: float = STEP_SEMITONES
) -> Tuple[int, int]:
    """Count the rises and falls of a melody.

    Example
    -------
    >>> rises_and_falls(np.array([0, 3, 6, 5.5, 6, 2, 1, 4.0]), step=2)
    (2, 1)
    """
    low = high = semitones[0]
    rises = falls = direction = 0
    for value in semitones:
        low, high = min(low, value), max(high, value)
        if direction != 1 and value - low >= step:
            rises, direction, high = rises + 1, 1, value
        elif direction != -1 and high - value >= step:
            falls, direction, low = falls + 1, -1, value
    return rises, falls


def _voice_quality(
    wave: np.ndarray, f0: np.ndarray, harmonicity: np.ndarray
) -> Dict[str, float]:
    """Jitter, shimmer and harmonics-to-noise ratio of the voiced frames."""
    jitter, shimmer = jitter_and_shimmer(wave, f0, _runs(f0 > 0))
    r = np.clip(harmonicity[f0 > 0], 1e-5, 1 - 1e-5)
    return {
        "jitter_percent": 100 * jitter,
        "shimmer_percent": 100 * shimmer,
        "hnr_db": np.mean(10 * np.log10(r / (1 - r))) if len(r) else 0,
    }
