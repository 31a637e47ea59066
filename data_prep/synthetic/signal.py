"""Signals of synthetic audio, and its rooms and recorders.

All values are this project's choice.
"""

from dataclasses import dataclass
from typing import Callable, Tuple

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq

RATE = 16000  # Hz
HOP = 64  # samples between two control values (4 ms)
TOP_HZ = 7700.0  # harmonics fade out below the Nyquist frequency
TOP_PEAK = 10 ** (-0.5 / 20)  # largest peak, of full scale


def slow_curve(
    rng: np.random.Generator, n: int, rate_hz: float, step: float = 1.0
) -> np.ndarray:
    """Smooth standard-normal random curve, for drifts, gusts and swells.

    Example
    -------
    >>> slow_curve(np.random.default_rng(0), 100, 2.0, step=HOP).shape
    (100,)
    """
    knots = int(n * step * rate_hz / RATE) + 4
    position = np.arange(n) * (step * rate_hz / RATE) + rng.uniform()
    left = position.astype(int)
    blend = 0.5 - 0.5 * np.cos(np.pi * (position - left))
    values = rng.standard_normal(knots)
    return values[left] * (1 - blend) + values[left + 1] * blend


def harmonic_stack(
    f0: np.ndarray, gain: Callable[[np.ndarray], np.ndarray], top: int = 60
) -> Tuple[np.ndarray, np.ndarray]:
    """Band-limited additive synthesis of a harmonic sound.

    Example
    -------
    >>> wave, _ = harmonic_stack(np.full(1600, 400.0), lambda hz: 100.0 / hz)
    >>> int(np.argmax(np.abs(np.fft.rfft(wave)))) * 10  # Hz
    400
    """
    frames = f0[::HOP]
    count = max(1, min(top, int(TOP_HZ / f0.min())))
    freqs = frames[:, None] * np.arange(1, count + 1)
    gains = gain(freqs) * np.clip((TOP_HZ - freqs) / 500.0, 0.0, 1.0)
    phase = 2 * np.pi * np.cumsum(f0) / RATE
    turn = np.exp(1j * (phase % (2 * np.pi))).astype(np.complex64)
    power = np.ones_like(turn)
    wave = np.zeros(len(f0))
    here, knots = np.arange(len(f0)), np.arange(len(frames)) * HOP
    for k in range(count):  # the k-th power of a phasor is its k-th harmonic
        power = power * turn
        wave += np.interp(here, knots, gains[:, k]) * power.real
    return wave, phase


def formant_gain(
    formants_hz: np.ndarray, widths_hz: np.ndarray, tilt_db: float
) -> Callable[[np.ndarray], np.ndarray]:
    """Parallel vocal-tract resonances over a falling spectrum.

    Example
    -------
    >>> gain = formant_gain(np.array([1100.0]), np.array([200.0]), 0.0)
    >>> bool(gain(np.array([[1100.0]])) > gain(np.array([[2200.0]])))
    True
    """

    def gain(freqs: np.ndarray) -> np.ndarray:
        total = np.full(freqs.shape, 0.05)
        for i, width in enumerate(widths_hz):
            centre = formants_hz[..., i : i + 1]
            total += 1 / (1 + np.abs((freqs - centre) / width) ** 1.5)
        return total * np.maximum(freqs / 500.0, 0.5) ** (tilt_db / 6.02)

    return gain


