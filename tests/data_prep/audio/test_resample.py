"""Resampling: torchaudio's at the usual rates, in little memory at any."""

import tracemalloc

import numpy as np
import pytest
import torch
from torchaudio.transforms import Resample

from data_prep.audio.read import resampled
from data_prep.audio.resample import is_odd, reduced, resample

USUAL = (8000, 11025, 22050, 24000, 32000, 44100, 48000, 96000)
ODD = (4001, 11127, 15999, 22255, 44056, 44099, 191999)


@pytest.mark.parametrize("rate", USUAL)
def test_usual_rates_have_torchaudios_samples(rate):
    sig = torch.from_numpy(np.random.default_rng(0).normal(0, 0.3, rate + 77))
    sig = sig.float()
    expected = Resample(rate, 16000)(sig)
    assert not is_odd(*reduced(rate, 16000))
    for result in (
        resampled(sig, rate, 16000),
        resample(sig.numpy(), rate, 16000),
    ):
        np.testing.assert_allclose(result, expected, atol=3e-7)


@pytest.mark.parametrize("rate", USUAL)
@pytest.mark.parametrize("n", [1, 2, 333])
def test_usual_rates_are_as_near_to_the_formula_as_torchaudio(rate, n):
    sig = np.random.default_rng(0).normal(0, 0.3, n).astype(np.float32)
    expected = plain(sig.astype(np.float64), rate, 16000)
    ours = resampled(torch.from_numpy(sig), rate, 16000).numpy()
    theirs = Resample(rate, 16000)(torch.from_numpy(sig)).numpy()
    errors = [np.abs(x - expected).max() for x in (ours, theirs)]
    assert errors[0] < 1.1 * errors[1] + 1e-7


def plain(sig, rate, new_rate):
    """The formula, sample by sample, in double precision."""
    cutoff = 0.99 * min(rate, new_rate)
    result = []
    for n in range(-(-len(sig) * new_rate // rate)):
        t = np.arange(len(sig)) / rate - n / new_rate
        t = t[np.abs(t * cutoff) < 6] * cutoff
        near = sig[np.abs((np.arange(len(sig)) / rate - n / new_rate) * cutoff) < 6]  # fmt: skip
        weights = np.sinc(t) * np.cos(t * np.pi / 12) ** 2 * cutoff / rate
        result.append(near @ weights)
    return np.array(result)


@pytest.mark.parametrize("rate", ODD)
@pytest.mark.parametrize("new_rate", [16000, 8000])
def test_odd_rates_follow_the_formula(rate, new_rate):
    assert is_odd(*reduced(rate, new_rate))
    sig = np.random.default_rng(0).normal(0, 0.3, 333).astype(np.float32)
    expected = plain(sig.astype(np.float64), rate, new_rate)
    result = resample(sig, rate, new_rate)
    np.testing.assert_allclose(result, expected, atol=3e-7)
    same = resampled(torch.from_numpy(sig), rate, new_rate)
    assert np.array_equal(same, result)


def error_db(tone, rate, hertz):
    """Difference from the same tone sampled at 16 kHz, dB of its level."""
    result = resample(tone(rate, hertz), rate, 16000)
    return level_db((result - tone(16000, hertz)[: len(result)])[200:-200])


def level_db(sig):
    return 10 * np.log10(2 * np.mean(np.square(sig, dtype=np.float64)))


def tone(rate, hertz):
    return np.sin(2 * np.pi * hertz * np.arange(rate) / rate).astype("float32")


@pytest.mark.parametrize("odd, usual", [(44099, 44100), (22255, 22050)])
def test_odd_rates_are_as_good_as_the_usual_ones(odd, usual):
    assert error_db(tone, odd, 1000) < error_db(tone, usual, 1000) + 0.5
    assert error_db(tone, odd, 1000) < -60
    # Tones that 16 kHz cannot hold: what is left of them would be an alias.
    for hertz in (9000, 10500):
        left = level_db(resample(tone(odd, hertz), odd, 16000)[200:-200])
        same = level_db(resample(tone(usual, hertz), usual, 16000)[200:-200])
        assert left < same + 0.5


@pytest.mark.parametrize("rate", [11127, 44099, 191999])
def test_memory_does_not_follow_the_rate(rate):
    """torchaudio's filter of 11127 Hz has 713 MB."""
    sig = np.zeros(2 * rate, np.float32)
    tracemalloc.start()
    resample(sig, rate, 16000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150e6
