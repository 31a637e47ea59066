"""A small classifier whose scores differ between sounds."""

import numpy as np
import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from cry_modules.checkpoints.description import Blueprint
from cry_modules.checkpoints.saved_model import build
from cry_modules.inference.classifier import CryClassifier

RATE = 16000


def _changing(seconds, seed=0):
    """Another tone in another noise every 0.1 s, so that all windows differ."""
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(int(np.ceil(10 * seconds))):
        tone = np.sin(np.arange(1600) * rng.uniform(0.05, 2))
        noise = rng.normal(0, rng.uniform(0.01, 1), 1600)
        parts.append(tone + (noise.cumsum() / 20 if seed % 2 else noise))
    sound = np.concatenate(parts)[: round(seconds * RATE)]
    return (sound / np.abs(sound).max() / 2).astype(np.float32)


@torch.no_grad()
def _random_model():
    """Random weights with matching BatchNorm statistics: a newly built model
    has equal scores for all sounds."""
    torch.manual_seed(0)
    blueprint = Blueprint(
        1, chunk_s=0.5, classes=["no", "yes"], log_prior=[0.0, -1.0]
    )
    model = build(blueprint)
    for module in model.embedder.encoder.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
        if isinstance(module, _BatchNorm):
            module.momentum = 1.0
    wavs = torch.stack([torch.from_numpy(_changing(1.0, n)) for n in range(16)])
    model.embedder.train()(wavs)
    model.embedder.eval()
    embs = torch.cat([model.embedder(wavs), model.embedder(wavs[:, :8000])])
    head = model.posterior.head
    head.norm.running_mean.copy_(embs.mean(dim=0))
    head.norm.running_var.copy_(embs.var(dim=0) + embs.var(dim=0).mean())
    head.linear.weight.mul_(3)
    return model


@pytest.fixture(scope="session")
def changing():
    """A sound whose windows all differ: ``changing(seconds, seed)``."""
    return _changing


@pytest.fixture(scope="session")
def random_model():
    """A new classifier with random weights: ``random_model()``."""
    return _random_model


@pytest.fixture(scope="session")
def classifier():
    return CryClassifier.from_model(_random_model())
