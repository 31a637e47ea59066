"""Generic synthetic sounds, in place of the classes of VGGSound.

Labels describe the synthesis ("bark-like", never "dog barking"). All values are
this project's choice.
"""

from typing import Callable, Dict, Optional, Tuple

import numpy as np
import scipy

from data_prep.synthetic.signal import (
    HOP,
    RATE,
    Recorder,
    band,
    draw_recorder,
    formant_gain,
    harmonic_stack,
    record,
    shaped_noise,
    slow_curve,
)


def _times(
    rng: np.random.Generator, n: int, rate_hz: float, irregular: float = 0.1
) -> np.ndarray:
    """Onsets of repeated events in samples, from a clock (0) to Poisson (1)."""
    count = int(n / RATE * rate_hz * 1.5) + 2
    gaps = (1 - irregular) + irregular * rng.exponential(1, count)
    onsets = (np.cumsum(gaps) - rng.uniform(0.5, 1.0)) / rate_hz * RATE
    onsets = onsets[(onsets >= 0) & (onsets < n - 16)].astype(int)
    return onsets if len(onsets) else np.array([n // 4])


def _place(n: int, onsets: np.ndarray, event: Callable) -> np.ndarray:
    """Sum of new events at the onsets ``[n]``."""
    out = np.zeros(n)
    for onset in onsets:
        wave = event()[: n - onset]
        out[onset : onset + len(wave)] += wave
    return out


def _decay(n: int, seconds: float) -> np.ndarray:
    """Exponential decay to -60 dB in `seconds`, with a 1 ms attack ``[n]``."""
    time = np.arange(n) / RATE
    return np.minimum(time * 1000, 1.0) * np.exp(-6.9 * time / seconds)


def _arc(n: int) -> np.ndarray:
    """Smooth rise and fall ``[n]``."""
    return np.sin(np.pi * np.linspace(0, 1, n)) ** 0.6


def _power(exponent: float) -> Callable:
    """Harmonic amplitudes falling as a power of frequency."""
    return lambda hz: (hz / hz[:, :1]) ** -exponent


def _tone(rng, n, low=150.0, high=1500.0, exponent=4.0, vibrato=0.0):
    """A held tone."""
    time = np.arange(n) / RATE
    f0 = np.exp(rng.uniform(np.log(low), np.log(high)))
    swing = vibrato * np.sin(2 * np.pi * rng.uniform(4, 7) * time)
    f0 = f0 * np.exp(swing + 0.005 * slow_curve(rng, n, 2.0))
    wave = harmonic_stack(f0, _power(exponent * rng.uniform(0.8, 1.2)))[0]
    return wave * np.exp(0.3 * slow_curve(rng, n, 1.0))


def _glide(rng, n, octaves=1.0, rate=0.8):
    """Repeated glides of a tone."""
    start = rng.uniform(250, 700) * 2 ** max(-octaves, 0.0)
    span, exponent = octaves * rng.uniform(0.7, 1.3), rng.uniform(1.5, 4)
    length = int(RATE / rate * rng.uniform(0.5, 0.9))

    def event():
        f0 = start * rng.uniform(0.9, 1.1) * 2 ** np.linspace(0, span, length)
        return harmonic_stack(f0, _power(exponent))[0] * _arc(length)

    return _place(n, _times(rng, n, rate * rng.uniform(0.8, 1.2)), event)


def _birds(rng, n, rate=5.0, length_s=0.1, base=3000.0):
    """Short whistled sweeps in phrases."""
    centre, span = base * rng.uniform(0.75, 1.3), rng.normal(0, 0.5)
    trill = rng.uniform(0, 0.1)

    def event():
        m = int(RATE * length_s * rng.uniform(0.6, 1.4))
        time = np.arange(m) / RATE
        sweep = span * np.linspace(-1, 1, m) + trill * np.sin(190 * time)
        f0 = np.clip(centre * rng.uniform(0.9, 1.1) * 2**sweep, 800, 7000)
        return harmonic_stack(f0, _power(4.0))[0] * _arc(m)

    phrase = slow_curve(rng, n, 1.5)
    onsets = _times(rng, n, rate * rng.uniform(0.7, 1.4), 0.3)
    return _place(n, onsets[phrase[onsets] > -0.6], event)


def _barks(rng, n, base=350.0, rate=1.8):
    """Harsh short voiced bursts with a pitch arc."""
    pitch, formant = base * rng.uniform(0.7, 1.4), rng.uniform(700, 1500)
    tract = np.array([formant, 2.4 * formant])
    gain = formant_gain(tract, np.array([250.0, 400.0]), -4.0)

    def event():
        m = int(RATE * rng.uniform(0.12, 0.28))
        f0 = pitch * (0.7 + 0.5 * _arc(m)) * rng.uniform(0.9, 1.1)
        wave = harmonic_stack(f0, gain)[0]
        rough = shaped_noise(rng, m, band(500.0, 4000.0))
        return (wave + 0.5 * wave.std() * rough) * _arc(m)

    return _place(n, _times(rng, n, rate * rng.uniform(0.7, 1.5), 0.4), event)


def _siren(rng, n, period=4.0, steps=False):
    """A tone swinging between two pitches."""
    time = np.arange(n) / RATE / (period * rng.uniform(0.8, 1.25))
    swing = np.sin(2 * np.pi * (time + rng.uniform()))
    swing = np.sign(swing) if steps else swing
    f0 = rng.uniform(600, 1000) * 2 ** (rng.uniform(0.2, 0.6) * swing)
    return harmonic_stack(f0, _power(rng.uniform(0.8, 2.0)))[0]


def _engine(rng, n, revs=25.0, rise=0.0):
    """Low rough pulses, with a change of speed where `rise` is not 0."""
    ramp = 2 ** (rise * np.linspace(0, rng.uniform(0.7, 1.3), n))
    drift = np.exp(0.04 * slow_curve(rng, n, 6.0))
    f0 = revs * rng.uniform(0.7, 1.4) * ramp * drift
    peak, width = rng.uniform(100, 500), rng.uniform(100, 300)
    gain = formant_gain(np.array([peak, 4 * peak]), np.full(2, width), -5.0)
    wave, phase = harmonic_stack(f0, gain, top=90)
    rough = shaped_noise(rng, n, band(80.0, 3000.0, 0.5))
    return wave + 0.4 * wave.std() * rough * (1 + np.cos(phase))


def _drops(rng, n, rate=60.0, bed=0.3):
    """Many small decaying pings over a noise."""
    low = rng.uniform(800, 2000)

    def event():
        f0 = np.exp(rng.uniform(np.log(low), np.log(6000)))
        turn = 2 * np.pi * f0 * np.arange(480) / RATE
        return rng.exponential() * np.sin(turn) * _decay(480, 0.02)

    wave = _place(n, _times(rng, n, rate * rng.uniform(0.6, 1.6), 1.0), event)
    rain = shaped_noise(rng, n, band(400.0, 7000.0, rng.uniform(0.1, 0.5)))
    return wave + bed * rng.uniform(0.7, 1.4) * rain * 0.4


def _gusts(rng, n, low=60.0, high=600.0, rate=0.7, depth=0.8, whistle=False):
    """Noise that swells and dies away."""
    shape = band(low, high * rng.uniform(0.7, 1.4), rng.uniform(0.2, 0.8))
    swell = np.exp(depth * slow_curve(rng, n, rate * rng.uniform(0.7, 1.4)))
    wave = shaped_noise(rng, n, shape) * swell
    if whistle:
        f0 = rng.uniform(500, 1100) * 2 ** (0.25 * slow_curve(rng, n, 1.0))
        wave = 0.4 * wave + harmonic_stack(f0, _power(3.0))[0] * swell
    return wave


def _hits(rng, n, rate=3.0, irregular=0.1, low=800.0, high=4000.0, tail=0.06):
    """Decaying noise bursts: claps, clicks, cymbals, crackle."""
    shape = band(low * rng.uniform(0.8, 1.3), high * rng.uniform(0.8, 1.3))
    size = int(RATE * tail * 1.2)

    def event():
        loud = np.exp(0.5 * rng.standard_normal())
        return loud * shaped_noise(rng, size, shape) * _decay(size, tail)

    onsets = _times(rng, n, rate * rng.uniform(0.7, 1.4), irregular)
    return _place(n, onsets, event)


def _drums(rng, n, pitch=90.0, rate=2.5):
    """Struck membranes: a falling low tone and a short noise."""
    pitch, tail = pitch * rng.uniform(0.7, 1.5), rng.uniform(0.15, 0.5)
    size = int(RATE * tail)

    def event():
        time = np.arange(size) / RATE
        f0 = pitch * (1 + np.exp(-30 * time))
        skin = np.sin(2 * np.pi * np.cumsum(f0) / RATE)
        stick = 0.2 * rng.standard_normal(size) * _decay(size, 0.03)
        loud = rng.choice([0.5, 1.0])
        return loud * (skin * _decay(size, tail) + stick)

    return _place(n, _times(rng, n, rate * rng.uniform(0.7, 1.5), 0.2), event)


def _strings(rng, n, low=110.0, notes=1, rate=2.0):
    """Plucked strings (Karplus and Strong's delay line)."""
    scale = low * rng.uniform(0.8, 1.4) * 2 ** (np.arange(0, 25, 2) / 12)
    loss = rng.uniform(0.985, 0.998)

    def pluck(pitch):
        delay = int(RATE / pitch)
        feedback = np.zeros(delay + 2)
        feedback[[0, delay, delay + 1]] = 1.0, -0.5 * loss, -0.5 * loss
        burst = np.zeros(RATE)
        burst[:delay] = rng.uniform(-1, 1, delay)
        return scipy.signal.lfilter([1.0], feedback, burst) * np.linspace(
            1, 0, RATE
        )

    def event():
        return sum(pluck(p) for p in rng.choice(scale, notes, replace=False))

    return _place(n, _times(rng, n, rate * rng.uniform(0.7, 1.5), 0.1), event)


def _babble(rng, n, base=130.0, tract=1.0, voices=1):
    """Speech-like syllables: a voice through wandering formants."""
    out = np.zeros(n)
    for _ in range(voices):
        rhythm = slow_curve(rng, n, rng.uniform(6, 9))
        f0 = (
            base
            * rng.uniform(0.8, 1.25)
            * 2 ** (0.25 * slow_curve(rng, n, 2.5) - 0.2 * np.linspace(0, 1, n))
        )
        m = len(f0[::HOP])
        wander = [slow_curve(rng, m, 5.0, HOP) for _ in range(3)]
        centres = np.array([520.0, 1450.0, 2500.0]) * tract
        moving = centres * 2 ** (0.4 * np.stack(wander, -1))
        gain = formant_gain(moving, np.array([90.0, 130.0, 180.0]), -5.0)
        wave = harmonic_stack(f0, gain)[0]
        hiss = shaped_noise(rng, n, band(3000.0, 7000.0)) * wave.std()
        out += wave * np.clip(rhythm + 0.5, 0, 1.5)
        out += 0.5 * hiss * np.clip(-rhythm - 0.9, 0, 1)
    return out


def _beeps(rng, n, rate=2.0, duty=0.5, low=900.0, high=3200.0):
    """Alarm beeps: tones that switch on and off."""
    time = np.arange(n) / RATE
    cycle = (time * rate * rng.uniform(0.75, 1.3) + rng.uniform()) % 1.0
    f0 = np.full(n, rng.uniform(low, high))
    f0 = np.where(cycle < duty / 2, f0, f0 * rng.choice([1.0, 1.0, 1.25]))
    on = np.clip(np.minimum(cycle, duty - cycle) * 40, 0, 1)
    return harmonic_stack(f0, _power(rng.uniform(1, 3)))[0] * on


def _insect(rng, n, base=200.0, pulse_hz=0.0, carrier=0.0):
    """A buzz (many harmonics) or a pulsed high tone."""
    drift = np.exp(0.03 * slow_curve(rng, n, 3.0))
    f0 = (carrier or base) * rng.uniform(0.75, 1.3) * drift
    wave = harmonic_stack(f0, _power(3.0 if carrier else 0.5))[0]
    if pulse_hz:
        turn = np.cumsum(np.full(n, pulse_hz * rng.uniform(0.7, 1.4))) / RATE
        wave *= np.maximum(np.sin(2 * np.pi * turn), 0) ** 2
        wave *= slow_curve(rng, n, 1.5) > -0.5
    return wave * np.exp(0.4 * slow_curve(rng, n, 2.0))


def _bells(rng, n, base=600.0, tail=2.0, rate=0.9):
    """Struck bars or bells: inharmonic partials."""
    ratios = np.array([1.0, 2.0, 2.4, 3.0, 4.5, 5.3]) * rng.normal(1, 0.02, 6)
    base, size = base * rng.uniform(0.7, 1.4), int(RATE * tail)
    time = np.arange(size) / RATE

    def event():
        pitch = base * rng.choice([1.0, 1.0, 1.25, 1.5])
        partials = (
            np.sin(2 * np.pi * min(pitch * r, 7600) * time)
            * np.exp(-6.9 * time * r**0.5 / tail)
            / r
            for r in ratios
        )
        return sum(partials)

    return _place(n, _times(rng, n, rate * rng.uniform(0.7, 1.5), 0.5), event)


# The first four are the tiny corpus, the first sixteen the demo's.
CLASSES: Tuple[Tuple[str, Callable, Dict[str, object]], ...] = (
    ("tone glide, rising", _glide, {"octaves": 1.0}),
    ("bark-like bursts, yapping", _barks, {"base": 450.0, "rate": 2.5}),
    ("rain-like drops", _drops, {}),
    ("alarm-like beeps", _beeps, {}),
    ("bird-like chirps, fast trill", _birds, {"rate": 8.0, "length_s": 0.07}),
    ("siren-like sweep, wailing", _siren, {}),
    ("engine-like pulses, idling", _engine, {}),
    ("wind-like noise, gusting", _gusts, {}),
    ("clap-like bursts", _hits, {}),
    ("drum-like hits", _drums, {}),
    ("plucked string, single notes", _strings, {}),
    ("speech-like babble, low voice", _babble, {}),
    ("speech-like babble, high voice", _babble, {"base": 260.0, "tract": 1.2}),
    ("insect-like buzz", _insect, {}),
    ("bell-like partials", _bells, {}),
    ("clicks, regular", _hits, {"rate": 7.0, "low": 2500.0, "tail": 0.01}),
    ("tone glide, falling", _glide, {"octaves": -1.0}),
    ("tone glide, short swoops", _glide, {"octaves": 1.5, "rate": 2.5}),
    ("steady tone", _tone, {}),
    ("steady tone, buzzing", _tone, {"exponent": 0.7, "high": 500.0}),
    ("steady tone, with vibrato", _tone, {"vibrato": 0.03, "low": 300.0}),
    ("mains-like hum", _tone, {"low": 48.0, "high": 62.0, "exponent": 1.0}),
    ("bark-like bursts, deep", _barks, {"base": 170.0, "rate": 1.0}),
    ("rain-like noise, heavy", _drops, {"rate": 150.0, "bed": 2.0}),
    ("drip-like pings, sparse", _drops, {"rate": 4.0, "bed": 0.02}),
    ("alarm-like beeps, fast", _beeps, {"rate": 7.0}),
    ("monitor-like beeps, slow", _beeps, {"rate": 0.8, "duty": 0.15}),
    ("bird-like whistles, slow", _birds, {"rate": 1.2, "length_s": 0.5}),
    ("owl-like hoots", _birds, {"rate": 1, "length_s": 0.5, "base": 1000.0}),
    ("siren-like sweep, yelping", _siren, {"period": 0.4}),
    ("siren-like tones, alternating", _siren, {"period": 1.2, "steps": True}),
    ("engine-like pulses, accelerating", _engine, {"rise": 1.5}),
    ("motor-like whirr", _engine, {"revs": 110.0}),
    ("wind-like noise, whistling", _gusts, {"whistle": True}),
    ("surf-like swells", _gusts, {"high": 4000.0, "rate": 0.25, "depth": 1.2}),
    (
        "hiss-like noise, steady",
        _gusts,
        {"low": 2500.0, "high": 7500.0, "depth": 0.05},
    ),
    ("applause-like bursts, crowd", _hits, {"rate": 70.0, "irregular": 1.0}),
    (
        "crackle, fire-like",
        _hits,
        {"rate": 20.0, "irregular": 1.0, "low": 1500.0, "tail": 0.008},
    ),
    ("cymbal-like hits", _hits, {"rate": 4.0, "low": 4500.0, "high": 8000.0}),
    ("knock-like hits", _hits, {"low": 120.0, "high": 700.0, "rate": 2.5}),
    ("plucked string, chords", _strings, {"notes": 4, "rate": 1.0}),
    ("plucked string, fast picking", _strings, {"low": 260.0, "rate": 7.0}),
    ("speech-like babble, crowd", _babble, {"voices": 5}),
    ("cricket-like pulses", _insect, {"pulse_hz": 25.0, "carrier": 4300.0}),
    ("mosquito-like whine", _insect, {"base": 550.0}),
    ("chime-like partials, high", _bells, {"base": 1400.0, "rate": 3.0}),
)


def make_sound(
    rng: np.random.Generator,
    label_index: int,
    seconds: float,
    recorder: Optional[Recorder] = None,
) -> np.ndarray:
    """Synthesise and record one clip of a class ``[samples]``."""
    _, maker, options = CLASSES[label_index]
    dry = maker(rng, int(seconds * RATE), **options)
    return record(rng, dry, recorder or draw_recorder(rng))
