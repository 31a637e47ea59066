"""A source-filter model of infant cries, for the embedded corpus.

Synthetic: no infant was recorded, nothing here may be read as a finding about
infants. Terms follow the cry literature: a cry is a series of *expirations*
(bursts) with pauses or *inspirations* between; the source is in *phonation*
(F0 about 350-600 Hz), *hyperphonation* (F0 jumps above 1 kHz) or *dysphonation*
(noisy, subharmonic); F0 draws a *melody* (rising, falling, rising-falling,
flat, complex), may *glide* fast or split in two (*biphonation*); the short
vocal tract resonates near 1.1, 3.3 and 5.5 kHz.

Sources of the terms, the ranges of F0 and burst length, and of the direction
in which pain and neurological injury move them: Wasz-Hoeckert et al. 1968 ("The
infant cry: a spectrographic and auditory analysis"), Michelsson's studies of
newborns with asphyxia and CNS disorders, Golub and Corwin 1985 ("A
physioacoustic model of the infant cry": the three modes), LaGasse, Neal and
Lester 2005 ("Assessment of infant cry"), Kheddache and Tadj on hyperphonation
and irregular F0 in pathological cries. The formants are the odd quarter-wave
resonances of a tube of 7.8 cm. **Every number that says how far, how often or
how widely spread is this project's choice**, tuned so that the tasks are
neither trivial nor impossible (measured: see ``data_prep.synthetic``).

Injury works through `severity` only: every patient has one in 0..1, from one of
two overlapping distributions, dealt out by quantiles so that corpora of
different seeds are about equally hard. A trigger works through a `Style`,
blended with the neutral one by a strength drawn for each recording.
"""

from dataclasses import dataclass, fields
from typing import Dict, List, Optional, Tuple

import numpy as np
from scipy.special import betaincinv

from data_prep.synthetic.signal import (
    HOP,
    RATE,
    Recorder,
    band,
    formant_gain,
    harmonic_stack,
    record,
    shaped_noise,
    slow_curve,
)

FORMANTS_HZ = np.array([1100.0, 3300.0, 5500.0])  # 7.8 cm tube, open-closed
WIDTHS_HZ = np.array([260.0, 420.0, 600.0])  # our choice
ODDITIES = ("hyperphonation", "dysphonation", "biphonation", "glide")
MELODIES = ("rising", "falling", "rising-falling", "flat", "complex")

# Four places with their own room, microphone and noise (our choice).
SITES: Dict[str, Recorder] = {
    "site_a": Recorder(
        (-4.0, -1.0, 0.0, 1.0, 2.0, 0.0, -3.0), 7400.0, 0.35, -14.0, 0.6
    ),
    "site_b": Recorder(
        eq_db=(2.0, 2.0, 1.0, 0.0, -2.0, -5.0, -9.0),
        high_hz=6000.0,
        reverb_s=0.7,
        wet_db=-9.0,
        noise_slope=0.9,
        snr_db=(20.0, 5.0),
        level_db=(-33.0, 3.0),
        hum_hz=100.0,
    ),
    "site_c": Recorder(
        eq_db=(-9.0, -5.0, -1.0, 0.0, 3.0, 5.0, 2.0),
        reverb_s=0.2,
        wet_db=-18.0,
        noise_slope=0.2,
        snr_db=(28.0, 5.0),
        level_db=(-28.0, 1.5),
    ),
    "site_d": Recorder(
        eq_db=(0.0, 1.0, 3.0, 1.0, -1.0, -3.0, -14.0),
        high_hz=4200.0,
        reverb_s=0.5,
        wet_db=-11.0,
        noise_slope=0.5,
        snr_db=(18.0, 4.0),
        level_db=(-31.0, 2.0),
        beep_hz=1020.0,
    ),
}
SITE_SHARES = (0.4, 0.3, 0.2, 0.1)


@dataclass(frozen=True)
class Voice:
    """What stays the same in all recordings of a patient.

    Arguments
    ---------
    f0_hz : float
        Typical fundamental frequency in phonation, Hz.
    tract : float
        Scale of the formants (short tract above 1).
    tilt_db : float
        Spectral tilt, dB an octave.
    breath : float
        Share of noise in the source.
    burst_s, pause_s : float
        Typical lengths, seconds.
    tremor_hz : float
        Rate of the vibrato, Hz.
    habits : Tuple[float, ...]
        How readily the voice falls into hyperphonation, dysphonation,
        biphonation and glides whatever its health, 0..1.
    severity : float
        Of a neurological injury, 0..1; small, not 0, in the healthy.
    """

    f0_hz: float
    tract: float
    tilt_db: float
    breath: float
    burst_s: float
    pause_s: float
    tremor_hz: float
    habits: Tuple[float, ...]
    severity: float


@dataclass(frozen=True)
class Style:
    """How a trigger colours a cry, as factors on the voice (our choice).

    Arguments
    ---------
    f0, burst, first, pause : float
        Factors on F0, burst length, length of the first burst, pause length.
    irregular : float
        Spread of burst and pause lengths (of their logarithm).
    attack_s : float
        Onset time of a burst, seconds.
    effort_db : float
        Added to the spectral tilt, dB an octave.
    level_spread : float
        Spread of the level over bursts (of its logarithm).
    harsh : float
        Added probability of dysphonation.
    rise, fall, arc, flat, tangled : float
        Weights of the MELODIES, in their order.
    """

    f0: float = 1.0
    burst: float = 1.0
    first: float = 1.15
    pause: float = 1.0
    irregular: float = 0.25
    attack_s: float = 0.06
    effort_db: float = 0.0
    level_spread: float = 0.25
    harsh: float = 0.05
    rise: float = 1.0
    fall: float = 1.5
    arc: float = 2.5
    flat: float = 1.0
    tangled: float = 1.0


