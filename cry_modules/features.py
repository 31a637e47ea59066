"""Log-mel features that padding does not change."""

from typing import Optional, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from speechbrain.processing.features import STFT, Filterbank
from torch import nn

from cry_modules.cnn14 import frame_mask

#: Least power that has a logarithm, and what is kept below the loudest band
#: of a recording, dB.
LEAST_POWER, RANGE_DB = 1e-10, 80.0


class MelFrames(nn.Module):
    """Waveforms to frames of mel bands, and how many of them are sound.

    What the front ends have in common: a centred window, the power spectrum,
    a bank of filters. A front end adds how the bands are compressed.

    Arguments
    ---------
    sample_rate : int
        Hz.
    n_fft : int
        Points of the Fourier transform.
    hop : int
        Samples from one frame to the next.
    window : torch.Tensor
        ``[win]``, no longer than the transform.
    filters : torch.Tensor
        ``[n_fft // 2 + 1, n_mels]``.

    Attributes
    ----------
    name : str
        In the table of front ends.
    mean_norm : bool
        Whether each recording's mean is to be taken away afterwards.
    n_mels : int
        Bands.
    win : int
        Samples of the window.
    pad_mode : str
        What is heard beyond a recording's ends: ``constant``, zeros, or
        ``reflect``, the recording mirrored at its own first and last sample.
    """

    name: str
    mean_norm: bool
    pad_mode = "constant"

    def __init__(
        self,
        sample_rate: int,
        n_fft: int,
        hop: int,
        window: torch.Tensor,
        filters: torch.Tensor,
    ):
        super().__init__()
        self.sample_rate = sample_rate
        self.n_fft = n_fft
        self.hop = hop
        self.win = len(window)
        self.n_mels = filters.shape[1]
        # Of the settings, not of training: in no checkpoint.
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("filters", filters, persistent=False)

    def forward(
        self, wavs: torch.Tensor, lengths: Optional[torch.Tensor] = None
    ) -> Tuple[torch.Tensor, Optional[torch.Tensor]]:
        """Arguments
        ---------
        wavs : torch.Tensor
            ``[batch, samples]``, zero beyond each item's end.
        lengths : torch.Tensor or None
            Valid share of the samples, ``[batch]``.

        Returns
        -------
        feats : torch.Tensor
            ``[batch, frames, n_mels]``.
        lengths : torch.Tensor or None
            Valid share of the *frames*: windows are centred, so an item of n
            samples has 1 + n // hop of them, which is not the same share.
        """
        n_samples = None
        if lengths is not None:
            n_samples = torch.round(lengths.double() * wavs.shape[1]).long()
        with torch.autocast(wavs.device.type, enabled=False):
            power = self.power(wavs, n_samples)
            if n_samples is None:
                return self.from_power(power), None
            n_frames = 1 + torch.div(n_samples, self.hop, rounding_mode="floor")
            # A window beyond an item's end may hear its last samples, and is
            # none of its frames.
            mask = frame_mask(n_frames, power.shape[1])
            feats = self.from_power(power * mask.unsqueeze(2))
        return feats, n_frames / feats.shape[1]

    def power(
        self, wavs: torch.Tensor, n_samples: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """The power spectrum.

        Arguments
        ---------
        wavs : torch.Tensor
            ``[batch, samples]``.
        n_samples : torch.Tensor or None
            Valid samples, ``[batch]``; None: all.

        Returns
        -------
        torch.Tensor
            ``[batch, frames, n_fft // 2 + 1]``.
        """
        spectrum = torch.stft(
            self.padded(wavs, n_samples),
            self.n_fft,
            self.hop,
            self.win,
            self.window,
            center=False,
            return_complex=True,
        )
        power = spectrum.real.square() + spectrum.imag.square()
        return power.transpose(1, 2)

    def band_at(self, hertz: float) -> float:
        """Where a frequency is among the bands: for an axis.

        Arguments
        ---------
        hertz : float
            A frequency.

        Returns
        -------
        float
            0 to ``n_mels``; the middle of the first band is 0.5.

        Example
        -------
        >>> round(LogMel().band_at(1000), 1)
        28.0
        """
        weights = self.filters.double().cpu().numpy()
        heard = np.flatnonzero(weights.sum(axis=0))
        weights = weights[:, heard]
        bins = np.linspace(0, self.sample_rate / 2, len(weights))
        middles = bins @ weights / weights.sum(axis=0)
        return float(np.interp(hertz, middles, heard + 0.5))

    def padded(
        self, wavs: torch.Tensor, n_samples: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """What the windows hear: half a transform more at both ends.

        Arguments
        ---------
        wavs : torch.Tensor
            ``[batch, samples]``; more than half a transform to be reflected.
        n_samples : torch.Tensor or None
            Valid samples, ``[batch]``; None: all.

        Returns
        -------
        torch.Tensor
            ``[batch, samples + n_fft]``.
        """
        half = self.n_fft // 2
        if self.pad_mode == "constant" or n_samples is None:
            return F.pad(wavs, (half, half), self.pad_mode)
        # Each item at its own end: frames are those that it has alone.
        last = n_samples[:, None] - 1
        place = torch.arange(-half, wavs.shape[1] + half, device=wavs.device)
        place = last - (last - place.abs()).abs()
        return wavs.gather(1, place.clamp(min=0))

    def from_power(self, power: torch.Tensor) -> torch.Tensor:
        """Mel filters, then compression.

        Arguments
        ---------
        power : torch.Tensor
            ``[batch, frames, n_fft // 2 + 1]``.

        Returns
        -------
        torch.Tensor
            ``[batch, frames, n_mels]``.
        """
        raise NotImplementedError


class LogMel(MelFrames):
    """SpeechBrain's log Fbank in dB: the paper's front end, ``fbank``.

    The values are those of ``speechbrain.lobes.features.Fbank``. That one
    makes its filters anew on the CPU in every call, for which a GPU waits.

    Arguments
    ---------
    sample_rate : int
        Hz.
    n_mels : int
        Mel bands.
    n_fft : int
        Points of the Fourier transform.
    win_ms : float
        Window in milliseconds.
    hop_ms : float
        Hop in milliseconds.

    Example
    -------
    >>> feats, lengths = LogMel()(torch.randn(2, 16000), torch.tensor([1, 0.5]))
    >>> feats.shape
    torch.Size([2, 101, 80])
    >>> (lengths * 101).round()
    tensor([101.,  51.])
    """

    name = "fbank"
    mean_norm = True

    def __init__(
        self,
        sample_rate: int = 16000,
        n_mels: int = 80,
        n_fft: int = 400,
        win_ms: float = 25,
        hop_ms: float = 10,
    ):
        stft = STFT(sample_rate, win_ms, hop_ms, n_fft)
        super().__init__(
            sample_rate,
            n_fft,
            stft.hop_length,
            stft.window,
            triangular_filters(sample_rate, n_mels, n_fft),
        )

    def from_power(self, power: torch.Tensor) -> torch.Tensor:
        """Decibels, of which 80 below the loudest are kept."""
        mel = power @ self.filters
        decibels = 10 * mel.clamp(min=LEAST_POWER).log10()
        loudest = decibels.amax(dim=(1, 2), keepdim=True)
        return torch.maximum(decibels, loudest - RANGE_DB)


def triangular_filters(
    sample_rate: int, n_mels: int, n_fft: int
) -> torch.Tensor:
    """SpeechBrain's mel filters, of height 1.

    Arguments
    ---------
    sample_rate : int
        Hz.
    n_mels : int
        Mel bands.
    n_fft : int
        Points of the Fourier transform.

    Returns
    -------
    torch.Tensor
        ``[n_fft // 2 + 1, n_mels]``.

    Example
    -------
    >>> triangular_filters(16000, 80, 400).shape
    torch.Size([201, 80])
    """
    bank = Filterbank(
        n_mels, log_mel=False, n_fft=n_fft, sample_rate=sample_rate
    )
    return bank(torch.eye(n_fft // 2 + 1)[None])[0]


def sentence_mean_norm(
    feats: torch.Tensor, lengths: Optional[torch.Tensor] = None
) -> torch.Tensor:
    """Subtract each band's mean over the valid frames; padding becomes zero.

    Level and channel tilt go with it: measured on real audio, an encoder
    without it learns the phone instead of the sound.

    Arguments
    ---------
    feats : torch.Tensor
        ``[batch, frames, n_mels]``.
    lengths : torch.Tensor or None
        Valid share of the frames, ``[batch]``.

    Returns
    -------
    torch.Tensor
        As ``feats``.

    Example
    -------
    >>> feats = torch.randn(2, 10, 4)
    >>> sentence_mean_norm(feats).mean(dim=1).abs().max() < 1e-6
    tensor(True)
    """
    if lengths is None:
        return feats - feats.mean(dim=1, keepdim=True)
    n_frames = torch.round(lengths * feats.shape[1]).long()
    mask = frame_mask(n_frames, feats.shape[1]).unsqueeze(2)
    total = (feats * mask).sum(dim=1, keepdim=True)
    return (feats - total / n_frames[:, None, None]) * mask
