"""Log-mel features that padding does not change.

Authors
 * The contributors of cry-ssl 2026
"""

from typing import Optional, Tuple

import torch
from speechbrain.lobes.features import Fbank
from torch import nn

from cry_modules.cnn14 import frame_mask


class LogMel(nn.Module):
    """SpeechBrain's log Fbank in dB, and how many of its frames are sound.

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
        self.fbank = Fbank(
            sample_rate=sample_rate,
            n_mels=n_mels,
            n_fft=n_fft,
            win_length=win_ms,
            hop_length=hop_ms,
        )

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
        feats = self.fbank(wavs)
        if lengths is None:
            return feats, None
        samples = torch.round(lengths.double() * wavs.shape[1]).long()
        n_frames = 1 + torch.div(samples, self.hop, rounding_mode="floor")
        return feats, n_frames / feats.shape[1]


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
