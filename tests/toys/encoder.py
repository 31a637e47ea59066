"""An encoder as a user would add it: one layer a frame, averaged over time."""

import torch
from torch import nn

from cry_modules.lengths import frame_mask


class ToyEncoder(nn.Module):
    """``[batch, frames, mel_bins]`` to ``[batch, 4 * width]``."""

    def __init__(self, mel_bins: int, width: int):
        super().__init__()
        self.emb_dim = 4 * width
        self.layer = nn.Linear(mel_bins, width)
        self.block = nn.Sequential(nn.Linear(width, self.emb_dim), nn.Tanh())

    def forward(self, feats, lengths=None):
        embs = self.block(self.layer(feats))
        if lengths is None:
            return embs.mean(dim=1)
        n_frames = torch.round(lengths * feats.shape[1]).long()
        mask = frame_mask(n_frames, feats.shape[1]).unsqueeze(2)
        return (embs * mask).sum(dim=1) / n_frames[:, None]
