"""Source-filter model of infant cries.

Synthetic: no infant was recorded, and nothing here is evidence about infants.
Terms follow the literature. A cry is a series of *expirations* (bursts) with
pauses or *inspirations* between them. The source is in *phonation* (F0 about
350-600 Hz), *hyperphonation* (F0 jumps above 1 kHz) or *dysphonation* (noisy,
subharmonic). F0 follows a *melody* (rising, falling, rising-falling, flat,
complex), may *glide* fast or split in two (*biphonation*). The short vocal
tract resonates near 1.1, 3.3 and 5.5 kHz.

Sources of the terms, of the ranges of F0 and burst length, and of the direction
in which pain and neurological injury move them: Wasz-Hoeckert et al. 1968 ("The
infant cry: a spectrographic and auditory analysis"), Michelsson's studies of
newborns with asphyxia and CNS disorders, Golub and Corwin 1985 ("A
physioacoustic model of the infant cry": the three modes), LaGasse, Neal and
Lester 2005 ("Assessment of infant cry"), Kheddache and Tadj on hyperphonation
and irregular F0 in pathological cries. The formants are the odd quarter-wave
resonances of a tube of 7.8 cm. **Every number for how far, how often or how
widely spread is this project's choice**, tuned so that the tasks are neither
trivial nor impossible (measured: see ``corpora.py``).

Injury acts through `severity` only: every patient has one in 0..1, from one of
two overlapping distributions, assigned by quantiles so that corpora of
different seeds are about equally hard. A trigger acts through a `Style`, blended
with the neutral one by a strength drawn for each recording.
"""

from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

import numpy as np

from data_prep.synthetic.signal import (
    HOP,
    RATE,
    band,
    formant_gain,
    harmonic_stack,
    record,
    shaped_noise,
    slow_curve,
)
from data_prep.synthetic.voices import SITES, Style, Voice, draw_style

FORMANTS_HZ = np.array([1100.0, 3300.0, 5500.0])  # 7.8 cm tube, open-closed
WIDTHS_HZ = np.array([260.0, 420.0, 600.0])
ODDITIES = ("hyperphonation", "dysphonation", "biphonation", "glide")
MELODIES = ("rising", "falling", "rising-falling", "flat", "complex")


def _melody(rng: np.random.Generator, kind: str, frames: int) -> np.ndarray:
    """F0 contour of a burst ``[frames]``, in octaves from the voice's F0."""
    t = np.linspace(0, 1, frames)
    span = rng.uniform(0.15, 0.5)
    peak = rng.uniform(0.25, 0.6)
    arc = np.sin(np.pi * t ** (np.log(0.5) / np.log(peak)))
    if kind == "rising":
        return span * (t - 0.5)
    if kind == "falling":
        return span * (0.4 - t)
    if kind == "rising-falling":
        return span * (1.2 * arc - 0.7)
    if kind == "flat":
        return 0.15 * span * (arc - 0.5) - 0.1 * (t > 0.9) * (t - 0.9) * span
    return span * (0.6 * np.abs(np.sin(2 * np.pi * (t + 0.1))) - 0.3 * t)


def burst_times(
    rng: np.random.Generator, voice: Voice, style: Style, seconds: float
) -> List[Tuple[float, float]]:
    """(start, length) of each burst, seconds."""
    spread = style.irregular + 0.3 * voice.severity
    typical = voice.burst_s * style.burst * (1 - 0.3 * voice.severity)
    start, bursts = rng.uniform(0.02, 0.35), []
    while start < seconds - 0.15:
        length = typical * np.exp(spread * rng.normal())
        length *= 1.0 if bursts else style.first
        length = float(np.clip(length, 0.2, 4.0))
        bursts.append((start, min(length, seconds - start)))
        pause = voice.pause_s * style.pause * (1 + 0.5 * voice.severity)
        start += length + np.clip(pause * np.exp(spread * rng.normal()), 0.1, 3)
    return bursts


