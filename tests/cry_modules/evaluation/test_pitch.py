"""F0 and harmonicity: formulas in slow loops, and tones whose F0 is known."""

import numpy as np
import pytest

from cry_modules.evaluation import pitch
from cry_modules.evaluation.pitch import HOP, RATE, pitch_contour


def tone(hz, seconds=0.4, harmonics=6):
    phase = 2 * np.pi * np.cumsum(np.full(round(seconds * RATE), hz)) / RATE
    n = max(1, min(harmonics, int(7500 // hz)))
    return sum(np.cos(k * phase) / k for k in range(1, n + 1))


@pytest.mark.parametrize("hz", [180, 250, 440, 700, 1000, 1333, 1900])
def test_a_tone_has_its_f0_to_a_few_cents(hz):
    f0, harmonicity = pitch_contour(tone(hz))
    inner = slice(3, -3)  # frames that hold no silence
    assert np.abs(1200 * np.log2(f0[inner] / hz)).max() < 3
    assert harmonicity[inner].min() > 0.99


def test_f0_follows_a_melody_and_jumps_to_hyperphonation():
    hz = np.concatenate(
        [np.geomspace(350, 600, RATE // 2), np.full(RATE // 2, 1400.0)]
    )
    phase = 2 * np.pi * np.cumsum(hz) / RATE
    wave = sum(np.cos(k * phase) / k for k in range(1, 5))
    f0 = pitch_contour(wave).f0
    truth = hz[np.arange(len(f0)) * HOP + HOP // 2]
    inner = np.r_[3:47, 53:97]  # apart from the ends and the jump
    assert np.abs(1200 * np.log2(f0[inner] / truth[inner])).max() < 15


def test_candidates_are_boersmas_autocorrelation_in_slow_loops():
    """r(lag) of the windowed frame without its mean, divided by that of the
    window (his equation 9), as sums of cosines over its spectrum: of the power
    for harmonicity, of the magnitude for the peaks."""
    rng = np.random.default_rng(0)
    n, size = pitch._WINDOW, 1024
    window = np.hanning(n + 2)[1:-1]
    frame = tone(390, 0.1)[:n] + 0.3 * rng.normal(size=n)
    windowed = (frame - frame.mean()) * window

    def r(x, lag, exponent):
        magnitudes = np.abs(np.fft.fft(x, size)) ** exponent
        turns = np.fft.fftfreq(size) * lag
        cosines = [m * np.cos(2 * np.pi * t) for m, t in zip(magnitudes, turns)]
        return sum(cosines) / sum(magnitudes)

    hz, strength, harmonicity = pitch._candidates(frame[None])
    assert hz[0, 0] == strength[0, 0] == harmonicity[0, 0] == 0
    real = np.isfinite(strength[0]) & (hz[0] > 0)
    assert real.sum() >= 2
    for f0, height, harmonic in zip(
        hz[0, real], strength[0, real], harmonicity[0, real]
    ):
        lags = RATE / f0 + np.array([-0.2, 0, 0.2])
        at = [r(windowed, x, 1) / r(window, x, 1) for x in lags]
        assert at[1] == pytest.approx(height, abs=2e-3)
        assert at[1] >= max(at) - 1e-3  # a peak
        lags = RATE / f0 + np.arange(-20, 21) / 40
        at = max(r(windowed, x, 2) / r(window, x, 2) for x in lags)
        assert harmonic == pytest.approx(max(at, 0), abs=5e-3)


def test_the_path_is_the_best_of_all_paths():
    rng = np.random.default_rng(1)
    hz = np.hstack([np.zeros((5, 1)), rng.uniform(150, 1500, (5, 2))])
    strength = np.hstack([np.zeros((5, 1)), rng.uniform(0, 1, (5, 2))])

    def value(path):
        total = 0.0
        for i, k in enumerate(path):
            f = hz[i, k]
            total += strength[i, k] + 0.08 * np.log2(f / 150) if f else 0.4
            if i:
                before = hz[i - 1, path[i - 1]]
                if f and before:
                    total -= 0.35 * abs(np.log2(f / before))
                elif f or before:
                    total -= 0.14
        return total

    every = np.stack(np.meshgrid(*[range(3)] * 5), -1).reshape(-1, 5)
    best = max(every, key=value)
    assert list(pitch._best_path(hz, strength)) == list(best)


def test_noise_and_silence_are_unvoiced():
    noise = np.random.default_rng(0).normal(size=RATE)
    assert (pitch_contour(noise).f0 > 0).mean() < 0.1
    for silence in (np.zeros(RATE), np.ones(RATE), np.zeros(0), np.ones(1)):
        f0, harmonicity = pitch_contour(silence)
        assert not f0.any() and np.isfinite(harmonicity).all()


def test_pieces_of_a_long_recording_join_without_a_seam(monkeypatch):
    wave = tone(430, 1.0) + 0.1 * np.random.default_rng(0).normal(size=RATE)
    whole = pitch_contour(wave)
    monkeypatch.setattr(pitch, "_FRAMES_AT_ONCE", 7)
    for a, b in zip(whole, pitch_contour(wave)):
        np.testing.assert_array_equal(a, b)
