"""Small classifiers with random weights, in memory and exported."""

import json
from dataclasses import asdict

import numpy as np
import torch
from safetensors.torch import save_file
from torch.nn.modules.batchnorm import _BatchNorm

from cry_modules.checkpoints.description import FORMAT, MODEL_FILE, Blueprint
from cry_modules.checkpoints.saved_model import WEIGHTS_FILE, build
from data_prep.files.fingerprint import sha256

RATE = 16000


def changing(seconds, seed=0):
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
def calibrate(embedder, wavs):
    """Draw weights and match the statistics of BatchNorm to sounds: a newly
    built encoder has equal embeddings for all sounds."""
    for module in embedder.encoder.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
        if isinstance(module, _BatchNorm):
            module.momentum = 1.0
    embedder.train()(wavs)
    embedder.eval()


@torch.no_grad()
def random_model(**settings):
    """A classifier whose scores of sounds differ."""
    torch.manual_seed(0)
    two = {"classes": ["no", "yes"], "log_prior": [0.0, -1.0]}
    model = build(Blueprint(**{"width": 1, "chunk_s": 0.5, **two, **settings}))
    wavs = torch.stack([torch.from_numpy(changing(1.0, n)) for n in range(16)])
    calibrate(model.embedder, wavs)
    embs = torch.cat([model.embedder(wavs), model.embedder(wavs[:, :8000])])
    head = model.posterior.head
    head.norm.running_mean.copy_(embs.mean(dim=0))
    head.norm.running_var.copy_(embs.var(dim=0) + embs.var(dim=0).mean())
    head.linear.weight.mul_(3)
    return model


def new_model(classes=("other", "crying_baby"), **blueprint):
    """A model whose weights have seen no data."""
    torch.manual_seed(1)
    log_prior = [0.0] * len(classes)
    blueprint.update(classes=list(classes), log_prior=log_prior)
    return build(Blueprint(1, **blueprint))


def write_model(folder, model=None, **facts):
    """Export a model. Returns the folder."""
    model = model or new_model()
    folder.mkdir()
    save_file(model.state(), folder / WEIGHTS_FILE)
    if len(model.blueprint.classes) == 2:
        facts["operating_point"] = {"threshold": 0.25}
    facts.update(
        format=FORMAT,
        model=asdict(model.blueprint),
        files={WEIGHTS_FILE: sha256(folder / WEIGHTS_FILE)},
    )
    (folder / MODEL_FILE).write_text(json.dumps(facts))
    return folder
