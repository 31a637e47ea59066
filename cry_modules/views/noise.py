"""Noise between white and brown, drawn for each view."""

from typing import Sequence, Tuple

import torch
from torch import nn

from cry_modules.views.background import add_at_snr

#: Below this frequency the noise is white: else most power of brown noise
#: would be where a front end has no bands.
_LOWEST_HZ = 50.0


class ColouredNoise(nn.Module):
    """Add Gaussian noise whose power falls with frequency by a random slope.

    Two chunks of one recording share the noise of its room and recorder. White,
    pink and brown noise at a random ratio is an augmentation of CLAR (Al-Tahan
    and Mohsenzadeh 2021, https://arxiv.org/abs/2010.09542). SpeechBrain's
    ``pink_noise_like`` filters white noise by two complex Fourier transforms;
    here the spectrum itself is drawn.

    Arguments
    ---------
    snr : sequence of float
        Lowest and highest ratio of the view's power to the noise's, dB.
        Uniform between them, drawn for each view.
    sample_rate : int
        Hz.
    slopes : tuple of float
        Power falls with frequency to the power of a slope between these: 0 is
        white, 1 pink, 2 brown.

    Example
    -------
    >>> ColouredNoise([0, 20], 16000)(torch.randn(4, 16000)).shape
    torch.Size([4, 16000])
    """

    def __init__(
        self,
        snr: Sequence[float],
        sample_rate: int,
        slopes: Tuple[float, float] = (0.0, 2.0),
    ):
        super().__init__()
        self.snr, self.sample_rate, self.slopes = snr, sample_rate, slopes

    def forward(self, wavs: torch.Tensor) -> torch.Tensor:
        """``[batch, samples]`` to ``[batch, samples]``, not in place."""
        return add_at_snr(wavs, self.noise_like(wavs), self.snr)

    def noise_like(self, wavs: torch.Tensor) -> torch.Tensor:
        """Draw noise of any level, ``[batch, samples]``."""
        n_items, n_samples = wavs.shape
        slope = torch.empty(n_items, 1, device=wavs.device)
        slope.uniform_(*self.slopes)
        hertz = torch.fft.rfftfreq(
            n_samples, 1 / self.sample_rate, device=wavs.device
        )
        octaves = (hertz.clamp(min=_LOWEST_HZ) / _LOWEST_HZ).log2()
        # Uniform, not normal: a sample is a sum of thousands of these, and
        # they are drawn in half the time.
        parts = torch.rand(n_items, len(hertz), 2, device=wavs.device)
        spectrum = torch.view_as_complex(parts.sub_(0.5))
        spectrum *= torch.exp2(octaves * (-slope / 2))
        spectrum[:, 0] = 0.0  # no constant offset
        return torch.fft.irfft(spectrum, n_samples)
