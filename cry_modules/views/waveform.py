"""Augmentation of views as waveforms, before the front end."""

from typing import Optional, Sequence

import torch
from torch import nn

from cry_modules.views.background import Background
from cry_modules.views.frequency_response import FrequencyResponse
from cry_modules.views.noise import ColouredNoise


class WaveformAugment(nn.Module):
    """Another microphone, background and noise for each view, in train mode.

    Two chunks of one recording share its microphone, room and noise: an encoder
    that finds a view by these learns the recorder instead of the sound. All
    draws are torch's, whose state a checkpoint holds; what is off draws none.

    A random level is not among these: recordings are scaled to one peak, and a
    front end that subtracts the mean of each band removes it.

    Arguments
    ---------
    sample_rate : int
        Hz.
    background_snr : sequence of float or None
        Lowest and highest signal-to-noise ratio in dB of ``Background``.
    noise_snr : sequence of float or None
        The same of ``ColouredNoise``.
    frequency_response : float
        Root mean square in dB of ``FrequencyResponse``; 0 switches it off.

    Example
    -------
    >>> augment = WaveformAugment(16000, background_snr=[0, 20])
    >>> augment(torch.randn(4, 16000), torch.tensor([True, True])).shape
    torch.Size([4, 16000])
    """

    def __init__(
        self,
        sample_rate: int,
        background_snr: Optional[Sequence[float]] = None,
        noise_snr: Optional[Sequence[float]] = None,
        frequency_response: float = 0.0,
    ):
        super().__init__()
        self.response = self.background = self.noise = None
        if frequency_response:
            self.response = FrequencyResponse(frequency_response, sample_rate)
        if background_snr is not None:
            self.background = Background(background_snr)
        if noise_snr is not None:
            self.noise = ColouredNoise(noise_snr, sample_rate)

    def forward(
        self, wavs: torch.Tensor, sources: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """Augment views in train mode.

        Arguments
        ---------
        wavs : torch.Tensor
            All first views of a batch, then all second ones, ...:
            ``[n_views * batch, samples]``.
        sources : torch.Tensor or None
            True where a recording may be a background, ``[batch]``; None: all
            rows are recordings that may.

        Returns
        -------
        torch.Tensor
            Same shape as ``wavs``.
        """
        if not self.training:
            return wavs
        if self.response is not None:
            wavs = self.response(wavs)
        if self.background is not None:
            wavs = self.background(wavs, sources)
        if self.noise is not None:
            wavs = self.noise(wavs)
        return wavs
