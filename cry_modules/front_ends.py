"""Front ends by name: what encoders were trained to hear.

An encoder is worth nothing behind another front end than its own. All hear
16 kHz.
"""

import torch
from speechbrain.processing.features import STFT
from torchaudio.functional import melscale_fbanks

from cry_modules.features import (
    LEAST_POWER,
    LogMel,
    MelFrames,
    triangular_filters,
)

#: What SpeechBrain adds to a power before its root.
_SPEECHBRAIN_EPS = 1e-14


class Log1pMel(MelFrames):
    """log(1 + x) of mel bands of the magnitude: that of SpeechBrain's recipe
    ESC50/classification, and of its encoder speechbrain/cnn14-esc50.

    As the recipe trains it. SpeechBrain's ``AudioClassifier`` leaves the
    logarithm out where it uses mel bands, though the encoder was not trained
    without.

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
        """Filters of the magnitude, not of the power."""
        magnitude = (power + _SPEECHBRAIN_EPS).sqrt()
        return torch.log1p(magnitude @ self.filters)


class PannsMel(MelFrames):
    """Decibels of PANNs' Cnn14_16k (https://arxiv.org/abs/1912.10211).

    64 Slaney bands from 50 Hz to 8 kHz, no limit of the range. A recording
    goes on mirrored beyond its ends; in a padded batch each one at its own.

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
        """Decibels."""
        mel = power @ self.filters
        return 10 * mel.clamp(min=LEAST_POWER).log10()


#: By name, which is what the option ``front_end`` takes.
FRONT_ENDS = {kind.name: kind for kind in (LogMel, Log1pMel, PannsMel)}


def make_front_end(name: str) -> MelFrames:
    """A front end.

    Arguments
    ---------
    name : str
        In ``FRONT_ENDS``.

    Returns
    -------
    MelFrames

    Raises
    ------
    ValueError
        Another name.

    Example
    -------
    >>> front_end = make_front_end("log1p")
    >>> front_end.n_mels, front_end.win, front_end.hop, front_end.mean_norm
    (80, 372, 186, False)
    """
    if name not in FRONT_ENDS:
        raise ValueError(
            f"front_end is {name!r}; expected one of {', '.join(FRONT_ENDS)}"
        )
    return FRONT_ENDS[name]()
