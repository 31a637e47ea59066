"""The plain recipe that the project is compared with: SpeechBrain's own parts,
combined as its recipes do, without optimisation.

``simclr_step`` and ``crops`` prepare and return the step that ``duel`` times.
"""

import random
from pathlib import Path

import soundfile
import torch
import torch.nn.functional as F
import torchaudio
from speechbrain.augment.freq_domain import SpectrogramDrop, Warping
from speechbrain.lobes.features import Fbank
from speechbrain.lobes.models.Cnn14 import Cnn14, ConvBlock
from speechbrain.processing.features import InputNormalization
from torch import nn

RATE = 16000


def cnn14(width: int) -> nn.Module:
    """SpeechBrain's CNN14, of any width: 64 is the original."""
    encoder = Cnn14(mel_bins=80, emb_dim=32 * width)
    channels = [1] + [width * 2**i for i in range(6)]
    for i in range(6):
        block = ConvBlock(channels[i], channels[i + 1], "bn")
        setattr(encoder, f"conv_block{i + 1}", block)
    return encoder


def read(path: Path) -> torch.Tensor:
    """Read a whole file as mono at 16 kHz, ``[samples]``."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    sig = torch.from_numpy(samples).mean(dim=1)
    return torchaudio.functional.resample(sig, rate, RATE)


def crop(sig: torch.Tensor, seconds: float) -> torch.Tensor:
    """Cut a random chunk."""
    n_samples = round(seconds * RATE)
    start = random.randint(0, len(sig) - n_samples)
    return sig[start : start + n_samples]


class Features(nn.Module):
    """SpeechBrain's filter bank, sentence normalisation and SpecAugment."""

    def __init__(self, augment_before_norm: bool = True):
        super().__init__()
        self.augment_before_norm = augment_before_norm
        self.fbank = Fbank(sample_rate=RATE, n_fft=400, n_mels=80)
        self.norm = InputNormalization(norm_type="sentence", std_norm=False)
        masks = {"drop_length_low": 0, "drop_length_high": 11}
        masks.update(drop_count_low=2, drop_count_high=2)
        self.augment = nn.Sequential(
            Warping(warp_window=8),
            SpectrogramDrop(**masks, dim=2),
            SpectrogramDrop(**masks, dim=1),
        )

    def forward(self, wavs):
        """Map ``[batch, samples]`` to ``[batch, frames, n_mels]``."""
        feats = self.fbank(wavs)
        if self.training and self.augment_before_norm:
            feats = self.augment(feats)
        feats = self.norm(feats, torch.ones(len(feats), device=feats.device))
        if self.training and not self.augment_before_norm:
            feats = self.augment(feats)
        return feats


def nt_xent(z1, z2, temperature=0.5):
    """NT-Xent as most recipes write it, from the whole similarity matrix."""
    z = F.normalize(torch.cat([z1, z2]), dim=1)
    similarity = z @ z.T / temperature
    n = len(z)
    positive = torch.cat([similarity.diag(n // 2), similarity.diag(-n // 2)])
    others = ~torch.eye(n, dtype=torch.bool, device=z.device)
    denominator = (similarity.exp() * others).sum(dim=1)
    return (denominator.log() - positive).mean()


def projector(dim: int) -> nn.Module:
    """Linear-BN-ReLU-Linear-BN."""
    return nn.Sequential(
        nn.Linear(dim, dim, bias=False),
        nn.BatchNorm1d(dim),
        nn.ReLU(inplace=True),
        nn.Linear(dim, dim, bias=False),
        nn.BatchNorm1d(dim),
    )


class SimCLR:
    """Plain SimCLR training: decode, crop twice, compute features, encode and
    project each crop, NT-Xent, update."""

    def __init__(
        self,
        width: int,
        chunk_s: float,
        temperature: float = 0.5,
        augment_before_norm: bool = True,
        device: str = "cpu",
    ):
        self.chunk_s, self.temperature = chunk_s, temperature
        self.device = device
        self.features = Features(augment_before_norm)
        self.encoder = cnn14(width)
        self.head = projector(32 * width)
        self.model = nn.ModuleList([self.features, self.encoder, self.head])
        self.model.train().to(device)

    def step(self, paths, optimizer) -> float:
        """Train on a batch of files; return the loss."""
        sigs = [read(path) for path in paths]
        z = []
        for _ in range(2):
            wavs = torch.stack([crop(sig, self.chunk_s) for sig in sigs])
            embs = self.encoder(self.features(wavs.to(self.device))).squeeze(1)
            z.append(self.head(embs))
        loss = nt_xent(*z, self.temperature)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    """torch's default SGD with the paper's settings."""
    return torch.optim.SGD(
        model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4
    )


def simclr_step(folder: str, width: int, chunk_s: float, batch_size: int):
    """Prepare a SimCLR step with the paper's settings."""
    paths = sorted(Path(folder).glob("audio/*.wav"))
    simclr = SimCLR(width, chunk_s)
    optimizer = sgd(simclr.model)
    return lambda: simclr.step(random.sample(paths, batch_size), optimizer)


def crops(folder: str, chunk_s: float = 4.0):
    """Prepare two random crops of a recording."""
    paths = sorted(Path(folder).glob("audio/*.wav"))

    def step():
        sig = read(random.choice(paths))
        return torch.stack([crop(sig, chunk_s), crop(sig, chunk_s)])

    return step
