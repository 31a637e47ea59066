"""PANNs' CNN14 (https://arxiv.org/abs/1912.10211) under our names."""

import re
from typing import Dict

import torch

from cry_modules.checkpoints.public import PANNS
from cry_modules.front_ends import PannsMel
from data_prep.files.errors import InputError

#: A name that only PANNs' CNNs have.
MARKER = "bn0.weight"
#: Layers after the end of our encoder.
_AFTER = tuple(
    f"{layer}.{kind}"
    for layer in ("fc1", "fc_audioset")
    for kind in ("weight", "bias")
)
#: PANNs keep their front end as weights, which are not trained.
_REAL = "spectrogram_extractor.stft.conv_real.weight"
_IMAGINARY = "spectrogram_extractor.stft.conv_imag.weight"
_FILTERS = "logmel_extractor.melW"
#: Sample rate by points of the Fourier transform in the published files.
_KHZ = {1024: 32, 512: 16, 256: 8}
#: Largest difference from our front end: weights are single precision, up to
#: 1.
_TOLERANCE = 1e-4


def converted(
    state: Dict[str, torch.Tensor], title: str
) -> Dict[str, torch.Tensor]:
    """Rename the weights of PANNs' blocks as in our CNN14 and SpeechBrain's.

    PANNs' own embedding is one layer later: the rectified ``fc1`` of our
    embedding. ``fc1`` and the classifier ``fc_audioset`` are dropped.
    ``title`` names the file in errors.
    """
    _check_front_end(state, title)
    dropped = {*_AFTER, _REAL, _IMAGINARY, _FILTERS}
    renamed = {}
    for name, value in state.items():
        block = re.fullmatch(r"(conv_block\d\.)?(bn|conv)(\d\..*)", name)
        if block:
            place, kind, rest = block.groups(default="")
            kind = {"bn": "norm", "conv": "conv"}[kind]
            renamed[f"{place}{kind}{rest}"] = value
        elif name not in dropped:
            raise InputError(
                f"{title} is not a CNN14 of PANNs: {name} is unexpected; "
                f"download {PANNS.where()}"
            )
    return renamed


def _check_front_end(state, title):
    """Compare the front end in the file with ``PannsMel``."""
    for name, expected in _front_end_weights().items():
        if name not in state:
            raise InputError(
                f"{title} has PANNs' names, but no {name}, which defines its "
                f"front end; download {PANNS.where()}"
            )
        value = state[name]
        if value.shape != expected.shape:
            raise InputError(
                f"{title} takes {_front_end_in_words(state)}, and the front "
                "end panns 16 kHz, windows of 512 samples and 64 mel bands; "
                f"download {PANNS.where()}"
            )
        off = (value - expected).abs().max().item()
        if not off <= _TOLERANCE:
            raise InputError(
                f"{title} has another window or other mel bands than the "
                f"front end panns ({name} is off by {off:.2g}); download "
                f"{PANNS.where()}"
            )


def _front_end_weights():
    """Weights of ``PannsMel`` in PANNs' form: a windowed cosine and sine for
    each frequency, and the mel filters."""
    front_end = PannsMel()
    n = front_end.n_fft
    time = torch.arange(n, dtype=torch.float64)
    angle = 2 * torch.pi / n * torch.outer(time[: n // 2 + 1], time)
    return {
        _REAL: (angle.cos() * front_end.window).unsqueeze(1),
        _IMAGINARY: (-angle.sin() * front_end.window).unsqueeze(1),
        _FILTERS: front_end.filters,
    }


def _front_end_in_words(state) -> str:
    window, n_mels = (
        state[name].shape[-1] if name in state and state[name].dim() else "no"
        for name in (_REAL, _FILTERS)
    )
    khz = _KHZ.get(window)
    rate = f"{khz} kHz" if khz else "an unknown rate"
    return f"{rate}, windows of {window} samples and {n_mels} mel bands"
