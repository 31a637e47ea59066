"""Two modules have one identity exactly if they compute the same."""

import copy

import pytest
import torch
from torch import nn

from cry_modules.checkpoints.module_identity import module_identity
from cry_modules.cnn14 import Cnn14
from cry_modules.embeddings import Embedder, LogMelStatistics
from cry_modules.front_ends import AugmentedFeatures, LogMel
from cry_modules.views.chunks_and_masks import SpecAugment


def embedder(seed=0, logmel=None, **options):
    torch.manual_seed(seed)
    features = AugmentedFeatures(logmel or LogMel(), SpecAugment(0, 0), False)
    return Embedder(features, Cnn14(80, width=1), **options)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"readout": "block2"},
        {"tested_on": "chunks"},
        {"chunk_s": 2.0},
        {"logmel": LogMel(sample_rate=8000)},
    ],
)
def test_weights_and_settings_decide(change):
    same = module_identity(embedder())
    assert module_identity(embedder()) == same
    assert module_identity(copy.deepcopy(embedder()).train()) == same
    assert module_identity(embedder(**change)) != same


def test_what_is_passed_too_and_the_class_decide():
    layer = nn.Linear(1, 1)
    assert module_identity(layer, 16000) != module_identity(layer, 8000)

    class Other(nn.Linear):
        pass

    other = Other(1, 1)
    other.load_state_dict(layer.state_dict())
    assert module_identity(layer) != module_identity(other)


def test_statistics_of_batchnorm_decide():
    model = embedder()
    before = module_identity(model)
    model.train()(torch.randn(2, 8000))
    assert module_identity(model) != before


def test_settings_of_collections_decide_and_addresses_of_objects_do_not():
    def layer(setting):
        module = nn.Identity()
        module.setting = setting
        return module_identity(module)

    assert layer({"a": [1, (2.0, None)]}) == layer({"a": [1, (2.0, None)]})
    assert layer({"a": [1, (2.0, None)]}) != layer({"a": [1, (2.5, None)]})
    assert layer(object()) == layer(object())


@pytest.mark.parametrize(
    "module",
    [embedder(), LogMelStatistics(LogMel()), Cnn14(80, width=1)],
    ids=lambda module: type(module).__name__,
)
def test_all_settings_of_our_modules_are_told_by_their_values(module):
    plain = (str, int, float, bool, type(None), dict, list, tuple)
    for layer in module.modules():
        for name, value in vars(layer).items():
            # `run` decides what is kept in memory, not what is computed.
            is_left_out = name.startswith("_") or name == "run"
            assert is_left_out or isinstance(value, plain), name