@dataclass(frozen=True)
class Burst:
    """Source of one expiration, with one frame per HOP samples."""

    f0: np.ndarray  #: fundamental frequency ``[frames]``, Hz
    rough: np.ndarray  #: dysphonation ``[frames]``, 0 to 1
    ratio: float  #: F0 of a second, independent source to the first; 0: none
    mode: str  #: "phonation", "hyperphonation" or "dysphonation"


def _stretch(
    rng: np.random.Generator, frames: int, low: float, high: float
) -> slice:
    """Random stretch of a share between `low` and `high` of the frames."""
    width = max(2, int(frames * rng.uniform(low, high)))
    start = int(rng.uniform(0, max(1, frames - width)))
    return slice(start, start + width)


def _mode_odds(voice: Voice, style: Style) -> Dict[str, float]:
    """Probability of each of ODDITIES in a burst."""
    sick, habit = voice.severity, dict(zip(ODDITIES, voice.habits))
    return {
        "hyperphonation": 0.01 + 0.3 * habit["hyperphonation"] + 0.45 * sick,
        "dysphonation": style.harsh + 0.3 * habit["dysphonation"] + 0.35 * sick,
        "biphonation": 0.2 * habit["biphonation"] + 0.35 * sick,
        "glide": 0.02 + 0.3 * habit["glide"] + 0.3 * sick,
    }


def _draw_f0(
    rng: np.random.Generator,
    voice: Voice,
    style: Style,
    seconds: float,
    glide: bool,
) -> np.ndarray:
    """F0 of a burst in phonation ``[frames]``, Hz."""
    frames = int(seconds * RATE / HOP) + 2
    time, sick = np.arange(frames) * HOP / RATE, voice.severity
    weights = np.array([style.rise, style.fall, style.arc, style.flat, 0.0])
    weights[4] = style.tangled * (1 + 2 * sick)
    kind = MELODIES[rng.choice(5, p=weights / weights.sum())]
    octaves = _melody(rng, kind, frames) + rng.normal(0, 0.05)
    octaves += (0.02 + 0.09 * sick) * slow_curve(rng, frames, 5.0, HOP)
    vibrato = rng.exponential(0.012) + 0.02 * sick
    octaves += vibrato * np.sin(2 * np.pi * voice.tremor_hz * time)
    octaves += (0.008 + 0.012 * sick) * rng.standard_normal(frames)  # jitter
    if glide:  # most of an octave within 0.1 s
        knee = rng.uniform(0.15, 0.85) * seconds
        span = rng.choice([-0.45, 0.7])
        octaves += span / (1 + np.exp(-(time - knee) / 0.02))
    f0 = voice.f0_hz * style.f0 * (1 + 0.25 * sick) * 2.0**octaves
    return np.clip(f0, 200, 950)


def draw_burst(
    rng: np.random.Generator,
    voice: Voice,
    style: Style,
    seconds: float,
    mode: Optional[str] = None,
) -> Burst:
    """Draw the source of one burst: melody, mode and irregularities."""
    free = mode is None
    odds = _mode_odds(voice, style) if free else dict.fromkeys(ODDITIES, 0.0)
    happens = {name: rng.uniform() < odds[name] for name in ODDITIES}
    if mode in happens:
        happens[mode] = True
    f0 = _draw_f0(rng, voice, style, seconds, happens["glide"])
    rough, ratio, drawn = np.zeros(len(f0)), 0.0, "phonation"
    if happens["dysphonation"]:
        where = _stretch(rng, len(f0), 0.3, 1.0) if free else slice(None)
        rough[where], drawn = rng.uniform(0.5, 1.0), "dysphonation"
    if happens["hyperphonation"]:
        where = _stretch(rng, len(f0), 0.15, 0.7) if free else slice(None)
        jump = rng.uniform(1150, 1900) / np.median(f0[where])
        f0[where] = np.maximum(f0[where] * jump, 1010.0)
        drawn = "hyperphonation"
    if happens["biphonation"]:
        ratio = float(rng.uniform(1.2, 1.9))
    return Burst(f0, rough, ratio, drawn)


