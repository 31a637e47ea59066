"""Log-mel features that padding does not change.

Authors
 * The contributors of cry-ssl 2026
"""

from typing import Optional, Tuple

import torch
from speechbrain.processing.features import STFT, Filterbank
from torch import nn

from cry_modules.cnn14 import frame_mask

#: Least power that has a logarithm, and what is kept below the loudest band
#: of a recording, dB.
LEAST_POWER, RANGE_DB = 1e-10, 80.0


class LogMel(nn.Module):
    """SpeechBrain's log Fbank in dB, and how many of its frames are sound.

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

    def __init__(
        self,
        sample_rate: int = 16000,
        n_mels: int = 80,
        n_fft: int = 400,
        win_ms: float = 25,
        hop_ms: float = 10,
    ):
        super().__init__()
        self.hop = round(sample_rate * hop_ms / 1000)
        self.n_fft = n_fft
        window = STFT(sample_rate, win_ms, hop_ms, n_fft).window
        bank = Filterbank(
            n_mels, log_mel=False, n_fft=n_fft, sample_rate=sample_rate
        )
        filters = bank(torch.eye(n_fft // 2 + 1)[None])[0]
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
            ``[batch, frames, n_mels]`` in dB.
        lengths : torch.Tensor or None
            Valid share of the *frames*: windows are centred, so an item of n
            samples has 1 + n // hop of them, which is not the same share.
        """
        with torch.autocast(wavs.device.type, enabled=False):
            feats = self._decibels(wavs)
        if lengths is None:
            return feats, None
        samples = torch.round(lengths.double() * wavs.shape[1]).long()
        n_frames = 1 + torch.div(samples, self.hop, rounding_mode="floor")
        return feats, n_frames / feats.shape[1]

    def _decibels(self, wavs):
        spectrum = torch.stft(
            wavs,
            self.n_fft,
            self.hop,
            len(self.window),
            self.window,
            pad_mode="constant",
            return_complex=True,
        )
        power = spectrum.real.square() + spectrum.imag.square()
        mel = power.transpose(1, 2) @ self.filters
        decibels = 10 * mel.clamp(min=LEAST_POWER).log10()
        loudest = decibels.amax(dim=(1, 2), keepdim=True)
        return torch.maximum(decibels, loudest - RANGE_DB)


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