NEUTRAL = Style()
STYLES: Dict[str, Style] = {
    "pain": Style(
        f0=1.13,
        burst=1.3,
        first=2.0,
        pause=0.95,
        irregular=0.28,
        attack_s=0.015,
        effort_db=1.5,
        harsh=0.18,
        fall=3.0,
        flat=2.0,
        arc=1.5,
    ),
    "hunger": Style(
        f0=0.98,
        burst=0.9,
        first=0.95,
        pause=0.85,
        irregular=0.08,
        attack_s=0.07,
        level_spread=0.12,
        arc=6.0,
        flat=0.5,
        tangled=0.5,
    ),
    "discomfort": Style(
        f0=0.93,
        burst=0.65,
        first=0.8,
        pause=1.5,
        irregular=0.5,
        attack_s=0.11,
        effort_db=-2.0,
        level_spread=0.6,
        rise=2.0,
        arc=1.5,
        tangled=2.5,
    ),
}


def severity_at(quantile: float, injured: bool) -> float:
    """Quantiles of severity in the healthy and the injured, which overlap.

    Example
    -------
    >>> round(severity_at(0.5, False), 2), round(severity_at(0.5, True), 2)
    (0.15, 0.63)
    """
    shape = (2.5, 1.6) if injured else (1.2, 5.5)
    return float(betaincinv(*shape, quantile))


def draw_voice(rng: np.random.Generator, severity: float) -> Voice:
    """A patient's voice.

    Example
    -------
    >>> 300 < draw_voice(np.random.default_rng(0), 0.1).f0_hz < 650
    True
    """
    return Voice(
        f0_hz=float(np.clip(440 * np.exp(0.12 * rng.normal()), 330, 620)),
        tract=float(np.exp(0.06 * rng.normal())),
        tilt_db=float(rng.normal(-6.0, 1.2)),
        breath=float(rng.uniform(0.03, 0.2)),
        burst_s=float(0.9 * np.exp(0.2 * rng.normal())),
        pause_s=float(0.3 * np.exp(0.3 * rng.normal())),
        tremor_hz=float(rng.uniform(5, 9)),
        habits=tuple(rng.beta(1.0, 8.0, 4)),
        severity=severity,
    )


def _draw_style(rng: np.random.Generator, trigger: str) -> Style:
    """A trigger's style for one recording: never pure, never absent."""
    strength = rng.uniform(0.15, 1.1)
    other = STYLES[str(rng.choice(sorted(STYLES)))]
    mixed = {}
    for field in fields(Style):
        plain, pure = getattr(NEUTRAL, field.name), getattr(other, field.name)
        base = plain + 0.35 * (pure - plain)  # a cry has more than one cause
        target = getattr(STYLES[trigger], field.name)
        mixed[field.name] = float(base + strength * (target - base))
    for name in mixed:
        if name != "effort_db":  # all others are factors, times or weights
            mixed[name] = max(mixed[name], 0.01)
    return Style(**mixed)


def _melody(rng: np.random.Generator, kind: str, frames: int) -> np.ndarray:
    """Contour of F0 over a burst [frames], octaves about the voice's F0."""
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


def _burst_times(
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
    """The source of one expiration, at control rate (a frame is HOP samples).

    Arguments
    ---------
    f0 : np.ndarray
        Fundamental frequency [frames], Hz.
    rough : np.ndarray
        Dysphonation [frames], 0..1.
    ratio : float
        F0 of a second, independent source against the first; 0 without.
    mode : str
        "phonation", "hyperphonation" or "dysphonation".
    """

    f0: np.ndarray
    rough: np.ndarray
    ratio: float
    mode: str


def _stretch(
    rng: np.random.Generator, frames: int, low: float, high: float
) -> slice:
    """A random stretch of low..high of the frames."""
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
    """F0 of a burst in phonation, [frames], Hz."""
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
    """Melody, mode and irregularities of one burst.

    Example
    -------
    >>> rng = np.random.default_rng(0)
    >>> voice = draw_voice(rng, 0.1)
    >>> burst = draw_burst(rng, voice, NEUTRAL, 1.0, "hyperphonation")
    >>> bool(burst.f0.min() > 1000)
    True
    """
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
    """Sends a source through the moving vocal tract.

    Example
    -------
    >>> rng = np.random.default_rng(0)
    >>> voice = draw_voice(rng, 0.1)
    >>> burst = draw_burst(rng, voice, NEUTRAL, 0.5)
    >>> sound_burst(rng, burst, voice, NEUTRAL, 0.5).shape
    (8000,)
    """
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
    """A short, breathy, high intake of air, [samples]."""
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
    """One recording of a crying patient.

    Example
    -------
    >>> rng = np.random.default_rng(0)
    >>> make_cry(rng, draw_voice(rng, 0.6), "pain", "site_a", 2.0).shape
    (32000,)
    """
    style = _draw_style(rng, trigger)
    dry = np.zeros(round(seconds * RATE))
    breathes_loud = rng.uniform() < 0.6
    for start, length in _burst_times(rng, voice, style, seconds):
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
