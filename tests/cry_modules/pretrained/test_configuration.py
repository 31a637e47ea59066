"""Sizes of a configuration, which a stranger may have changed, are checked before
anything of that size is made."""

import json

import pytest

from cry_modules.architectures import make_encoder
from data_prep.files.errors import InputError
from tests.speech_models import BEATS, ECAPA


@pytest.mark.parametrize(
    "kind, config, size",
    [
        ("beats", BEATS, {"encoder_layers": 10**6}),
        ("beats", BEATS, {"encoder_embed_dim": 10**9}),
        ("beats", BEATS, {"conv_pos": 10**8}),
        ("beats", BEATS, {"num_buckets": 10**9}),
        ("ecapa", ECAPA, {"lin_neurons": 10**9}),
        ("ecapa", ECAPA, {"channels": [8, 8, 8, 10**8]}),
        ("ecapa", ECAPA, {"kernel_sizes": [10**8, 3, 3, 1]}),
    ],
    ids=str,
)
def test_a_size_that_no_model_has_is_refused(kind, config, size):
    source = json.dumps({**config, **size})
    ((name, value),) = size.items()
    with pytest.raises(InputError, match=f"{name} is .*000.* or less"):
        make_encoder(f"{kind}:{source}", 80, 8)
