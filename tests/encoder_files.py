"""Files of published encoders, made here: PANNs' from the formulas, with the
names, shapes and other contents of the real ones."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


class Evil:
    """An object that writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


BLOCKS = [f"conv_block{i}" for i in range(1, 7)]


def quickly(make):
    """A module in evaluation mode with weights that are fast to draw:
    BatchNorms as after long training, convolutions that keep the scale."""
    with torch.device("meta"):
        module = make()
    module.to_empty(device="cpu")
    with torch.no_grad():
        for name, weight in module.named_parameters():
            scale = 3 / weight[0].numel() ** 0.5 if weight.dim() > 1 else 0.1
            weight.uniform_(-scale, scale)
        for norm in module.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.weight.uniform_(0.5, 2)
                norm.running_mean.normal_(0, 0.1)
                norm.running_var.uniform_(0.5, 2)
                norm.num_batches_tracked.fill_(600000)
    return module.eval()


@torch.no_grad()
def layers(model, feats):
    """The output of each block, then the embedding."""
    outputs = []

    def keep(block, inputs, output):
        outputs.append(output[0] if isinstance(output, tuple) else output)

    blocks = [model.get_submodule(name) for name in BLOCKS]
    hooks = [block.register_forward_hook(keep) for block in blocks]
    outputs.append(model(feats).flatten(1))
    for hook in hooks:
        hook.remove()
    return outputs


def assert_same_layers(ours, theirs, feats):
    """Compare all layers, within rounding of the largest value of each."""
    mine, others = layers(ours, feats), layers(theirs, feats)
    assert len(mine) == len(others) == 7
    for a, b in zip(mine, others):
        scale = b.abs().max().item()
        assert scale > 0
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5 * scale)


class Block(nn.Module):
    """Two convolutions; average pooling."""

    def __init__(self, n_in, n_out, pool):
        super().__init__()
        self.pool = pool
        self.conv1 = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.bn2 = nn.BatchNorm2d(n_out)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(self.bn2(self.conv2(x)))
        return F.avg_pool2d(x, self.pool)


class PlainCnn14(nn.Module):
    """CNN14 of arXiv 1912.10211 with PANNs' names, up to ``fc1``."""

    def __init__(self, width=64):
        super().__init__()
        self.bn0 = nn.BatchNorm2d(64)
        n_in = 1
        for i in range(6):
            block = Block(n_in, width * 2**i, 2 if i < 5 else 1)
            self.add_module(f"conv_block{i + 1}", block)
            n_in = width * 2**i
        self.fc1 = nn.Linear(n_in, n_in)
        self.fc_audioset = nn.Linear(n_in, 527)

    def forward(self, feats):
        """``[batch, frames, 64]`` to the input of ``fc1``."""
        x = self.bn0(feats.transpose(1, 2).unsqueeze(3)).transpose(1, 3)
        for i in range(6):
            x = self.get_submodule(f"conv_block{i + 1}")(x)
        x = x.mean(dim=3)
        return x.max(dim=2).values + x.mean(dim=2)


def panns(width=64):
    """PANNs' network with first statistics of sounds in decibels."""
    model = quickly(lambda: PlainCnn14(width))
    model.bn0.running_mean.uniform_(-40, -15)
    model.bn0.running_var.uniform_(100, 300)
    return model


def front_end_weights(rate_khz=16, fmin=50.0):
    """PANNs' front end as weights, computed in double precision."""
    n_fft = 32 * rate_khz
    n_bins = n_fft // 2 + 1
    time = np.arange(n_fft)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * time / n_fft)
    waves = np.exp(-2j * np.pi / n_fft * np.outer(np.arange(n_bins), time))
    fmax = min(14000, 500 * rate_khz)

    def to_mel(f):
        over = 15 + 27 * np.log(np.maximum(f, 1) / 1000) / np.log(6.4)
        return np.where(f < 1000, 3 * f / 200, over)

    mels = np.linspace(to_mel(fmin), to_mel(fmax), 66)
    over = 1000 * 6.4 ** ((mels - 15) / 27)
    edges = np.where(mels < 15, 200 * mels / 3, over)
    hertz = np.arange(n_bins)[:, None] * 1000 * rate_khz / n_fft
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    rise, fall = (
        (hertz - low) / (centre - low),
        (high - hertz) / (high - centre),
    )
    filters = np.maximum(0, np.minimum(rise, fall)) * 2 / (high - low)
    stft = "spectrogram_extractor.stft"
    return {
        f"{stft}.conv_real.weight": single((waves.real * window)[:, None]),
        f"{stft}.conv_imag.weight": single((waves.imag * window)[:, None]),
        "logmel_extractor.melW": single(filters),
    }


def single(values):
    return torch.tensor(values, dtype=torch.float32)


def checkpoint(model, **of_front_end):
    """A checkpoint as PANNs' training saves it."""
    return {
        "iteration": 600000,
        "model": {**front_end_weights(**of_front_end), **model.state_dict()},
        "sampler": {
            "indexes_per_class": [np.arange(5), np.arange(3, dtype=np.int32)],
            "queue": [3, 1, 2],
            "pointers_of_classes": [0, np.int64(7), np.float64(0.5)],
        },
    }


def save_as_of_2019(content, path):
    """Save without zip, and with numpy 1's names of its functions."""
    torch.save(content, path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    assert b"numpy._core" in data
    path.write_bytes(data.replace(b"numpy._core", b"numpy.core"))
    return path
