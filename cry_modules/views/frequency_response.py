"""Random frequency responses, as of another microphone for each view."""

import math

import torch
from torch import nn


class FrequencyResponse(nn.Module):
    """Filter each view by a random smooth gain over frequency.

    Two chunks of one recording share the response of its microphone.
    FilterAugment (Nam et al. 2022, https://arxiv.org/abs/2110.03282) adds
    random gains to mel bands. Here waveforms are filtered, *before* background
    and noise are added: a front end that subtracts the mean of each band
    removes a gain of all that a view holds.

    The gain in dB is a sum of cosines over the mel scale, from one half wave to
    ``n_cosines`` of them. The filter has no phase, and its mean gain in dB over
    the mel scale is 0.

    Arguments
    ---------
    decibels : float
        Root mean square of the gain over mel scale and draws.
    sample_rate : int
        Hz.
    n_cosines : int
        Number of cosines.

    Example
    -------
    >>> FrequencyResponse(6.0, 16000)(torch.randn(4, 16000)).shape
    torch.Size([4, 16000])
    """

    def __init__(self, decibels: float, sample_rate: int, n_cosines: int = 4):
        super().__init__()
        self.decibels = decibels
        self.sample_rate = sample_rate
        self.n_cosines = n_cosines

    def forward(self, wavs: torch.Tensor) -> torch.Tensor:
        """``[batch, samples]`` to ``[batch, samples]``, not in place."""
        n_samples = wavs.shape[1]
        hertz = torch.fft.rfftfreq(
            n_samples, 1 / self.sample_rate, device=wavs.device
        )
        spectrum = torch.fft.rfft(wavs) * self._gains(len(wavs), hertz)
        return torch.fft.irfft(spectrum, n_samples)

    def _gains(self, n_items, hertz):
        """Factors of the amplitude, ``[n_items, bins]``."""
        mel = torch.log1p(hertz / 700)  # O'Shaughnessy's, of any unit
        waves = math.pi * torch.arange(1, 1 + self.n_cosines, device=mel.device)
        cosines = torch.cos(waves[:, None] * mel / mel[-1])
        draws = torch.randn(n_items, self.n_cosines, device=mel.device)
        # The mean square of a cosine is a half.
        draws *= self.decibels * (2 / self.n_cosines) ** 0.5
        with torch.autocast(mel.device.type, enabled=False):
            decibels = draws @ cosines
        return 10 ** (decibels / 20)
