"""Sites, voices and styles of synthetic infant cries.

**Every number is this project's choice**, see ``cry.py``.
"""

from dataclasses import dataclass, fields
from typing import Dict, Tuple

import numpy as np
from scipy.special import betaincinv

from data_prep.synthetic.signal import Recorder

#: Four sites with different rooms, microphones and noise.
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
    """Properties that all recordings of a patient share."""

    f0_hz: float  #: typical fundamental frequency in phonation
    tract: float  #: factor on the formants, above 1 for a short vocal tract
    tilt_db: float  #: spectral tilt, dB per octave
    breath: float  #: share of noise in the source
    burst_s: float  #: typical length of a burst
    pause_s: float  #: typical length of a pause
    tremor_hz: float  #: rate of the vibrato
    #: tendency to each of ``cry.ODDITIES`` without an injury, 0 to 1
    habits: Tuple[float, ...]
    severity: float  #: of a neurological injury, 0 to 1; above 0 in the healthy


@dataclass(frozen=True)
class Style:
    """Effect of a trigger on a cry."""

    f0: float = 1.0  #: factor on F0
    burst: float = 1.0  #: factor on the length of bursts
    first: float = 1.15  #: factor on the length of the first burst
    pause: float = 1.0  #: factor on the length of pauses
    irregular: float = 0.25  #: spread of these lengths (of the logarithm)
    attack_s: float = 0.06  #: onset time of a burst
    effort_db: float = 0.0  #: added to the spectral tilt, dB per octave
    level_spread: float = 0.25  #: spread of the level (of the logarithm)
    harsh: float = 0.05  #: added probability of dysphonation
    #: weights of the melodies rising, falling, rising-falling, flat, complex
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
    """Severity in 0 to 1 at a quantile of its distribution over healthy or
    injured patients; the two distributions overlap."""
    shape = (2.5, 1.6) if injured else (1.2, 5.5)
    return float(betaincinv(*shape, quantile))


def draw_voice(rng: np.random.Generator, severity: float) -> Voice:
    """Draw the voice of a patient."""
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


def draw_style(rng: np.random.Generator, trigger: str) -> Style:
    """Draw the style of a recording: a blend of the trigger's style and another
    trigger's."""
    strength = rng.uniform(0.15, 1.1)
    other = STYLES[str(rng.choice(sorted(STYLES)))]
    mixed = {}
    for field in fields(Style):
        plain, pure = getattr(NEUTRAL, field.name), getattr(other, field.name)
        base = plain + 0.35 * (pure - plain)  # more than one cause
        target = getattr(STYLES[trigger], field.name)
        mixed[field.name] = float(base + strength * (target - base))
    for name in mixed:
        if name != "effort_db":  # the only one that may be negative
            mixed[name] = max(mixed[name], 0.01)
    return Style(**mixed)
