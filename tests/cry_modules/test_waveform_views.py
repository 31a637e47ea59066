"""Views as waveforms: background, noise and frequency response, each against
a plain twin in loops."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import speechbrain as sb
import torch

from cry_modules.front_ends import LogMel, sentence_mean_norm
from cry_modules.losses import NTXentLoss
from cry_modules.training.simclr import SimCLRBrain
from cry_modules.views.background import Background, add_at_snr
from cry_modules.views.frequency_response import FrequencyResponse
from cry_modules.views.noise import ColouredNoise
from cry_modules.views.waveform import WaveformAugment

RATE = 16000


def power(x):
    return x.double().square().mean(dim=-1)


def mixed_by_loops(wavs, sources, low, high):
    """For each view a uniform draw among the sources that are not its
    recording, one of its views, and a ratio in dB: the same random numbers."""
    n, n_rows = len(sources), len(wavs)
    draws = torch.rand(n_rows, n)
    views = torch.randint(n_rows // n, (n_rows,))
    decibels = torch.empty(n_rows, 1).uniform_(low, high)
    rows = []
    for i in range(n_rows):
        others = [j for j in range(n) if sources[j] and j != i % n]
        if not others:
            rows.append(wavs[i])
            continue
        other = max(others, key=lambda j: float(draws[i, j]))
        other = wavs[int(views[i]) * n + other]
        ratio = 10 ** (float(decibels[i]) / 10)
        gain = math.sqrt(power(wavs[i]) / (power(other) * ratio))
        rows.append(wavs[i] + gain * other)
    return torch.stack(rows)


@pytest.mark.parametrize(
    "sources", [[0, 0, 1, 1], [1, 1, 1, 1], [0, 1, 0, 0], [0, 0, 0, 0]]
)
@pytest.mark.parametrize("n_views", [2, 3])
def test_background_equals_the_loops(sources, n_views):
    wavs = torch.randn(4 * n_views, 400) * torch.rand(4 * n_views, 1)
    sources = torch.tensor(sources).bool()
    torch.manual_seed(5)
    result = Background([-3, 12])(wavs, sources)
    torch.manual_seed(5)
    torch.testing.assert_close(result, mixed_by_loops(wavs, sources, -3, 12))


def test_backgrounds_are_other_recordings_that_may_be_and_each_as_often():
    """Recordings by name: one sample each at its own place."""
    n, n_views = 4, 2
    wavs = torch.eye(n).repeat(n_views, 1)
    wavs[n:] *= 1 + 1e-3  # the second views
    sources = torch.tensor([False, True, True, True])
    counts = torch.zeros(n_views * n, n)
    for _ in range(600):
        counts += (Background([0, 0])(wavs, sources) - wavs > 0.5).float()
    for row, count in enumerate(counts):
        allowed = [j for j in range(1, n) if j != row % n]
        assert set(torch.where(count > 0)[0].tolist()) == set(allowed)
        # Five standard deviations of 600 draws.
        spread = 5 * math.sqrt(600 * (1 / len(allowed)) * 0.67)
        expected = torch.full((len(allowed),), 600 / len(allowed))
        torch.testing.assert_close(
            count[allowed], expected, rtol=0, atol=spread
        )


def test_both_views_of_a_recording_draw_apart():
    wavs = torch.randn(16, 400).repeat(2, 1)  # both views are the same chunk
    for augment in (
        Background([0, 0]),
        ColouredNoise([0, 0], RATE),
        FrequencyResponse(6.0, RATE),
    ):
        first, second = augment(wavs).chunk(2)
        assert bool((first != second).any(dim=1).sum() >= 14)


@pytest.mark.parametrize("low, high", [(0, 20), (7, 7)])
def test_ratios_are_uniform_in_their_range(low, high):
    wavs = 0.01 * torch.randn(2000, 100)
    other = 3 * torch.randn(2000, 100)
    added = add_at_snr(wavs, other, [low, high]) - wavs
    decibels = 10 * torch.log10(power(wavs) / power(added))
    assert decibels.min() > low - 1e-3 and decibels.max() < high + 1e-3
    # Five standard errors of the mean of a uniform distribution.
    spread = 5 * (high - low) / math.sqrt(12 * 2000)
    assert abs(decibels.mean() - (low + high) / 2) <= spread + 1e-3


def test_silence_stays_finite_and_silent():
    silent, loud = torch.zeros(2, 1600), torch.randn(2, 1600)
    assert torch.equal(add_at_snr(loud, silent, [0, 20]), loud)
    assert torch.equal(add_at_snr(silent, loud, [0, 20]), silent)
    everything = WaveformAugment(RATE, [0, 20], [0, 20], 6.0)
    assert torch.equal(everything(silent), silent)


def noise_by_loops(n_items, n_samples, low, high):
    """A sum of cosines of all frequencies, one sample after the other."""
    slopes = torch.empty(n_items, 1).uniform_(low, high)
    parts = torch.rand(n_items, n_samples // 2 + 1, 2) - 0.5
    rows = np.zeros((n_items, n_samples))
    for i in range(n_items):
        for k in range(1, n_samples // 2 + 1):
            hertz = k * RATE / n_samples
            factor = (max(hertz, 50) / 50) ** (-float(slopes[i]) / 2)
            # Twice, for the negative frequency; the highest is its own.
            times = 1 if 2 * k == n_samples else 2
            for t in range(n_samples):
                angle = 2 * math.pi * k * t / n_samples
                value = float(parts[i, k, 0]) * math.cos(angle)
                if times == 2:
                    value -= float(parts[i, k, 1]) * math.sin(angle)
                rows[i, t] += times * factor * value / n_samples
    return torch.tensor(rows).float()


@pytest.mark.parametrize("n_samples", [64, 65])
def test_noise_equals_the_loops(n_samples):
    torch.manual_seed(2)
    result = ColouredNoise([0, 20], RATE).noise_like(torch.zeros(2, n_samples))
    torch.manual_seed(2)
    expected = noise_by_loops(2, n_samples, 0.0, 2.0)
    torch.testing.assert_close(result, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("slope", [0.0, 1.0, 2.0])
def test_noise_falls_with_the_slope_and_is_gaussian(slope):
    torch.manual_seed(0)
    noise = ColouredNoise([0, 20], RATE, (slope, slope)).noise_like(
        torch.zeros(64, RATE)
    )
    density = torch.fft.rfft(noise).abs().square().mean(dim=0)  # a bin a Hz
    octave = [density[at : 2 * at].mean() for at in (400, 800, 1600, 3200)]
    ratios = torch.stack(octave).log2().diff()
    # 400 bins of 64 items: 1 % of the power, 0.02 of its logarithm.
    torch.testing.assert_close(
        ratios, torch.full((3,), -slope), rtol=0, atol=0.1
    )
    if slope == 0.0:
        kurtosis = noise.pow(4).mean() / noise.square().mean().square()
        assert kurtosis.item() == pytest.approx(3, abs=0.05)


def response_by_loops(wavs, decibels, n_cosines):
    """Each frequency times its gain, by sums over samples."""
    n_items, n = wavs.shape
    draws = torch.randn(n_items, n_cosines).double().numpy()
    highest = math.log(1 + n // 2 * RATE / n / 700)
    result = np.zeros((n_items, n))
    signals = wavs.double().numpy()
    for i in range(n_items):
        spectrum = np.fft.fft(signals[i])
        for k in range(n):
            hertz = min(k, n - k) * RATE / n
            place = math.log(1 + hertz / 700) / highest
            gain = sum(
                draws[i, c] * math.cos((c + 1) * math.pi * place)
                for c in range(n_cosines)
            )
            gain *= decibels * math.sqrt(2 / n_cosines)
            spectrum[k] *= 10 ** (gain / 20)
        result[i] = np.fft.ifft(spectrum).real
    return torch.tensor(result).float()


@pytest.mark.parametrize("n_samples", [64, 65])
def test_response_equals_the_loops(n_samples):
    wavs = torch.randn(3, n_samples)
    torch.manual_seed(4)
    result = FrequencyResponse(6.0, RATE, 3)(wavs)
    torch.manual_seed(4)
    expected = response_by_loops(wavs, 6.0, 3)
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)


def test_response_is_what_mean_normalisation_removes():
    """Log-mel whose bands' means are subtracted keeps its differences within
    a band alone; so it comes before background and noise."""
    torch.manual_seed(0)
    wavs = torch.randn(16, RATE) * (1 + torch.rand(16, RATE).cumsum(1) / RATE)
    logmel = LogMel()
    plain, filtered = logmel(wavs)[0], logmel(FrequencyResponse(6, RATE)(wavs))
    change = filtered[0] - plain
    assert change.mean(dim=1).square().mean().sqrt() == pytest.approx(
        6, rel=0.3
    )
    left = sentence_mean_norm(filtered[0]) - sentence_mean_norm(plain)
    assert left.square().mean() < 0.02 * change.square().mean()


def test_off_or_in_evaluation_nothing_is_changed_or_drawn():
    wavs = torch.randn(4, 1600)
    state = torch.get_rng_state()
    assert WaveformAugment(RATE)(wavs) is wavs
    everything = WaveformAugment(RATE, [0, 20], [0, 20], 6.0).eval()
    assert everything(wavs) is wavs
    assert torch.equal(torch.get_rng_state(), state)


def test_autocast_changes_nothing():
    wavs, augment = (
        torch.randn(4, 1600),
        WaveformAugment(RATE, [0, 20], [0, 20], 6),
    )
    torch.manual_seed(0)
    exact = augment(wavs)
    torch.manual_seed(0)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(augment(wavs), exact)


def test_views_are_not_changed_in_place():
    wavs = torch.randn(4, 1600)
    before = wavs.clone()
    WaveformAugment(RATE, [0, 20], [0, 20], 6.0)(wavs)
    assert torch.equal(wavs, before)


def test_backgrounds_of_cries_are_generic_sounds():
    """Each recording one sample at its own place, through the Brain."""
    corpora = ["cry", "generic", "cry", "generic"]
    brain = object.__new__(SimCLRBrain)
    brain.device, brain.two_passes = "cpu", False
    brain.predicts, brain.target = False, None
    brain.hparams = SimpleNamespace(loss=NTXentLoss(), emb_dim=4)
    brain.modules = SimpleNamespace(
        waveform_augment=WaveformAugment(RATE, [0, 0]),
        views=lambda wavs: (wavs, None),
        encoder=torch.nn.Identity(),
        projector=torch.nn.Identity(),
    )
    chunks = torch.eye(4)[:, None].repeat(1, 2, 1)  # [B, views, samples]
    batch = SimpleNamespace(
        chunks=SimpleNamespace(data=chunks),
        gain=SimpleNamespace(data=torch.ones(4, 1)),
        corpus=corpora,
        to=lambda *args, **kwargs: batch,
    )
    for _ in range(20):
        wavs = brain.compute_forward(batch, sb.Stage.TRAIN).feats
        for row, wav in enumerate(wavs):
            (other,) = set(torch.where(wav > 0.5)[0].tolist()) - {row % 4}
            assert corpora[other] == "generic"
