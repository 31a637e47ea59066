"""Front ends by name: log-mel features that do not depend on padding.

An encoder works only with the front end that it was trained with. A new front
end is a subclass of ``MelFrames`` with a ``name``, listed in ``FRONT_ENDS``.
"""

from typing import Optional, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from speechbrain.processing.features import STFT, Filterbank
from torch import nn
from torchaudio.functional import melscale_fbanks

from cry_modules.architectures import WAVEFORM
from cry_modules.lengths import float64, frame_mask

#: Floor of the power before the logarithm, and dynamic range of a recording
#: in dB.
LEAST_POWER, RANGE_DB = 1e-10, 80.0
#: SpeechBrain adds this to the power before its square root.
_SPEECHBRAIN_EPS = 1e-14


class MelFrames(nn.Module):
    """Base class of the front ends: waveforms to mel frames and their lengths.

    A centred window, the power spectrum and a bank of mel filters. A subclass
    compresses the bands in ``from_power``.

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
        Value of the option ``front_end``.
    mean_norm : bool
        Whether ``sentence_mean_norm`` follows.
    n_mels : int
        Number of mel bands.
    win : int
        Window length in samples.
    pad_mode : str
        Padding at both ends of a recording: ``constant`` (zeros) or
        ``reflect`` (mirrored at its own first and last sample).
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
        # They follow from the settings, so checkpoints do not need them.
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("filters", filters, persistent=False)

    def forward(
        self, wavs: torch.Tensor, lengths: Optional[torch.Tensor] = None
    ) -> Tuple[torch.Tensor, Optional[torch.Tensor]]:
        """Compute the mel frames of waveforms of different lengths.

        Arguments
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
            n_samples = torch.round(float64(lengths) * wavs.shape[1]).long()
            n_samples = n_samples.to(lengths.device)
        with torch.autocast(wavs.device.type, enabled=False):
            power = self.power(wavs, n_samples)
            if n_samples is None:
                return self.from_power(power), None
            n_frames = 1 + torch.div(n_samples, self.hop, rounding_mode="floor")
            # A window centred beyond an item's end may overlap its last
            # samples; it is not one of its frames.
            mask = frame_mask(n_frames, power.shape[1])
            feats = self.from_power(power * mask.unsqueeze(2))
        return feats, n_frames / feats.shape[1]

    def power(
        self, wavs: torch.Tensor, n_samples: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """Power spectrum ``[batch, frames, n_fft // 2 + 1]`` of ``[batch,
        samples]``; ``n_samples`` ``[batch]`` are valid (None: all)."""
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
        """Position of a frequency on an axis of mel bands, 0 to ``n_mels``;
        the centre of the first band is 0.5.

        Example
        -------
        >>> round(LogMel().band_at(1000), 1)
        28.0
        """
        weights = self.filters.double().cpu().numpy()
        used = np.flatnonzero(weights.sum(axis=0))
        weights = weights[:, used]
        bins = np.linspace(0, self.sample_rate / 2, len(weights))
        centres = bins @ weights / weights.sum(axis=0)
        return float(np.interp(hertz, centres, used + 0.5))

    def padded(
        self, wavs: torch.Tensor, n_samples: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """Pad both ends by half a transform: ``[batch, samples]`` to ``[batch,
        samples + n_fft]``. ``reflect`` needs more than ``n_fft / 2`` samples."""
        half = self.n_fft // 2
        if self.pad_mode == "constant" or n_samples is None:
            return F.pad(wavs, (half, half), self.pad_mode)
        # Mirror each item at its own end, as if it were not padded.
        last = n_samples[:, None] - 1
        place = torch.arange(-half, wavs.shape[1] + half, device=wavs.device)
        place = last - (last - place.abs()).abs()
        return wavs.gather(1, place.clamp(min=0))

    def from_power(self, power: torch.Tensor) -> torch.Tensor:
        """Apply the mel filters and compress the bands: ``[batch, frames,
        n_fft // 2 + 1]`` to ``[batch, frames, n_mels]``."""
        raise NotImplementedError


class LogMel(MelFrames):
    """SpeechBrain's log Fbank in dB: the paper's front end, ``fbank``.

    The values equal those of ``speechbrain.lobes.features.Fbank``, which
    rebuilds its filters on the CPU in every call, so that a GPU waits.

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
        """Mel bands in dB, clipped 80 dB below the loudest of the recording."""
        mel = power @ self.filters
        decibels = 10 * mel.clamp(min=LEAST_POWER).log10()
        loudest = decibels.amax(dim=(1, 2), keepdim=True)
        return torch.maximum(decibels, loudest - RANGE_DB)


class Log1pMel(MelFrames):
    """log(1 + x) of the mel bands of the magnitude, as in SpeechBrain's recipe
    ESC50/classification and its encoder speechbrain/cnn14-esc50.

    SpeechBrain's ``AudioClassifier`` leaves the logarithm out, although the
    recipe trains the encoder with it.

    Example
    -------
    >>> Log1pMel()(torch.randn(2, 16000))[0].shape
    torch.Size([2, 87, 80])
    """

    name = "log1p"
    mean_norm = False

    def __init__(self):
        # 372 and 186 samples.
        stft = STFT(16000, win_length=23.2199, hop_length=11.6099, n_fft=1024)
        super().__init__(
            16000,
            1024,
            stft.hop_length,
            stft.window,
            triangular_filters(16000, 80, 1024),
        )

    def from_power(self, power: torch.Tensor) -> torch.Tensor:
        """log(1 + x) of the mel bands of the magnitude, not of the power."""
        magnitude = (power + _SPEECHBRAIN_EPS).sqrt()
        return torch.log1p(magnitude @ self.filters)


class PannsMel(MelFrames):
    """Log-mel in dB of PANNs' Cnn14_16k (https://arxiv.org/abs/1912.10211).

    64 Slaney bands from 50 Hz to 8 kHz, without a limit of the dynamic range.

    Example
    -------
    >>> PannsMel()(torch.randn(2, 16000))[0].shape
    torch.Size([2, 101, 64])
    """

    name = "panns"
    mean_norm = False
    pad_mode = "reflect"

    def __init__(self):
        filters = melscale_fbanks(
            257, 50.0, 8000.0, 64, 16000, norm="slaney", mel_scale="slaney"
        )
        super().__init__(16000, 512, 160, torch.hann_window(512), filters)

    def from_power(self, power: torch.Tensor) -> torch.Tensor:
        """Mel bands in dB."""
        mel = power @ self.filters
        return 10 * mel.clamp(min=LEAST_POWER).log10()


class Waveform(LogMel):
    """Front end of samples; called, it computes the log-mel of ``fbank``."""

    name = WAVEFORM
    mean_norm = False


#: Front ends of mel frames by the value of the option ``front_end``.
FRONT_ENDS = {kind.name: kind for kind in (LogMel, Log1pMel, PannsMel)}


def is_front_end(name: str) -> bool:
    """Check whether a text is the name of a front end."""
    return name in FRONT_ENDS or name == WAVEFORM


def make_front_end(name: str) -> MelFrames:
    """Build a front end by its name, a key of ``FRONT_ENDS`` or ``waveform``;
    another one raises ``ValueError``.

    Example
    -------
    >>> front_end = make_front_end("log1p")
    >>> front_end.n_mels, front_end.win, front_end.hop, front_end.mean_norm
    (80, 372, 186, False)
    """
    if not is_front_end(name):
        raise ValueError(
            f"front_end is {name!r}; expected one of {', '.join(FRONT_ENDS)}"
        )
    return Waveform() if name == WAVEFORM else FRONT_ENDS[name]()


def triangular_filters(
    sample_rate: int, n_mels: int, n_fft: int
) -> torch.Tensor:
    """Make SpeechBrain's mel filters, of height 1.

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

    This removes level and channel tilt: in our measurements on real audio, an
    encoder trained without it learns the phone instead of the sound.

    Arguments
    ---------
    feats : torch.Tensor
        ``[batch, frames, n_mels]``.
    lengths : torch.Tensor or None
        Valid share of the frames, ``[batch]``.

    Returns
    -------
    torch.Tensor
        Same shape as ``feats``.

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


class AugmentedFeatures(nn.Module):
    """Waveforms to features: front end, mean normalisation if the front end
    has ``mean_norm``, and augmentation in train mode.

    Arguments
    ---------
    logmel : MelFrames
        The front end.
    augment : SpecAugment
        Applied in train mode only.
    augment_before_norm : bool
        True: the paper's order. Masks are 0 dB then, which normalisation moves
        away from the mean; with a few hundred recordings that was worse.
        False: masks equal the mean of their band.

    Example
    -------
    >>> from cry_modules.front_ends import LogMel
    >>> from cry_modules.views.chunks_and_masks import SpecAugment
    >>> views = AugmentedFeatures(LogMel(), SpecAugment(8, 2, 10), False)
    >>> views(torch.randn(4, 16000))[0].shape
    torch.Size([4, 101, 80])
    """

    def __init__(
        self, logmel: nn.Module, augment: nn.Module, augment_before_norm: bool
    ):
        super().__init__()
        self.logmel = logmel
        self.augment = augment
        self.augment_before_norm = augment_before_norm

    def forward(
        self, wavs: torch.Tensor, lengths: Optional[torch.Tensor] = None
    ) -> Tuple[torch.Tensor, Optional[torch.Tensor]]:
        """Compute features, normalised and, in train mode, augmented.

        Arguments
        ---------
        wavs : torch.Tensor
            ``[batch, samples]``.
        lengths : torch.Tensor or None
            Valid share of the samples, ``[batch]``.

        Returns
        -------
        feats : torch.Tensor
            ``[batch, frames, n_mels]``.
        lengths : torch.Tensor or None
            Valid share of the frames, ``[batch]``.
        """
        feats, lengths = self.logmel(wavs, lengths)
        if self.training and self.augment_before_norm:
            feats = self.augment(feats)
        if self.logmel.mean_norm:
            feats = sentence_mean_norm(feats, lengths)
        if self.training and not self.augment_before_norm:
            feats = self._augmented(feats, lengths)
        return feats, lengths

    def _augmented(self, feats, lengths):
        """Augment features whose mean is zero, the value of the masks."""
        if self.logmel.mean_norm:
            return self.augment(feats)
        normalised = sentence_mean_norm(feats, lengths)
        return self.augment(normalised) + (feats - normalised)
