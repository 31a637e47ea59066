"""Views of a recording: random chunks, then SpecAugment.

Shapes: B batch, T frames, F mel bands.
"""

import hashlib
from typing import List

import numpy as np
import torch
from torch import nn

from cry_modules.audio import repeat_to


class RandomChunks:
    """Random chunks of a recording, drawn from (seed, epoch, recording).

    They do not depend on the number of workers, ranks or resumes. Chunks of one
    recording may overlap or coincide, as in the paper's code; recordings
    shorter than a chunk are repeated.

    Arguments
    ---------
    chunk_s : float
        Length of a chunk in seconds, above 0.
    sample_rate : int
        Hz.
    seed : int
        Seed of the experiment.

    Attributes
    ----------
    epoch : int
        Set it before each epoch; 0 in validation, whose chunks never change.

    Example
    -------
    >>> chunks = RandomChunks(chunk_s=1.0, sample_rate=4, seed=0)
    >>> [c.shape for c in chunks(torch.arange(20.0), "rec1", 2)]
    [torch.Size([4]), torch.Size([4])]
    """

    def __init__(self, chunk_s: float, sample_rate: int, seed: int):
        if not chunk_s > 0:
            raise ValueError(f"chunk_s is {chunk_s}; it must be above 0 s")
        self.n_samples = round(chunk_s * sample_rate)
        self.seed = seed
        self.epoch = 0

    def __call__(
        self, sig: torch.Tensor, recording_id: str, n_chunks: int
    ) -> List[torch.Tensor]:
        """Cut chunks from a recording.

        Arguments
        ---------
        sig : torch.Tensor or Sound
            ``[samples]``.
        recording_id : str
            ID in the manifest.
        n_chunks : int
            Number of chunks.

        Returns
        -------
        list of torch.Tensor
            Each ``[chunk samples]``.
        """
        sig = repeat_to(sig, self.n_samples)
        return [
            sig[start : start + self.n_samples]
            for start in self.starts(len(sig), recording_id, n_chunks)
        ]

    def starts(
        self, n_samples: int, recording_id: str, n_chunks: int
    ) -> List[int]:
        """Draw the first samples of the chunks of ``n_samples``, not fewer
        than a chunk has."""
        # By a hash: making a generator for each recording takes longer than
        # reading its chunks.
        key = f"{self.seed} {self.epoch} {recording_id}".encode()
        bits = hashlib.shake_128(key).digest(8 * n_chunks)
        numbers = np.frombuffer(bits, dtype="<u8").tolist()
        return [number % (n_samples - self.n_samples + 1) for number in numbers]


class TimeWarp(nn.Module):
    """SpecAugment's time warp (https://arxiv.org/abs/1904.08779, 3.1).

    A frame drawn for *each item* moves by up to ``window`` frames, and both
    sides stretch linearly. SpeechBrain's ``Warping`` draws one per batch.

    Arguments
    ---------
    window : int
        Largest shift in frames; 0 switches it off.

    Example
    -------
    >>> TimeWarp(8)(torch.randn(3, 101, 80)).shape
    torch.Size([3, 101, 80])
    """

    def __init__(self, window: int):
        super().__init__()
        self.window = window

    def forward(self, feats: torch.Tensor) -> torch.Tensor:
        """``[B, T, F]`` to ``[B, T, F]``."""
        n_items, n_frames, n_bands = feats.shape
        if self.window == 0 or n_frames <= 2 * self.window + 1:
            return feats
        source = self._source_frames(n_items, n_frames, feats.device)
        before = source.floor().long().clamp(0, n_frames - 2)
        share = (source - before).unsqueeze(2).to(feats.dtype)  # [B, T, 1]
        item = torch.arange(n_items, device=feats.device).unsqueeze(1)
        row = (item * n_frames + before).flatten()
        rows = feats.reshape(-1, n_bands)  # whole rows: no gather of values
        left, right = rows.index_select(0, row), rows.index_select(0, row + 1)
        return torch.lerp(left.view_as(feats), right.view_as(feats), share)

    def _source_frames(self, n_items, n_frames, device):
        """Position in the input of each output frame, [B, T]."""
        w = self.window
        centre = torch.randint(
            w, n_frames - w, (n_items, 1), device=device
        ).float()
        shift = torch.randint(-w, w + 1, (n_items, 1), device=device)
        target = (centre + shift).clamp(1, n_frames - 2)
        t = torch.arange(n_frames, device=device)
        last = n_frames - 1
        left = t * centre / target
        right = last - (last - t) * (last - centre) / (last - target)
        return torch.where(t < target, left, right)


class SpecAugment(nn.Module):
    """Time warp, frequency masks and time masks, drawn for each item.

    Masks are drawn as in the paper: widths ``f`` from 0 to ``mask_width``,
    starts from ``[0, v - f)`` among ``v`` bands or frames, so that each lies
    inside and the last one is never masked. A mask as wide as ``v`` covers all.
    SpeechBrain's ``SpectrogramDrop`` (1.1) starts anywhere and cuts masks off
    at the end. Zero is the mean after mean normalisation; before it, in dB,
    zero is loud.

    Arguments
    ---------
    time_warp : int
        Largest shift in frames; 0 for none.
    n_masks : int
        Masks in frequency, and as many in time; 0 for none.
    mask_width : int
        Widest mask, in bands and in frames.

    Example
    -------
    >>> augment = SpecAugment(time_warp=8, n_masks=2, mask_width=10)
    >>> augment(torch.randn(3, 101, 80)).shape
    torch.Size([3, 101, 80])
    """

    def __init__(self, time_warp: int = 8, n_masks: int = 2, mask_width=10):
        super().__init__()
        self.warp = TimeWarp(time_warp)
        self.n_masks = n_masks
        self.mask_width = mask_width

    def forward(self, feats: torch.Tensor) -> torch.Tensor:
        """``[B, T, F]`` to ``[B, T, F]``, not in place."""
        feats = self.warp(feats)
        if self.n_masks == 0:
            return feats
        n_items, n_frames, n_bands = feats.shape
        bands = self._draw(n_items, n_bands, feats.device)
        frames = self._draw(n_items, n_frames, feats.device)
        feats = feats.masked_fill(bands[:, None], 0.0)
        return feats.masked_fill_(frames[:, :, None], 0.0)

    def _draw(self, n_items, size, device):
        """Draw masks: True where any of them is, ``[n_items, size]``."""
        shape = (n_items, self.n_masks, 1)
        width = torch.randint(self.mask_width + 1, shape, device=device)
        room = (size - width).clamp(min=1)
        begin = (torch.rand(shape, device=device) * room).long()
        place = torch.arange(size, device=device)
        return ((begin <= place) & (place < begin + width)).any(dim=1)