def shaped_noise(
    rng: np.random.Generator, n: int, shape: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Gaussian noise of unit power with the given spectral shape.

    Example
    -------
    >>> noise = shaped_noise(np.random.default_rng(0), 500, lambda hz: hz < 900)
    >>> round(float(np.std(noise)), 1)
    1.0
    """
    size = next_fast_len(max(n, 256), real=True)
    hz = rfftfreq(size, 1 / RATE)
    wave = irfft(rfft(rng.standard_normal(size)) * shape(hz), size)[:n]
    return wave / (np.sqrt(np.mean(wave**2)) + 1e-12)


def band(low_hz: float, high_hz: float, slope: float = 0.0) -> Callable:
    """Spectrum of a band with soft edges, falling as 1 / f^slope within."""

    def shape(hz: np.ndarray) -> np.ndarray:
        hz = np.maximum(hz, 1.0)
        edges = 1 / ((1 + (low_hz / hz) ** 6) * (1 + (hz / high_hz) ** 6))
        return edges * (hz / 1000.0) ** -slope

    return shape


@dataclass(frozen=True)
class Recorder:
    """Recording conditions: room, background noise, microphone and level."""

    #: response at 125, 250, 500, 1000, 2000, 4000 and 7500 Hz
    eq_db: Tuple[float, ...] = (0.0,) * 7
    high_hz: float = 7500.0  #: cut-off of the microphone or codec
    reverb_s: float = 0.3  #: time in which the reverberation falls by 60 dB
    wet_db: float = -15.0  #: energy of the reverberation to the direct sound
    noise_slope: float = 0.5  #: colour of the background noise, see ``band``
    #: mean and spread over recordings of the signal-to-noise ratio
    snr_db: Tuple[float, float] = (25.0, 5.0)
    #: mean and spread over recordings of the level (root mean square)
    level_db: Tuple[float, float] = (-30.0, 2.0)
    hum_hz: float = 0.0  #: mains hum or fan tone, 0: none
    beep_hz: float = 0.0  #: beeps of a monitor, 0: none


def draw_recorder(rng: np.random.Generator) -> Recorder:
    """Draw the recording conditions of a video."""
    return Recorder(
        eq_db=tuple(rng.normal(0, 4, 7).round(2)),
        high_hz=float(rng.choice([3800, 5500, 7000, 7500, 7500])),
        reverb_s=float(rng.uniform(0.1, 1.0)),
        wet_db=float(rng.uniform(-25, -4)),
        noise_slope=float(rng.uniform(0.0, 1.0)),
        snr_db=(float(rng.uniform(5, 35)), 2.0),
        level_db=(float(rng.uniform(-40, -23)), 1.0),
        hum_hz=float(rng.choice([0, 0, 0, 50, 60])),
    )


def record(
    rng: np.random.Generator, dry: np.ndarray, recorder: Recorder
) -> np.ndarray:
    """Add room, noise and microphone to a dry sound ``[samples]``."""
    n, tail = len(dry), int(recorder.reverb_s * RATE)
    decay = 10 ** (-3 * np.arange(tail) / tail)
    room = rng.standard_normal(tail) * decay
    room *= 10 ** (recorder.wet_db / 20) / np.sqrt(np.sum(room**2))
    room[0] = 1.0
    size = next_fast_len(n + tail, real=True)
    wet = irfft(rfft(dry, size) * rfft(room, size), size)[:n]
    power = np.mean(wet**2) + 1e-12
    snr_db = max(rng.normal(*recorder.snr_db), 0.0)
    noise = _background(rng, n, recorder)
    mixed = wet + noise * np.sqrt(power / 10 ** (snr_db / 10))
    hz = np.maximum(rfftfreq(size, 1 / RATE), 1.0)
    knots = np.log2([125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 7500.0])
    # Distance and angle differ between recordings.
    eq_db = np.array(recorder.eq_db) + rng.normal(0, 1.5, len(knots))
    response = 10 ** (np.interp(np.log2(hz), knots, eq_db) / 20)
    response *= band(60.0, recorder.high_hz)(hz)
    wave = irfft(rfft(mixed, size) * response, size)[:n]
    # Scale by the level, not the peak: injured patients have shorter bursts,
    # so at equal peaks their recordings would be quieter.
    level = np.sqrt(np.mean(wave**2)) + 1e-9
    gain = 10 ** (rng.normal(*recorder.level_db) / 20) / level
    return wave * min(gain, TOP_PEAK / (np.abs(wave).max() + 1e-9))


def _background(
    rng: np.random.Generator, n: int, recorder: Recorder
) -> np.ndarray:
    """Noise, hum and beeps of a site ``[n]``, about unit power."""
    noise = shaped_noise(rng, n, band(40.0, 7800.0, recorder.noise_slope))
    noise *= np.exp(0.3 * slow_curve(rng, n, 0.5))
    time = np.arange(n) / RATE
    if recorder.hum_hz:
        for k in (1, 2, 3, 5):
            turn = 2 * np.pi * k * recorder.hum_hz * time
            noise += np.sin(turn + rng.uniform(0, 6)) / k
    if recorder.beep_hz:
        on = (time + rng.uniform()) % rng.uniform(0.8, 1.6) < 0.12
        noise += 1.5 * on * np.sin(2 * np.pi * recorder.beep_hz * time)
    return noise
