"""PANNs' CNN14 (https://arxiv.org/abs/1912.10211) under our names."""

import re
from typing import Dict

import torch

from cry_modules.checkpoints.public import PANNS
from cry_modules.front_ends import PannsMel
from data_prep.files.errors import InputError

#: What comes after our encoder's end.
_AFTER = tuple(
    f"{layer}.{kind}"
    for layer in ("fc1", "fc_audioset")
    for kind in ("weight", "bias")
)
#: PANNs keep their front end as weights, which are never trained.
_REAL = "spectrogram_extractor.stft.conv_real.weight"
_IMAGINARY = "spectrogram_extractor.stft.conv_imag.weight"
_FILTERS = "logmel_extractor.melW"
#: Sample rate by points of the Fourier transform, of the published files.
_KHZ = {1024: 32, 512: 16, 256: 8}
#: Largest difference between a front end's weights and ours: they are single
#: precision, up to 1.
_TOLERANCE = 1e-4


def is_panns(state: Dict[str, torch.Tensor]) -> bool:
    """Whether the names of a state dict are those of PANNs' CNNs.

    Example
    -------
    >>> is_panns({"norm0.weight": torch.ones(80)})
    False
    """
    return "bn0.weight" in state


def converted(
    state: Dict[str, torch.Tensor], called: str
) -> Dict[str, torch.Tensor]:
    """Weights of PANNs' blocks, named as in our CNN14 and SpeechBrain's.

    PANNs' own embedding is a layer further: the rectified ``fc1`` of what our
    encoder returns. ``fc1`` and the classifier ``fc_audioset`` are left.
    """
    _check_front_end(state, called)
    left = {*_AFTER, _REAL, _IMAGINARY, _FILTERS}
    found = {}
    for name, value in state.items():
        block = re.fullmatch(r"(conv_block\d\.)?(bn|conv)(\d\..*)", name)
        if block:
            place, kind, rest = block.groups(default="")
            kind = {"bn": "norm", "conv": "conv"}[kind]
            found[f"{place}{kind}{rest}"] = value
        elif name not in left:
            raise InputError(
                f"{called} is no CNN14 of PANNs: {name} is "
                f"unexpected; take {PANNS.where()}"
            )
    return found


def _check_front_end(state, called):
    """The file's own weights against ours."""
    for name, expected in _front_end_weights().items():
        if name not in state:
            raise InputError(
                f"{called} has PANNs' names, but no {name}, "
                f"which tells what it hears; take {PANNS.where()}"
            )
        value = state[name]
        if value.shape != expected.shape:
            raise InputError(
                f"{called} {_heard(state)}, and this project "
                "hears 16 kHz in windows of 512 samples through 64 mel bands; "
                f"take {PANNS.where()}"
            )
        off = (value - expected).abs().max().item()
        if not off <= _TOLERANCE:
            raise InputError(
                f"{called} hears through another window or other "
                f"mel bands than the front end panns ({name} is off by "
                f"{off:.2g}); take {PANNS.where()}"
            )


def _front_end_weights():
    """Ours, as PANNs keep them: a windowed cosine and sine each frequency."""
    front_end = PannsMel()
    n = front_end.n_fft
    time = torch.arange(n, dtype=torch.float64)
    angle = 2 * torch.pi / n * torch.outer(time[: n // 2 + 1], time)
    return {
        _REAL: (angle.cos() * front_end.window).unsqueeze(1),
        _IMAGINARY: (-angle.sin() * front_end.window).unsqueeze(1),
        _FILTERS: front_end.filters,
    }


def _heard(state) -> str:
    """What a file with weights of other shapes hears, in words."""
    window, n_mels = (
        state[name].shape[-1] if name in state and state[name].dim() else "no"
        for name in (_REAL, _FILTERS)
    )
    khz = _KHZ.get(window)
    rate = f"{khz} kHz" if khz else "an unknown rate"
    return (
        f"hears {rate} in windows of {window} samples through {n_mels} mel "
        "bands"
    )
