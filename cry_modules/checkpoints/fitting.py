"""The option that makes an encoder fit weights."""

from typing import Dict, Optional

import torch
from torch import nn

from cry_modules.architectures import (
    ARCHITECTURES,
    is_configured,
    name_of,
    name_of_state,
    pooling_of_state,
)
from cry_modules.front_ends import FRONT_ENDS, make_front_end


def fitting_option(state: Dict[str, torch.Tensor], encoder: nn.Module) -> str:
    """The option to pass where architecture, width, mel bands or pooling
    differ."""
    name = name_of_state(state)
    if name is None or name_of(encoder) is None:
        return ""
    if is_configured(name):
        return "; get weights and configuration of one model"
    if name != name_of(encoder):
        return f"; it is a {name}: pass --architecture {name}"
    expected, kind = encoder.state_dict(), ARCHITECTURES[name]
    width, n_mels = (
        (length(state, weight), length(expected, weight))
        for weight in (kind.marker, f"{kind.first_norm}.weight")
    )
    if width[0] is not None and width[0] != width[1]:
        return f"; it has width {width[0]}: pass --width {width[0]}"
    if n_mels[0] is not None and n_mels[0] != n_mels[1]:
        names = [
            name
            for name in FRONT_ENDS
            if make_front_end(name).n_mels == n_mels[0]
        ]
        cure = f": pass --front_end {' or '.join(names)}" if names else ""
        return f"; it takes {n_mels[0]} mel bands, here {n_mels[1]}{cure}"
    pooling = pooling_of_state(name, state)
    if pooling != pooling_of_state(name, expected):
        return f"; it has the pooling {pooling}: pass --pooling {pooling}"
    return ""


def length(state: Dict[str, torch.Tensor], name: str) -> Optional[int]:
    """First dimension of a weight; None where it is missing or a scalar."""
    weight = state.get(name)
    has_length = weight is not None and weight.dim() and len(weight)
    return len(weight) if has_length else None
