"""Acoustic measures of signals whose measures are known."""

import numpy as np
import pytest
import torch

from cry_modules.evaluation.acoustics import (
    AcousticMeasures,
    acoustic_measures,
    expirations,
    rises_and_falls,
)
from data_prep.files.errors import InputError

RATE = 16000


def voice(f0, seconds=1.0, rate=RATE):
    """Harmonic sound with an F0 that is constant or a value a sample."""
    hz = np.broadcast_to(f0, round(seconds * rate))
    phase = 2 * np.pi * np.cumsum(hz) / rate
    n = max(1, min(6, int(0.45 * rate // hz.max())))
    return 0.2 * sum(np.cos(k * phase) / k for k in range(1, n + 1))


def pulses(f0, jitter=0.0, shimmer=0.0, seconds=2.0, rate=48000):
    """Glottal pulses through a resonance of 1.1 kHz, with normal deviations of
    periods and amplitudes; and these, in shares."""
    rng = np.random.default_rng(0)
    n = int(seconds * f0)
    periods = (1 + jitter * rng.normal(size=n)) / f0
    heights = 1 + shimmer * rng.normal(size=n)
    at = np.cumsum(periods)
    wave = np.zeros(int(at[-1] * rate))
    for begin, height in zip(at, heights):
        first = int(begin * rate) + 1
        last = min(len(wave), first + round(0.006 * rate))
        t = np.arange(first, last) / rate - begin
        ring = np.exp(-t / 0.0006) * np.sin(2 * np.pi * 1100 * t)
        wave[first:last] += height * ring * (1 - np.exp(-t / 1e-4))
    return wave, [
        np.abs(np.diff(x)).mean() / x.mean() for x in (periods, heights)
    ]


@pytest.mark.parametrize("f0", [250, 450, 700])
@pytest.mark.parametrize("deviations", [(0, 0), (0.01, 0.05), (0.02, 0)])
def test_jitter_and_shimmer_of_pulses(f0, deviations):
    wave, (jitter, shimmer) = pulses(f0, *deviations)
    measures = acoustic_measures(wave, 48000)
    assert measures["jitter_percent"] == pytest.approx(
        100 * jitter, rel=0.15, abs=0.05
    )
    # Neighbouring pulses overlap, more so the higher F0 is and jitter too.
    assert measures["shimmer_percent"] == pytest.approx(
        100 * shimmer, rel=0.2, abs=0.2 + f0 * deviations[0] * 0.25
    )
    assert measures["f0_median_hz"] == pytest.approx(f0, rel=0.003)


@pytest.mark.parametrize("f0", [300, 450])
def test_shimmer_of_a_sine_is_the_formula_in_slow_loops(f0):
    rng = np.random.default_rng(1)
    heights = 1 + 0.05 * rng.normal(size=2 * f0)
    t = np.arange(2 * RATE) / RATE
    wave = heights[(t * f0).astype(int)] * np.sin(2 * np.pi * f0 * t)
    pairs = [abs(b - a) for a, b in zip(heights, heights[1:])]
    expected = 100 * (sum(pairs) / len(pairs)) / (sum(heights) / len(heights))
    measures = acoustic_measures(wave, RATE)
    assert measures["shimmer_percent"] == pytest.approx(expected, rel=0.03)
    assert measures["jitter_percent"] < 0.1


@pytest.mark.parametrize("snr_db", [20, 10, 5, 0])
def test_harmonics_to_noise_ratio_is_that_of_the_mixture(snr_db):
    wave = voice(400, 3.0)
    noise = np.random.default_rng(0).normal(size=len(wave))
    noise *= np.sqrt(np.mean(wave**2) / np.mean(noise**2))
    measures = acoustic_measures(wave + noise * 10 ** (-snr_db / 20), RATE)
    assert measures["hnr_db"] == pytest.approx(snr_db, abs=0.5)


def cry(*lasting):
    """Sounds and silences in turn, of durations in seconds."""
    return np.concatenate(
        [voice(450, s) if i % 2 == 0 else np.zeros(round(s * RATE))
         for i, s in enumerate(lasting)]
    )  # fmt: skip


@pytest.mark.parametrize("background_db", [None, -40, -20])
def test_durations_of_expirations_and_pauses(background_db):
    wave = cry(1.0, 0.5, 0.4, 0.3, 0.7)
    if background_db is not None:
        noise = np.random.default_rng(0).normal(size=len(wave))
        level = np.sqrt(np.mean(wave[:RATE] ** 2)) * 10 ** (background_db / 20)
        wave = wave + level * noise
    measures = acoustic_measures(wave, RATE)
    expected = {
        "expiration_count": 3, "expiration_mean_s": 0.7,
        "expiration_longest_s": 1.0, "expirations_per_s": 3 / 2.9,
        "pause_count": 2, "pause_mean_s": 0.4, "pause_longest_s": 0.5,
    }  # fmt: skip
    for name, value in expected.items():
        assert measures[name] == pytest.approx(value, abs=0.021), name


def test_a_click_is_not_an_expiration_and_a_gap_not_a_pause():
    level = np.full(100, -80.0)
    level[10:50] = level[55:80] = level[95] = -20.0
    assert expirations(level) == [(10, 80)]
    level[95] = 10.0  # a slam does not hide the cry
    assert expirations(level) == [(10, 80)]


def test_melody_of_known_slopes():
    """Up an octave in 0.5 s, down half an octave in 0.5 s."""
    up, down = np.linspace(0, 12, 8000), np.linspace(12, 6, 8000)
    for octaves, slope, rises, falls in (
        (up, 24, 1, 0),
        (down, -12, 0, 1),
        (np.concatenate([up, down]), None, 1, 1),
    ):
        f0 = 330 * 2 ** (octaves / 12)
        measures = acoustic_measures(voice(f0, len(f0) / RATE), RATE)
        if slope:
            found = measures["f0_slope_semitones_per_s"]
            assert found == pytest.approx(slope, rel=0.02)
        assert measures["f0_rises_per_expiration"] == rises
        assert measures["f0_falls_per_expiration"] == falls
    measures = acoustic_measures(voice(330 * 2 ** (up / 12), 0.5), RATE)
    # Evenly spread over 12 semitones.
    assert measures["f0_sd_semitones"] == pytest.approx(12 / 12**0.5, abs=0.2)
    assert measures["f0_range_semitones"] == pytest.approx(0.9 * 12, abs=0.3)
    assert measures["f0_median_hz"] == pytest.approx(330 * 2**0.5, rel=0.01)


def test_a_wobble_is_neither_a_rise_nor_a_fall():
    assert rises_and_falls(np.sin(np.arange(100)) * 0.5, step=1.1) == (0, 0)


def test_shares_of_voice_and_of_hyperphonation():
    noise = 0.1 * np.random.default_rng(0).normal(size=RATE // 2)
    wave = np.concatenate([voice(450, 0.75), voice(1400, 0.25), noise])
    measures = acoustic_measures(wave, RATE)
    assert measures["hyperphonation_share"] == pytest.approx(0.25, abs=0.03)
    assert measures["voiced_share"] == pytest.approx(1 / 1.5, abs=0.03)


def test_level_range_is_between_percentiles_of_the_level():
    wave = voice(400, 1.0) * np.repeat([1.0, 0.5], 8000)  # whole periods
    measures = acoustic_measures(wave, RATE)
    assert measures["level_range_db"] == pytest.approx(6.02, abs=0.2)


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_the_sample_rate_of_the_file_changes_little(rate):
    t = np.arange(2 * rate) / rate
    wave = np.sin(2 * np.pi * (500 * t + 60 / 6 * np.sin(6 * t)))
    first = acoustic_measures(wave, rate)
    t = np.arange(2 * RATE) / RATE
    wave = np.sin(2 * np.pi * (500 * t + 60 / 6 * np.sin(6 * t)))
    second = acoustic_measures(wave, RATE)
    for name in ("f0_median_hz", "f0_sd_semitones", "expiration_mean_s"):
        assert first[name] == pytest.approx(second[name], rel=0.02), name


@pytest.mark.parametrize("changed", [
    lambda x: 1e-3 * x,
    lambda x: np.pad(x, (1600, 0)),
    lambda x: np.pad(x, (0, 16000)),
    lambda x: np.pad(x, (320000, 320000)),
])  # fmt: skip
def test_level_and_silence_around_change_nothing(changed):
    noise = np.random.default_rng(0).normal(size=round(2.4 * RATE))
    wave = cry(1.0, 0.5, 0.9) + 1e-3 * noise
    first, second = (acoustic_measures(x, RATE) for x in (wave, changed(wave)))
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert second[name] == pytest.approx(value, rel=0.01, abs=0.01), name


UNVOICED = {
    "silence": np.zeros(RATE), "nothing": np.zeros(0), "a sample": np.ones(1),
    "direct current": np.ones(RATE), "0.05 s": voice(450, 0.05),
    "noise": np.random.default_rng(0).normal(size=RATE),
}  # fmt: skip


@pytest.mark.parametrize("name", UNVOICED)
def test_without_a_voice_its_measures_are_0(name):
    measures = acoustic_measures(UNVOICED[name], RATE)
    assert all(np.isfinite(value) for value in measures.values())
    assert all(type(value) is float for value in measures.values())
    for key in ("f0_median_hz", "jitter_percent", "hnr_db", "voiced_share"):
        assert measures[key] == 0, key


def test_a_cry_of_a_fifth_of_a_second_is_measured():
    measures = acoustic_measures(voice(450, 0.2), RATE)
    assert measures["f0_median_hz"] == pytest.approx(450, abs=2)
    assert measures["expiration_mean_s"] == pytest.approx(0.2)
    assert all(np.isfinite(value) for value in measures.values())


@pytest.mark.parametrize(
    "wav, rate", [
        (np.ones((2, 8)), RATE), (np.array([1.0, np.nan]), RATE),
        (np.ones(8), 0),
    ]
)  # fmt: skip
def test_what_cannot_be_measured_is_refused_in_one_line(wav, rate):
    with pytest.raises(InputError) as error:
        acoustic_measures(wav, rate)
    assert "; " in str(error.value) and "\n" not in str(error.value)


def test_a_batch_is_measured_without_its_padding():
    waves = [torch.tensor(cry(*c)).float() for c in ((0.4,), (0.5, 0.2, 0.4))]
    batch = torch.nn.utils.rnn.pad_sequence(waves, batch_first=True)
    lengths = torch.tensor([len(w) / batch.shape[1] for w in waves])
    model = AcousticMeasures(RATE)
    rows = model(batch, lengths)
    for wave, row in zip(waves, rows):
        expected = acoustic_measures(wave, RATE)
        kept = [v for k, v in expected.items() if not k.endswith("_count")]
        np.testing.assert_allclose(row.numpy(), kept, rtol=1e-6)
    assert torch.equal(model(batch[1:]), rows[1:])