def sound_burst(
    rng: np.random.Generator,
    burst: Burst,
    voice: Voice,
    style: Style,
    seconds: float,
) -> np.ndarray:
    """Synthesise a burst ``[samples]``: filter it by a moving vocal tract."""
    n = int(seconds * RATE)
    here, frames = np.arange(n), len(burst.f0[: (n + HOP - 1) // HOP])
    knots = np.arange(len(burst.f0)) * HOP
    f0 = np.interp(here, knots, burst.f0)
    rough = np.interp(here, knots, burst.rough)
    moves = np.stack([slow_curve(rng, frames, 3.0, HOP) for _ in range(3)], -1)
    tract = FORMANTS_HZ * voice.tract * 2 ** (0.08 * moves)
    tilt = voice.tilt_db + style.effort_db + 2.3 * voice.severity
    gain = formant_gain(tract, WIDTHS_HZ, tilt)
    wave, phase = harmonic_stack(f0, gain)
    wave *= 1 + 0.8 * rough * np.cos(phase / 2)  # subharmonic of dysphonation
    if burst.ratio:
        wander = 2 ** (0.1 * slow_curve(rng, n, 4.0))
        second = harmonic_stack(f0 * burst.ratio * wander, gain)[0]
        start, stop = sorted(rng.uniform(0, n, 2))
        wave += 0.7 * second * ((here > start) & (here < stop))
    shape = formant_gain(tract.mean(0)[None], WIDTHS_HZ, tilt + 1.0)
    breath = shaped_noise(rng, n, lambda hz: shape(hz[None])[0])
    wave = wave / (wave.std() + 1e-9)
    wave = wave * (1 - 0.4 * rough) + breath * (
        voice.breath + 0.25 * voice.severity + 0.7 * rough
    )
    shimmer = np.exp(0.12 * slow_curve(rng, n, 40.0))
    rise = np.clip(here / (style.attack_s * RATE), 0, 1)
    fade = np.clip((n - here) / (0.2 * n + 400), 0, 1)
    return wave / 3 * shimmer * rise * fade * (1 - 0.3 * here / n)


def _inspiration(rng: np.random.Generator, voice: Voice) -> np.ndarray:
    """Short, breathy, high intake of air ``[samples]``."""
    n = int(RATE * rng.uniform(0.08, 0.18))
    f0 = voice.f0_hz * rng.uniform(1.3, 1.9) * np.linspace(0.9, 1.1, n)
    gain = formant_gain(FORMANTS_HZ * voice.tract, WIDTHS_HZ, -4.0)
    wave = harmonic_stack(f0, gain)[0]
    wave = wave / wave.std() + 1.5 * shaped_noise(rng, n, band(900.0, 6000.0))
    return 0.12 * wave * np.hanning(n)


def make_cry(
    rng: np.random.Generator,
    voice: Voice,
    trigger: str,
    site: str,
    seconds: float,
) -> np.ndarray:
    """Synthesise one recording of a crying patient ``[samples]``."""
    style = draw_style(rng, trigger)
    dry = np.zeros(round(seconds * RATE))
    breathes_loud = rng.uniform() < 0.6
    for start, length in burst_times(rng, voice, style, seconds):
        burst = draw_burst(rng, voice, style, length)
        wave = sound_burst(rng, burst, voice, style, length)
        wave *= np.exp(style.level_spread * rng.normal())
        first = int(start * RATE)
        dry[first : first + len(wave)] += wave[: len(dry) - first]
        after = first + len(wave) + 400
        if breathes_loud and after < len(dry):
            gasp = _inspiration(rng, voice)[: len(dry) - after]
            dry[after : after + len(gasp)] += gasp
    return record(rng, dry, SITES[site])
